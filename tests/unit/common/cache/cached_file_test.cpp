#include "common/cache/cached_file.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <future>
#include <random>
#include <string>

#include "common/remote/retry.h"
#include "tests/fakes/fake_store.h"

namespace red {
namespace {

using testing::FakeAnswer;
using testing::FakeCall;
using testing::FakeRead;
using testing::FakeStore;

constexpr std::uint64_t kKiB = 1024;

std::string random_text(std::size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

struct Result {
  std::string bytes;
  std::optional<Error> error;
};

class CachedFileTest : public ::testing::Test {
 protected:
  std::shared_ptr<CachedFile> open(const std::string& content,
                                   Duration read_limit = std::chrono::seconds(30),
                                   bool size_known = true) {
    store.set_file("f", content);
    const auto known = size_known ? std::optional<std::uint64_t>(content.size()) : std::nullopt;
    return std::make_shared<CachedFile>(
        store.open(RemotePath{}.child("f"), Version{{}, {}, known}), 1, known,
        CachedFile::Environment{cache, timer, read_limit, true, stop.get_token()},
        CachedFile::Listener{[this](const ReadAnswer&) { ++answers; },
                             [this](const Error&) { ++failures; }});
  }

  static std::pair<std::future<Result>, std::function<void(const Error&)>> start(
      const std::shared_ptr<CachedFile>& file, ByteRange range) {
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    auto abandon = file->read(range, [promise](const Error* error, const ReadBytes& bytes) {
      Result result;
      if (error != nullptr) result.error = *error;
      for (const auto& piece : bytes.pieces) {
        result.bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      }
      promise->set_value(std::move(result));
    });
    return {std::move(future), std::move(abandon)};
  }
  static Result read(const std::shared_ptr<CachedFile>& file, ByteRange range) {
    return start(file, range).first.get();
  }

  BlockCache cache{16 * 1024 * kKiB};
  Timer timer;
  std::stop_source stop;
  std::atomic<int> answers{0};
  std::atomic<int> failures{0};
  FakeStore store;  // destroyed first: its reads refer to the cache
};

TEST_F(CachedFileTest, ReadsWhatTheServerHas) {
  const std::string content = random_text(300 * kKiB + 17);
  const auto file = open(content);
  EXPECT_EQ(read(file, {0, 4096}).bytes, content.substr(0, 4096));
  EXPECT_EQ(read(file, {100'000, 250'000}).bytes, content.substr(100'000, 150'000));
  EXPECT_EQ(read(file, {300 * kKiB, 400 * kKiB}).bytes, content.substr(300 * kKiB));
  EXPECT_EQ(read(file, {content.size(), content.size() + 10}).bytes, "");
}

TEST_F(CachedFileTest, FetchesASmallReadWithLittleMore) {
  const auto file = open(random_text(10 * 1024 * kKiB));
  read(file, {5'000'000, 5'004'096});
  ASSERT_EQ(store.reads().size(), 1U);
  EXPECT_LE(store.reads()[0].range->size(), 4096 + 128 * kKiB);
}

TEST_F(CachedFileTest, ConcurrentReadersOfOneBlockCauseOneRequest) {
  const std::string content = random_text(64 * kKiB);
  const auto file = open(content);
  store.hold_reads();
  std::vector<std::future<Result>> results;
  for (int i = 0; i < 16; ++i) results.push_back(start(file, {1000, 2000}).first);
  store.release_reads();
  for (auto& result : results) EXPECT_EQ(result.get().bytes, content.substr(1000, 1000));
  EXPECT_EQ(store.reads().size(), 1U);
}

TEST_F(CachedFileTest, ReadingAheadMakesTheNextReadsFree) {
  const std::string content = random_text(4 * 1024 * kKiB);
  const auto file = open(content);
  file->read_ahead({0, content.size()}, {});
  EXPECT_EQ(read(file, {0, content.size()}).bytes, content);
  const auto requests = store.reads().size();
  EXPECT_EQ(read(file, {1'000'000, 2'000'000}).bytes, content.substr(1'000'000, 1'000'000));
  EXPECT_EQ(store.reads().size(), requests);
}

TEST_F(CachedFileTest, ReaderGetsItsBytesThoughTheReadingAheadItJoinedIsCalledOff) {
  const std::string content = random_text(1024 * kKiB);
  const auto file = open(content);
  std::stop_source ahead;
  store.hold_reads();
  file->read_ahead({0, content.size()}, ahead.get_token());
  auto result = start(file, {0, content.size()});
  ahead.request_stop();
  store.release_reads();
  EXPECT_EQ(result.first.get().bytes, content);
}

TEST_F(CachedFileTest, ServerWithoutRangesIsReadOnceAndRight) {
  const std::string content = random_text(3 * 1024 * kKiB + 5);
  const auto file = open(content);
  store.serve_ranges(false);
  EXPECT_EQ(read(file, {2'000'000, 2'100'000}).bytes, content.substr(2'000'000, 100'000));
  EXPECT_EQ(read(file, {0, 100'000}).bytes, content.substr(0, 100'000));
  EXPECT_EQ(read(file, {3'000'000, 4'000'000}).bytes, content.substr(3'000'000));
  EXPECT_FALSE(file->serves_ranges());
  EXPECT_EQ(store.reads().size(), 1U);
}

TEST_F(CachedFileTest, FileLargerThanTheMemoryShareIsSpooledToDisk) {
  const std::string content = random_text(9 * 1024 * kKiB);  // more than a quarter of 16 MiB
  const auto file = open(content);
  store.serve_ranges(false);
  EXPECT_EQ(read(file, {8'000'000, 9'000'000}).bytes, content.substr(8'000'000, 1'000'000));
  EXPECT_EQ(store.reads().size(), 1U);
  EXPECT_EQ(cache.bytes_in_use(), 0U);
}

TEST_F(CachedFileTest, SmallFileOfAServerWithoutRangesIsKeptInTheCache) {
  const std::string content = random_text(5000);
  const auto file = open(content);
  store.serve_ranges(false);
  EXPECT_EQ(read(file, {0, 5000}).bytes, content);
  EXPECT_TRUE(file->serves_ranges());
  EXPECT_EQ(read(file, {10, 20}).bytes, content.substr(10, 10));
  EXPECT_EQ(store.reads().size(), 1U);
}

TEST_F(CachedFileTest, FileOfUnknownSizeIsReadToItsEnd) {
  const std::string content = random_text(700 * kKiB);
  store.tell_sizes(false);
  const auto file = open(content, std::chrono::seconds(30), false);
  EXPECT_EQ(read(file, {0, 1024 * kKiB}).bytes, content);
  EXPECT_EQ(read(file, {700 * kKiB, 800 * kKiB}).bytes, "");
}

TEST_F(CachedFileTest, ChangedFileFailsAndIsReportedOnce) {
  const auto file = open(random_text(256 * kKiB, 1));
  read(file, {0, 1000});
  store.set_file("f", random_text(256 * kKiB, 2));
  const Result result = read(file, {200'000, 201'000});
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->kind(), ErrorKind::ChangedRemotely);
  EXPECT_EQ(failures, 1);
  EXPECT_FALSE(read(file, {0, 1000}).error);  // what was read before is still of one version
}

TEST_F(CachedFileTest, StalledReadEndsAtItsDeadlineAndWhatTheKernelAsksAgainAtOnce) {
  const auto file = open(random_text(256 * kKiB), std::chrono::milliseconds(50));
  store.hold_reads();
  const Result result = read(file, {0, 128 * kKiB});
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->error_number(), EIO);
  auto again = start(file, {0, 4096});
  EXPECT_EQ(again.first.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  stop.request_stop();
  store.release_reads();
}

TEST_F(CachedFileTest, ABlockThatNobodyHasSeenMayBeginAgainAfterABreak) {
  const std::string content = random_text(3000);
  auto owned = std::make_unique<FakeStore>();
  FakeStore& server = *owned;
  server.set_file("f", content);
  server.tell_validators(false);
  server.answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number <= 3) answer.break_after = 1000;
    return answer;
  });
  using std::chrono::milliseconds;
  const auto retrying = with_retries(
      std::move(owned),
      {100, milliseconds(8000), milliseconds(10'000), milliseconds(2), milliseconds(2)}, timer);
  const auto file = std::make_shared<CachedFile>(
      retrying->open(RemotePath{}.child("f"), Version{{}, {}, content.size()}), 1, content.size(),
      CachedFile::Environment{cache, timer, std::chrono::seconds(30), true, stop.get_token()},
      CachedFile::Listener{[](const ReadAnswer&) {}, [](const Error&) {}});
  EXPECT_EQ(read(file, {0, content.size()}).bytes, content);
  EXPECT_EQ(server.reads().size(), 4U) << "a try after the other, with pauses between them";
}

TEST_F(CachedFileTest, AbandonedReadCompletesAtOnce) {
  const auto file = open(random_text(256 * kKiB));
  store.hold_reads();
  auto [result, abandon] = start(file, {0, 1000});
  abandon(Error(ErrorKind::Cancelled, "killed"));
  EXPECT_TRUE(result.get().error);
  store.release_reads();
}

TEST_F(CachedFileTest, OffsetsBeyondFourGigabytesAreAskedForAsTheyAre) {
  // The content is announced to be large; only the request matters.
  store.set_file("f", "x");
  const std::uint64_t size = 6ULL << 30;
  const auto file = std::make_shared<CachedFile>(
      store.open(RemotePath{}.child("f"), Version{{}, {}, size}), 1, size,
      CachedFile::Environment{cache, timer, std::chrono::seconds(5), true, stop.get_token()},
      CachedFile::Listener{[](const ReadAnswer&) {}, [](const Error&) {}});
  read(file, {5ULL << 30, (5ULL << 30) + 4096});
  ASSERT_GE(store.reads().size(), 1U);
  EXPECT_EQ(store.reads()[0].range->begin, 5ULL << 30);
}

/// Random reads and read-aheads while answers break: every byte delivered is the right one.
RC_GTEST_FIXTURE_PROP(CachedFileTest, NeverDeliversAWrongByte, ()) {
  const std::string content = random_text(*rc::gen::inRange<std::size_t>(1, 600 * kKiB), 3);
  const auto file = open(content);
  store.serve_ranges(*rc::gen::arbitrary<bool>());
  store.answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number % 3 == 0) answer.break_after = static_cast<std::uint64_t>(read.number) * 7919;
    return answer;
  });
  std::vector<std::pair<ByteRange, std::future<Result>>> results;
  const auto count = *rc::gen::inRange(1, 20);
  for (int i = 0; i < count; ++i) {
    const auto begin = *rc::gen::inRange<std::uint64_t>(0, content.size());
    const ByteRange range{begin, begin + *rc::gen::inRange<std::uint64_t>(1, 300'000)};
    if (*rc::gen::inRange(0, 4) == 0) {
      file->read_ahead({begin, std::min<std::uint64_t>(range.end, content.size())}, {});
    } else {
      results.emplace_back(range, start(file, range).first);
    }
  }
  for (auto& [range, future] : results) {
    const Result result = future.get();
    if (!result.error) RC_ASSERT(result.bytes == content.substr(range.begin, range.size()));
  }
}

}  // namespace
}  // namespace red
