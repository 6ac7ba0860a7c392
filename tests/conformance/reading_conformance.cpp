// RemoteFile::read: whole files and ranges, their order, their end, and what ends them early.

#include <atomic>
#include <future>

#include "tests/conformance/remote_store_conformance.h"
#include "tests/fakes/path_of.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AnyOf;
using ::testing::SizeIs;
using namespace std::chrono_literals;

/// More than what is on its way at any time.
constexpr std::size_t kLong = 24 << 20;

/// Wants nothing from some point on.
class RefusingSink final : public ReadSink {
 public:
  enum class From { Answer, Bytes };
  explicit RefusingSink(From from, std::shared_ptr<CollectingSink> next)
      : from_(from), next_(std::move(next)) {}

  bool begin(const ReadAnswer& answer) override {
    return next_->begin(answer) && from_ != From::Answer;
  }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    next_->receive(offset, bytes);
    return false;
  }
  void finish(const Error* error) noexcept override { next_->finish(error); }

 private:
  const From from_;
  const std::shared_ptr<CollectingSink> next_;
};

/// Has the server stall and calls for the stop with the first bytes.
class StoppingSink final : public ReadSink {
 public:
  StoppingSink(ConformanceServer& server, std::shared_ptr<CollectingSink> next)
      : server_(server), next_(std::move(next)) {}

  bool begin(const ReadAnswer& answer) override { return next_->begin(answer); }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (!stop_.stop_requested()) server_.stall();
    stop_.request_stop();
    return next_->receive(offset, bytes);
  }
  void finish(const Error* error) noexcept override { next_->finish(error); }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  ConformanceServer& server_;
  const std::shared_ptr<CollectingSink> next_;
  std::stop_source stop_;
};

// --- Bytes ---------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, WholeFilesOfEverySizeArrive) {
  for (const std::size_t size : {0u, 1u, 4'096u, 65'537u, 1u << 20, 3'000'001u}) {
    const std::string name = "file of " + std::to_string(size);
    const std::string content = random_bytes(size, size);
    put(name, content);
    const Version known = store().stat(path(name), soon()).value().version();
    for (const Version& version : {Version{}, known}) {
      const auto file = store().open(path(name), version);
      const Sink sink = start_read(*file, {});
      EXPECT_TRUE(bytes_of(sink) == content) << size;
      ASSERT_THAT(sink->answers(), SizeIs(1)) << size;
      EXPECT_EQ(sink->answers().front().offset, 0u);
      EXPECT_FALSE(sink->answers().front().is_range);
      EXPECT_EQ(file->version().size, size);
      EXPECT_TRUE(file->version().may_equal(known));
    }
  }
}

