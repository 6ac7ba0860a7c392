#include "transfer/receive_file.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/remote/retry.h"
#include "tests/fakes/counting_progress.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/text_source.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"
#include "transfer/file_reception.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::CountingProgress;
using testing::FakeAnswer;
using testing::FakeRead;
using testing::FakeStore;
using testing::names_in;
using testing::random_bytes;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::write_file;

const Error kReset(ErrorKind::Network, "connection reset");

class ReceiveFile : public ::testing::Test {
 protected:
  void receive() { receive_file(store_, target(), {}, progress_, {}); }

  Error failure() {
    try {
      receive();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorKind::Internal, ""};
  }

  void answer_first_read_with(const FakeAnswer& first) {
    store_.answer_reads_with(
        [first](const FakeRead& read) { return read.number == 1 ? first : FakeAnswer{}; });
  }

  fs::path target() const { return directory_ / "f"; }
  bool left_nothing() const { return names_in(directory_.path()).empty(); }

  TemporaryDirectory directory_;
  FakeStore store_;
  CountingProgress progress_;
};

TEST_F(ReceiveFile, BringsAFileWithOneRequest) {
  const std::string content = random_bytes(100'000);
  store_.set_file("", content);
  receive();
  EXPECT_EQ(read_file(target()), content);
  ASSERT_EQ(store_.reads().size(), 1U);
  EXPECT_EQ(store_.reads()[0].range, std::nullopt);
  EXPECT_EQ(store_.count_of(testing::FakeCall::Stat), 0);
}

TEST_F(ReceiveFile, BringsAnEmptyFile) {
  store_.set_file("", "");
  receive();
  EXPECT_EQ(read_file(target()), "");
}

TEST_F(ReceiveFile, BringsAFileOfUnknownSizeToItsEnd) {
  const std::string content = random_bytes(100'000);
  store_.set_file("", content);
  store_.tell_sizes(false);
  receive();
  EXPECT_EQ(read_file(target()), content);
}

TEST_F(ReceiveFile, TellsItsProgress) {
  store_.set_file("", random_bytes(100'000));
  receive();
  EXPECT_EQ(progress_.expected_files, 1U);
  EXPECT_EQ(progress_.expected_bytes, 100'000U);
  EXPECT_EQ(progress_.bytes, 100'000);
  EXPECT_EQ(progress_.files, 1U);
}

TEST_F(ReceiveFile, ReplacesAnExistingFile) {
  write_file(target(), "old");
  store_.set_file("", "new");
  receive();
  EXPECT_EQ(read_file(target()), "new");
}

TEST_F(ReceiveFile, ReportsAMissingFileWithItsPlace) {
  store_.remove("");
  const Error error = failure();
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_TRUE(error.message().starts_with("receiving fake:/")) << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveFile, RefusesABodyShorterThanAnnounced) {
  store_.set_file("", random_bytes(1000));
  FakeAnswer answer;
  answer.content = std::string(999, 'x');
  answer_first_read_with(answer);
  EXPECT_EQ(failure().kind(), ErrorKind::Protocol);
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveFile, RefusesABodyLongerThanAnnounced) {
  store_.set_file("", random_bytes(1000));
  FakeAnswer answer;
  answer.content = std::string(1001, 'x');
  answer_first_read_with(answer);
  EXPECT_EQ(failure().kind(), ErrorKind::Protocol);
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveFile, LeavesTheOldFileWhenTheTransferBreaks) {
  write_file(target(), "old");
  store_.set_file("", random_bytes(100'000));
  FakeAnswer answer;
  answer.break_after = 50'000;
  answer_first_read_with(answer);
  EXPECT_EQ(failure().kind(), ErrorKind::Network);
  EXPECT_EQ(read_file(target()), "old");
  EXPECT_EQ(names_in(directory_.path()).size(), 1U);
}

TEST_F(ReceiveFile, EndsWhenItIsStopped) {
  store_.set_file("", random_bytes(1000));
  store_.hold_reads();
  std::stop_source stop;
  std::thread stopper([&] {
    store_.wait_for_reads(1);
    stop.request_stop();
  });
  try {
    receive_file(store_, target(), {}, progress_, stop.get_token());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  stopper.join();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveFile, WritesIntoAPipe) {
  ASSERT_EQ(::mkfifo(target().c_str(), 0600), 0);
  const std::string content = random_bytes(300'000);
  store_.set_file("", content);
  std::string received;
  std::thread reader([&] { received = read_file(target()); });
  receive();
  reader.join();
  EXPECT_EQ(received, content);
}

TEST_F(ReceiveFile, ReportsAFullDiskAtOnce) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  store_.set_file("", random_bytes(1'000'000));
  try {
    receive_file(store_, "/dev/full", {}, progress_, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), ENOSPC);
  }
}

const Error kUnwanted(ErrorKind::Integrity, "not wanted");

/// Lets one content pass.
ContentCheck wants(const std::string& content) {
  return [content](ByteSource& source) {
    std::string text(static_cast<std::size_t>(source.size()), '\0');
    const auto bytes = std::as_writable_bytes(std::span(text));
    for (std::size_t done = 0; done < bytes.size();) {
      done += source.read_at(done, bytes.subspan(done));
    }
    if (text != content) throw Error(kUnwanted);
  };
}

TEST_F(ReceiveFile, KeepsWhatPassesTheCheck) {
  const std::string content = random_bytes(300'000);
  store_.set_file("", content);
  receive_file(store_, target(), wants(content), progress_, {});
  EXPECT_EQ(read_file(target()), content);
}

TEST_F(ReceiveFile, LeavesTheOldFileWhenTheNewOneDoesNotPass) {
  write_file(target(), "old");
  store_.set_file("", "new");
  try {
    receive_file(store_, target(), wants("other"), progress_, {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Integrity);
    EXPECT_EQ(error.message(), "receiving " + store_.location({}) + ": not wanted");
  }
  EXPECT_EQ(read_file(target()), "old");
  EXPECT_EQ(names_in(directory_.path()).size(), 1U);
}

TEST_F(ReceiveFile, WritesIntoAPipeOnlyWhatPassesTheCheck) {
  ASSERT_EQ(::mkfifo(target().c_str(), 0600), 0);
  const std::string content = random_bytes(3'000'000);
  store_.set_file("", content);
  std::string received;
  {
    std::jthread reader([&] { received = read_file(target()); });
    receive_file(store_, target(), wants(content), progress_, {});
  }
  EXPECT_TRUE(received == content);
  {
    std::jthread reader([&] { received = read_file(target()); });
    EXPECT_THROW(receive_file(store_, target(), wants("other"), progress_, {}), Error);
  }
  EXPECT_EQ(received, "");
}

TEST_F(ReceiveFile, StopsDuringTheCheck) {
  store_.set_file("", random_bytes(1000));
  std::stop_source stop;
  const ContentCheck endless = [&](ByteSource& source) {
    std::byte byte{};
    source.read_at(0, {&byte, 1});
    stop.request_stop();
    for (;;) source.read_at(0, {&byte, 1});
  };
  try {
    receive_file(store_, target(), endless, progress_, stop.get_token());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  EXPECT_TRUE(left_nothing());
}

TEST(ReceiveFileWithRetries, BeginsAgainWhereNothingProvesTheSameContent) {
  const TemporaryDirectory directory;
  CountingProgress progress;
  Timer timer;
  auto fake = std::make_unique<FakeStore>();
  const std::string content = random_bytes(100'000);
  fake->set_file("", content);
  fake->tell_validators(false);
  fake->answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number < 3) answer.break_after = 60'000;
    return answer;
  });
  const auto store = with_retries(std::move(fake), {3, 8s, 10s, 2ms, 2ms}, timer);
  receive_file(*store, directory / "f", {}, progress, {});
  EXPECT_EQ(read_file(directory / "f"), content);
  EXPECT_EQ(progress.bytes, 100'000) << "what came twice counts once";
  EXPECT_EQ(progress.expected_bytes, 100'000U);
}

TEST(ReceiveFileWithRetries, DoesNotBeginAgainInAPipe) {
  const TemporaryDirectory directory;
  const fs::path pipe = directory / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  CountingProgress progress;
  Timer timer;
  auto fake = std::make_unique<FakeStore>();
  fake->set_file("", random_bytes(100'000));
  fake->tell_validators(false);
  fake->answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number == 1) answer.break_after = 50'000;
    return answer;
  });
  const auto store = with_retries(std::move(fake), {3, 8s, 10s, 2ms, 2ms}, timer);
  std::thread reader([&] { read_file(pipe); });
  EXPECT_THROW(receive_file(*store, pipe, {}, progress, {}), Error);
  reader.join();
}

constexpr std::size_t kLarge = 32 << 20;

/// A target in memory.
class MemoryTarget final : public LocalTarget {
 public:
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    const auto end = static_cast<std::size_t>(offset) + bytes.size();
    if (content_.size() < end) content_.resize(end);
    std::memcpy(content_.data() + offset, bytes.data(), bytes.size());
    written_ += bytes.size();
  }
  bool is_stream() const override { return false; }
  void reserve(std::uint64_t) override {}
  void start_over() override { content_.clear(); }
  void start_writeback() override {}
  std::string digest(DigestAlgorithm) const override { return {}; }
  std::unique_ptr<ByteSource> content() const override {
    return std::make_unique<testing::TextSource>(content_);
  }
  void set_attributes(const LocalAttributes&) override {}
  void commit() override {}

  const std::string& text() const { return content_; }
  std::uint64_t written() const { return written_; }

 private:
  std::string content_;
  std::uint64_t written_ = 0;
};

/// Brings a file large enough to be shared among reads, step by step: time and bytes pass as the
/// test says, so that the number of connections climbs without waiting.
class SharedReception {
 public:
  explicit SharedReception(std::size_t size) {
    static const std::string bytes = random_bytes(kLarge);
    content_ = bytes.substr(0, size);
    store_.deliver_pieces_of(128 << 10);
    store_.set_file("f", content_);
    store_.allow_bytes(0);
  }

  FakeStore& store() { return store_; }

  void start() {
    reception_ = std::make_shared<FileReception>(
        store_.open(RemotePath{}.child("f"), {}), target_, std::nullopt, std::nullopt, 16,
        progress_, clock_, std::stop_token{},
        FileReception::Callbacks{[] {}, [this] { is_done_ = true; }});
    reception_->start();
    store_.wait_until_idle();
  }

  /// A quarter of a second in which so many bytes come.
  void step(std::uint64_t bytes) {
    store_.allow_bytes(bytes);
    store_.wait_until_idle();
    clock_.advance(250ms);
    reception_->tick(16);
    store_.wait_until_idle();
  }

  /// Faster and faster to the end.
  void run_to_end() {
    for (std::uint64_t bytes = 1 << 20; !is_done_; bytes *= 2) step(bytes);
  }

  bool is_done() const { return is_done_; }
  std::optional<Error> error() const { return reception_->result(); }
  int most_at_once() const { return store_.most_reads_at_once(); }

  /// Every byte was written, and once.
  bool came_whole() const {
    return !error() && target_->text() == content_ && target_->written() == content_.size() &&
           progress_.bytes == static_cast<std::int64_t>(content_.size());
  }

 private:
  const std::shared_ptr<MemoryTarget> target_ = std::make_shared<MemoryTarget>();
  std::string content_;
  CountingProgress progress_;
  testing::FakeClock clock_;
  std::atomic<bool> is_done_{false};
  std::shared_ptr<FileReception> reception_;
  FakeStore store_;  // last: its thread uses the rest
};

/// What all reads but the first are answered with.
std::function<FakeAnswer(const FakeRead&)> joiners_get(const FakeAnswer& answer) {
  return [answer](const FakeRead& read) { return read.range ? answer : FakeAnswer{}; };
}

TEST(FileReception, SharesALargeFileAmongReadsWhileThatIsFaster) {
  SharedReception reception(kLarge);
  reception.start();
  reception.run_to_end();
  EXPECT_GE(reception.most_at_once(), 4);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, KeepsToOneReadWhereASecondDoesNotHelp) {
  SharedReception reception(kLarge);
  reception.start();
  while (!reception.is_done()) reception.step(2 << 20);
  EXPECT_LE(reception.most_at_once(), 2);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, KeepsToOneReadForSmallFiles) {
  SharedReception reception(8 << 20);
  reception.start();
  reception.run_to_end();
  EXPECT_EQ(reception.most_at_once(), 1);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, KeepsToOneReadWithoutAValidator) {
  SharedReception reception(kLarge);
  reception.store().tell_validators(false);
  reception.start();
  reception.run_to_end();
  EXPECT_EQ(reception.most_at_once(), 1);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, KeepsToOneReadWithoutRanges) {
  SharedReception reception(kLarge);
  reception.store().serve_ranges(false);
  reception.start();
  reception.run_to_end();
  EXPECT_EQ(reception.most_at_once(), 1);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, GoesOnAloneWhenFurtherReadsAreRefused) {
  SharedReception reception(kLarge);
  FakeAnswer refused;
  refused.refusal = Error(ErrorKind::Unavailable, "HTTP 429");
  reception.store().answer_reads_with(joiners_get(refused));
  reception.start();
  reception.run_to_end();
  EXPECT_TRUE(reception.came_whole());
  EXPECT_LE(reception.store().reads().size(), 4U) << "a refusal is not answered with more of it";
}

TEST(FileReception, GoesOnAloneWhenFurtherReadsGetTheWholeFile) {
  SharedReception reception(kLarge);
  FakeAnswer whole;
  whole.ignore_range = true;
  reception.store().answer_reads_with(joiners_get(whole));
  reception.start();
  reception.run_to_end();
  EXPECT_TRUE(reception.came_whole());
  EXPECT_EQ(reception.store().reads().size(), 2U);
}

TEST(FileReception, GoesOnAloneWhenAnotherServerOfTheSameNameDisagrees) {
  SharedReception reception(kLarge);
  FakeAnswer other;
  other.version = Version{"\"other\"", {}, kLarge};
  reception.store().answer_reads_with(joiners_get(other));
  reception.start();
  reception.run_to_end();
  EXPECT_TRUE(reception.came_whole());
  EXPECT_EQ(reception.store().reads().size(), 2U);
}

TEST(FileReception, BringsWhatABrokenReadLeftBehind) {
  SharedReception reception(kLarge);
  reception.store().answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number <= 2) answer.break_after = 3 << 20;
    return answer;
  });
  reception.start();
  reception.run_to_end();
  EXPECT_GE(reception.store().reads().size(), 3U);
  EXPECT_TRUE(reception.came_whole());
}

TEST(FileReception, FailsWithItsLastRead) {
  SharedReception reception(kLarge);
  FakeAnswer answer;
  answer.break_after = 1 << 20;
  answer.break_error = kReset;
  reception.store().answer_reads_with([answer](const FakeRead&) { return answer; });
  reception.start();
  reception.run_to_end();
  ASSERT_TRUE(reception.error());
  EXPECT_EQ(reception.error()->message(), kReset.message());
}

RC_GTEST_PROP(FileReceptionProperty, NeverSpoilsAFileWhateverJoinsAndBreaks, ()) {
  std::mt19937 random(*rc::gen::arbitrary<std::uint32_t>());
  const auto any = [&random](std::uint64_t first, std::uint64_t end) {
    return std::uniform_int_distribution<std::uint64_t>(first, end - 1)(random);
  };
  SharedReception reception(any(8 << 20, 24 << 20));
  std::map<int, std::uint64_t> breaks;  // read number -> bytes
  for (int number = any(0, 4) == 0 ? 1 : 2; number < 30; ++number) {
    if (any(0, 3) == 0) breaks.emplace(number, any(0, 8 << 20));
  }
  reception.store().answer_reads_with([breaks](const FakeRead& read) {
    FakeAnswer answer;
    if (const auto found = breaks.find(read.number); found != breaks.end()) {
      answer.break_after = found->second;
    }
    return answer;
  });
  reception.start();
  // Mostly faster and faster, so that further reads join.
  for (std::uint64_t bytes = 512 << 10; !reception.is_done(); bytes += bytes / any(1, 5)) {
    reception.step(any(bytes / 2, bytes));
  }
  // A break of the only read is an error, never a spoiled file.
  RC_ASSERT(reception.error() || reception.came_whole());
  RC_CLASSIFY(reception.error().has_value(), "failed");
  RC_CLASSIFY(reception.most_at_once() > 2, "shared");
}

}  // namespace
}  // namespace red