TEST_P(RemoteStoreConformance, RangesArriveFromTheirOffsetOn) {
  const std::string content = random_bytes(3'000'000);
  put("file", content);
  const Version known = store().stat(path("file"), soon()).value().version();
  for (const Version& version : {Version{}, known}) {
    const auto file = store().open(path("file"), version);
    for (const ByteRange range :
         {ByteRange{0, 1}, ByteRange{0, 4096}, ByteRange{2'999'999, 3'000'000},
          ByteRange{12'345, 2'345'678}, ByteRange{0, 3'000'000}}) {
      const Sink sink = start_read(*file, range);
      EXPECT_TRUE(bytes_of(sink) == content.substr(range.begin, range.size())) << range.begin;
      ASSERT_THAT(sink->answers(), SizeIs(1));
      EXPECT_EQ(sink->answers().front().offset, range.begin);
      EXPECT_TRUE(sink->answers().front().is_range);
      EXPECT_TRUE(sink->answers().front().ranges_supported);
    }
    EXPECT_TRUE(file->version().may_equal(known));
    EXPECT_EQ(file->version().size, content.size());
  }
}

TEST_P(RemoteStoreConformance, ARangeOverTheEndEndsWithTheFile) {
  const std::string content = random_bytes(100'000);
  put("file", content);
  const Version known = store().stat(path("file"), soon()).value().version();
  for (const Version& version : {Version{}, known}) {
    const auto file = store().open(path("file"), version);
    if (!server().ends_ranges_with_the_file()) {
      EXPECT_FALSE(failure_of(start_read(*file, ByteRange{99'000, 300'000})).retryable());
      continue;
    }
    EXPECT_TRUE(read(*file, ByteRange{99'000, 300'000}) == content.substr(99'000));
    EXPECT_TRUE(read(*file, ByteRange{0, 100'001}) == content);
  }
}

TEST_P(RemoteStoreConformance, ARangeBehindTheEndOfAFileOfUnknownSizeIsEmpty) {
  put("file", "0123456789");
  put("empty", "");
  if (server().ends_ranges_with_the_file()) {
    EXPECT_EQ(read(*store().open(path("file"), {}), ByteRange{10, 20}), "");
    EXPECT_EQ(read(*store().open(path("file"), {}), ByteRange{5'000'000, 9'000'000}), "");
  }
  EXPECT_EQ(read(*store().open(path("empty"), {}), ByteRange{0, 100}), "");
}

// --- Many at once --------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, ReadsOfOneFileAreUnderWayTogether) {
  const std::string content = random_bytes(4 << 20);
  put("file", content);
  const auto file = store().open(path("file"), {});
  std::vector<Sink> sinks;
  constexpr std::size_t kPiece = 128 << 10;
  for (std::size_t begin = 0; begin < content.size(); begin += kPiece) {
    sinks.push_back(start_read(*file, ByteRange{begin, begin + kPiece}));
  }
  const Sink whole = start_read(*file, {});
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    EXPECT_TRUE(bytes_of(sinks[i]) == content.substr(i * kPiece, kPiece)) << i;
  }
  EXPECT_TRUE(bytes_of(whole) == content);
}

TEST_P(RemoteStoreConformance, ManyFilesAreReadTogether) {
  constexpr int kFiles = 100;
  for (int i = 0; i < kFiles; ++i) put("file " + std::to_string(i), std::to_string(i));
  std::vector<Sink> sinks;
  for (int i = 0; i < kFiles; ++i) {
    // The file object may go before its read ends.
    sinks.push_back(start_read(*store().open(path("file " + std::to_string(i)), {}), {}));
  }
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_EQ(bytes_of(sinks[static_cast<std::size_t>(i)]), std::to_string(i));
  }
}

TEST_P(RemoteStoreConformance, ThreadsShareAStore) {
  put("directory/file", "content");
  std::vector<std::future<void>> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::async(std::launch::async, [&, i] {
      for (int round = 0; round < 5; ++round) {
        const auto sink = std::make_shared<CollectingSink>();
        store().open(path("directory/file"), {})->read({}, sink, soon());
        const bool is_listed = store().list(path("directory"), soon()).size() == 1;
        const bool is_found = store().stat(path("directory/file"), soon()).has_value();
        const bool is_missing = !store().stat(path("missing " + std::to_string(i)), soon());
        const bool is_read = sink->wait() && sink->bytes() == "content";
        if (is_listed && is_found && is_missing && is_read) ++right;
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  EXPECT_EQ(right, 40);
}

TEST_P(RemoteStoreConformance, AFileOutlivesItsStore) {
  put("file", "content");
  std::shared_ptr<RemoteFile> file;
  {
    const auto opened = open_another(Purpose::MountDir);
    file = opened->open(path("file"), {});
    EXPECT_EQ(read(*file), "content");
  }
  const Sink sink = start_read(*file, {});
  EXPECT_TRUE(sink->wait()) << "neither bytes nor an error";
  EXPECT_TRUE(sink->error() || sink->bytes() == "content");
}

TEST_P(RemoteStoreConformance, AReadThatIsUnderWayEndsWhateverBecomesOfItsStore) {
  put("file", std::string(kLong, 'x'));
  for (const bool has_reached_out : {false, true}) {
    const TimePoint start = std::chrono::steady_clock::now();
    Sink sink;
    {
      const Stall stall(server());
      const int contacts = server().contacts();
      const auto opened = open_another(Purpose::MountDir);
      const auto file = opened->open(path("file"), {});
      sink = start_read(*file, {});
      EXPECT_TRUE(!has_reached_out || eventually([&] { return server().contacts() > contacts; }));
    }
    ASSERT_TRUE(sink->wait()) << "neither bytes nor an error";
    EXPECT_LT(std::chrono::steady_clock::now() - start, 15s);
    if (sink->error()) {
      EXPECT_THAT(sink->error()->kind(), AnyOf(ErrorKind::Cancelled, ErrorKind::Network));
    } else {
      EXPECT_EQ(sink->bytes().size(), kLong);
    }
  }
}

// --- What ends a read early ----------------------------------------------------------------------

TEST_P(RemoteStoreConformance, ASinkThatWantsNothingCancels) {
  put("file", std::string(1 << 20, 'x'));
  for (const auto from : {RefusingSink::From::Answer, RefusingSink::From::Bytes}) {
    for (const std::optional<ByteRange> range : {std::optional<ByteRange>{}, {{0, 1 << 20}}}) {
      const Sink sink = new_sink();
      store()
          .open(path("file"), {})
          ->read(range, std::make_shared<RefusingSink>(from, sink), soon());
      EXPECT_EQ(failure_of(sink).kind(), ErrorKind::Cancelled);
      EXPECT_EQ(sink->bytes().empty(), from == RefusingSink::From::Answer);
    }
  }
  EXPECT_TRUE(read("file") == std::string(1 << 20, 'x'));
}

TEST_P(RemoteStoreConformance, AStopEndsAReadInItsMiddle) {
  put("file", std::string(kLong, 'x'));
  const Sink sink = new_sink();
  const auto stopping = std::make_shared<StoppingSink>(server(), sink);
  store()
      .open(path("file"), {})
      ->read({}, stopping, RequestContext::within(30s, stopping->token()));
  EXPECT_EQ(failure_of(sink).kind(), ErrorKind::Cancelled);
  server().go_on();
  EXPECT_LT(sink->bytes().size(), kLong);
}

TEST_P(RemoteStoreConformance, AReadThatIsStoppedBeforeItBeginsIsCancelled) {
  put("file", "content");
  EXPECT_EQ(failure_of_read("file", stopped()).kind(), ErrorKind::Cancelled);
}

TEST_P(RemoteStoreConformance, AReadPastItsDeadlineIsTimedOut) {
  put("file", "content");
  EXPECT_EQ(failure_of_read("file", too_late()).kind(), ErrorKind::TimedOut);
}

TEST_P(RemoteStoreConformance, StalledReadsEndAtTheirDeadlineOrStop) {
  put("file", "content");
  const auto opened = open_another(Purpose::MountDir);
  EXPECT_TRUE(opened->stat(path("file"), soon()));
  const auto file = opened->open(path("file"), {});
  for (const std::optional<ByteRange> range : {std::optional<ByteRange>{}, {{0, 7}}}) {
    const Stall stall(server());
    std::stop_source stop;
    const TimePoint start = std::chrono::steady_clock::now();
    const Sink late = start_read(*file, range, RequestContext::within(150ms));
    const Sink called_off = start_read(*file, range, RequestContext::within(60s, stop.get_token()));
    EXPECT_EQ(failure_of(late).kind(), ErrorKind::TimedOut);
    EXPECT_EQ(called_off->finishes(), 0);
    stop.request_stop();
    EXPECT_EQ(failure_of(called_off).kind(), ErrorKind::Cancelled);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 15s);
    EXPECT_EQ(late->bytes() + called_off->bytes(), "");
  }
  EXPECT_EQ(read(*file), "content");
  EXPECT_EQ(read(*file, ByteRange{3, 7}), "tent");
}

// --- What is not as it should be -----------------------------------------------------------------

TEST_P(RemoteStoreConformance, AMissingFileIsNotFoundWhenItIsRead) {
  EXPECT_EQ(failure_of_read("missing").kind(), ErrorKind::NotFound);
  const auto file = store().open(path("missing"), {});
  EXPECT_EQ(failure_of(start_read(*file, ByteRange{0, 100})).kind(), ErrorKind::NotFound);
}

TEST_P(RemoteStoreConformance, ADirectoryIsNoFile) {
  put("directory/file", "content");
  const Sink sink = start_read(*store().open(path("directory"), {}), {});
  if (!server().keeps_directories()) {
    EXPECT_EQ(failure_of(sink).kind(), ErrorKind::NotFound);
  } else if (server().tells_directories_from_files()) {
    EXPECT_THAT(failure_of(sink).kind(),
                AnyOf(ErrorKind::Unsupported, ErrorKind::PermissionDenied, ErrorKind::Remote));
    EXPECT_EQ(sink->bytes(), "");
  } else {
    EXPECT_TRUE(sink->wait());
  }
}

TEST_P(RemoteStoreConformance, AFileThatIsAnotherThanKnownIsNotRead) {
  put("file", "one");
  server().set_modified(on_server("file"), kLongAgo);
  const Version known = store().stat(path("file"), soon()).value().version();
  put("file", "two");
  server().set_modified(on_server("file"), kLongAgo + 5s);
  const auto file = store().open(path("file"), known);
  for (const std::optional<ByteRange> range : {std::optional<ByteRange>{}, {{0, 3}}}) {
    const Sink sink = start_read(*file, range);
    EXPECT_EQ(failure_of(sink).kind(), ErrorKind::ChangedRemotely);
    EXPECT_EQ(sink->bytes(), "");
  }
  EXPECT_EQ(read("file"), "two");
}

TEST_P(RemoteStoreConformance, TheFirstAnswerPinsTheVersion) {
  put("file", "one");
  server().set_modified(on_server("file"), kLongAgo);
  const auto file = store().open(path("file"), {});
  EXPECT_EQ(read(*file), "one");
  EXPECT_TRUE(file->version().is_validator());
  put("file", "two");
  server().set_modified(on_server("file"), kLongAgo + 5s);
  for (const std::optional<ByteRange> range : {std::optional<ByteRange>{}, {{0, 3}}}) {
    const Sink sink = start_read(*file, range);
    EXPECT_TRUE(sink->wait());
    // What was read is kept a moment later.
    if (server().keeps_what_was_read() && !sink->error()) {
      EXPECT_EQ(sink->bytes(), "one");
    } else {
      EXPECT_EQ(failure_of(sink).kind(), ErrorKind::ChangedRemotely);
    }
  }
  EXPECT_EQ(read("file"), "two");
}

TEST_P(RemoteStoreConformance, AFileThatHasGrownOrShrunkIsAnother) {
  put("file", std::string(2'000'000, 'x'));
  const Version known = store().stat(path("file"), soon()).value().version();
  const ByteRange part = server().ends_ranges_with_the_file() ? ByteRange{1'500'000, 1'600'000}
                                                              : ByteRange{500'000, 600'000};
  for (const std::size_t size : {2'000'001u, 1'000'000u, 0u}) {
    put("file", std::string(size, 'x'));
    for (const std::optional<ByteRange> range : {std::optional<ByteRange>{}, {part}}) {
      const auto file = store().open(path("file"), known);
      EXPECT_EQ(failure_of(start_read(*file, range)).kind(), ErrorKind::ChangedRemotely) << size;
    }
  }
}

}  // namespace
}  // namespace red::testing
