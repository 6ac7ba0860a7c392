#include "common/remote/retry.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/collecting_sink.h"
#include "tests/fakes/fake_store.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using testing::CollectingSink;
using testing::FakeAnswer;
using testing::FakeCall;
using testing::FakeRead;
using testing::FakeStore;

const Error kReset(ErrorKind::Network, "connection reset");
const Error kBusy(ErrorKind::Unavailable, "HTTP 503");

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0xFF);
  return text;
}

std::optional<std::chrono::milliseconds> pause(const RetryPolicy& policy, int next_try,
                                               Duration since, const Error& error,
                                               TimePoint deadline = TimePoint::max()) {
  return pause_before(policy, next_try, since, error, TimePoint{}, deadline);
}

/// A store whose pauses are short, so that tests are.
class RetryingStore : public ::testing::Test {
 protected:
  void SetUp() override { wrap({3, 8s, 10s, 2ms, 2ms}); }

  void wrap(RetryPolicy policy) {
    store_.reset();
    auto fake = std::make_unique<FakeStore>();
    fake_ = fake.get();
    fake_->deliver_pieces_of(1000);
    store_ = with_retries(std::move(fake), policy, timer_);
  }

  std::shared_ptr<CollectingSink> read(std::optional<ByteRange> range = std::nullopt,
                                       const RequestContext& context = {}) {
    auto sink = std::make_shared<CollectingSink>();
    store_->open(RemotePath{}.child("f"), {})->read(range, sink, context);
    return sink;
  }

  std::shared_ptr<CollectingSink> read_to_end(std::optional<ByteRange> range = std::nullopt) {
    auto sink = read(range);
    EXPECT_TRUE(sink->wait());
    EXPECT_EQ(sink->finishes(), 1);
    EXPECT_FALSE(sink->is_torn());
    return sink;
  }

  /// Each of the first `times` answers breaks after `bytes`.
  void break_reads(int times, std::uint64_t bytes) {
    fake_->answer_reads_with([=](const FakeRead& read) {
      FakeAnswer answer;
      if (read.number <= times) answer.break_after = bytes;
      return answer;
    });
  }

  Timer timer_;
  FakeStore* fake_ = nullptr;
  std::unique_ptr<RemoteStore> store_;
};

TEST(PauseBefore, GrowsFromATenthOfASecondToItsLimit) {
  const RetryPolicy policy = RetryPolicy::for_mounts();
  for (int i = 0; i < 100; ++i) {
    const auto first = pause(policy, 2, 0s, kReset);
    ASSERT_TRUE(first);
    EXPECT_GE(*first, 50ms);
    EXPECT_LE(*first, 100ms);
    const auto late = pause(policy, 1000, 0s, kReset);
    ASSERT_TRUE(late);
    EXPECT_GE(*late, 1s);
    EXPECT_LE(*late, 2s);
  }
}

TEST(PauseBefore, EndsWithTheLastTry) {
  const RetryPolicy policy = RetryPolicy::for_commands();
  EXPECT_TRUE(pause(policy, 3, 1s, kReset));
  EXPECT_FALSE(pause(policy, 4, 1s, kReset));
}

TEST(PauseBefore, EndsWithTheWindow) {
  EXPECT_FALSE(pause(RetryPolicy::for_commands(), 2, 8s, kReset));
}

TEST(PauseBefore, NeverPassesTheDeadline) {
  EXPECT_FALSE(pause(RetryPolicy::for_commands(), 2, 0s, kReset, TimePoint{} + 50ms));
}

TEST(PauseBefore, IsNotForErrorsThatStay) {
  EXPECT_FALSE(pause(RetryPolicy::for_commands(), 2, 0s, Error(ErrorKind::NotFound, "HTTP 404")));
}

TEST(PauseBefore, DoesWhatTheServerAsksWithinTheWindow) {
  const RetryPolicy policy = RetryPolicy::for_commands();
  EXPECT_EQ(pause(policy, 2, 0s, kBusy.with_retry_after(5s)), 5000ms);
  EXPECT_FALSE(pause(policy, 2, 4s, kBusy.with_retry_after(5s)));
}

TEST_F(RetryingStore, RepeatsBlockingCallsAfterPassingFailures) {
  fake_->set_file("f", "x");
  fake_->fail_next(FakeCall::Stat, 2, kReset);
  fake_->fail_next(FakeCall::List, 2, kBusy);
  fake_->fail_next(FakeCall::Check, 2, kReset);
  EXPECT_TRUE(store_->stat(RemotePath{}.child("f"), {}));
  EXPECT_EQ(store_->list({}, {}).size(), 1U);
  store_->check(Purpose::ReceiveDir, {});
  EXPECT_EQ(fake_->count_of(FakeCall::Stat), 3);
}

TEST_F(RetryingStore, GivesUpAfterTheLastTryWithTheLastError) {
  fake_->fail_next(FakeCall::Stat, 100, kReset);
  try {
    store_->stat({}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), kReset.message());
  }
  EXPECT_EQ(fake_->count_of(FakeCall::Stat), 3);
}

TEST_F(RetryingStore, DoesNotRepeatWhatWillNotChange) {
  fake_->fail_next(FakeCall::Stat, 1, Error(ErrorKind::Authentication, "HTTP 401"));
  EXPECT_THROW(store_->stat({}, {}), Error);
  EXPECT_EQ(fake_->count_of(FakeCall::Stat), 1);
}

TEST_F(RetryingStore, RepeatsUploadsFromTheirBeginning) {
  struct Source final : ByteSource {
    std::string text = pattern(200'000);
    std::uint64_t size() const override { return text.size(); }
    std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
      return text.copy(reinterpret_cast<char*>(buffer.data()), buffer.size(),
                       static_cast<std::size_t>(offset));
    }
  } source;
  fake_->break_next_uploads(100'000, 2, kReset);
  store_->uploader()->upload(RemotePath{}.child("f"), source, {}, {});
  EXPECT_EQ(fake_->content_of("f"), source.text);
  EXPECT_EQ(fake_->count_of(FakeCall::Upload), 3);
}

TEST_F(RetryingStore, RepeatsTheSendingOfATree) {
  EXPECT_EQ(store_->tree_uploader(), nullptr);
  fake_->take_trees(true);
  fake_->fail_next(FakeCall::UploadTree, 2, kBusy);
  store_->tree_uploader()->upload_tree({}, [](std::int64_t) {}, {});
  EXPECT_EQ(fake_->count_of(FakeCall::UploadTree), 3);
}

TEST_F(RetryingStore, HasNoUploaderWhereTheStoreHasNone) {
  fake_->take_uploads(false);
  EXPECT_EQ(store_->uploader(), nullptr);
}

TEST_F(RetryingStore, EndsABlockingPauseAtOnceWhenStopped) {
  wrap({3, 1h, 1h, 1h, 1h});
  fake_->fail_next(FakeCall::Stat, 100, kBusy.with_retry_after(30min));
  std::stop_source stop;
  RequestContext context;
  context.stop = stop.get_token();
  std::thread stopper([&] {
    while (fake_->count_of(FakeCall::Stat) == 0) std::this_thread::yield();
    stop.request_stop();
  });
  try {
    store_->stat({}, context);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  stopper.join();
}

TEST_F(RetryingStore, RepeatsAReadThatGotNoAnswer) {
  fake_->set_file("f", pattern(5000));
  fake_->fail_next(FakeCall::Read, 2, kBusy);
  EXPECT_EQ(read_to_end()->bytes(), pattern(5000));
  EXPECT_EQ(fake_->reads().size(), 3U);
}

TEST_F(RetryingStore, EndsAReadWithTheLastErrorAfterTheLastTry) {
  fake_->set_file("f", pattern(5000));
  fake_->fail_next(FakeCall::Read, 100, kBusy);
  const auto sink = read_to_end();
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Unavailable);
  EXPECT_EQ(fake_->reads().size(), 3U);
}

TEST_F(RetryingStore, ResumesABrokenReadAtTheNextByteHoweverOftenItBreaks) {
  fake_->set_file("f", pattern(20'000));
  break_reads(8, 2100);
  const auto sink = read_to_end();
  EXPECT_FALSE(sink->error());
  EXPECT_EQ(sink->bytes(), pattern(20'000));
  const auto reads = fake_->reads();
  ASSERT_EQ(reads.size(), 9U);
  EXPECT_EQ(reads[0].range, std::nullopt);
  EXPECT_EQ(reads[1].range, (ByteRange{2100, 20'000}));
  EXPECT_EQ(reads[2].range, (ByteRange{4200, 20'000}));
}

TEST_F(RetryingStore, ResumesABrokenRangeUpToItsEnd) {
  fake_->set_file("f", pattern(20'000));
  break_reads(1, 1500);
  const auto sink = read_to_end(ByteRange{3000, 9000});
  EXPECT_EQ(sink->bytes(), pattern(20'000).substr(3000, 6000));
  EXPECT_EQ(fake_->reads()[1].range, (ByteRange{4500, 9000}));
}

TEST_F(RetryingStore, CutsAWholeAnswerWhereTheBytesAreKnownToBeTheSame) {
  fake_->set_file("f", pattern(20'000));
  fake_->serve_ranges(false);
  break_reads(2, 7000);
  const auto sink = read_to_end();
  EXPECT_EQ(sink->bytes(), pattern(20'000));
  ASSERT_EQ(sink->answers().size(), 3U);
  EXPECT_EQ(sink->answers()[1].offset, 7000U);
  EXPECT_EQ(fake_->reads()[1].range, std::nullopt);
}

TEST_F(RetryingStore, OffersToBeginAgainWhereNothingProvesTheSameContent) {
  fake_->set_file("f", pattern(20'000));
  fake_->tell_validators(false);
  break_reads(1, 7000);
  const auto sink = read_to_end();
  EXPECT_EQ(sink->bytes(), pattern(20'000));
  ASSERT_EQ(sink->answers().size(), 2U);
  EXPECT_EQ(sink->answers()[1].offset, 0U);
}

TEST_F(RetryingStore, ReportsAFileThatChangedDuringTheBreak) {
  fake_->set_file("f", pattern(20'000));
  fake_->answer_reads_with([this](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number == 1) answer.break_after = 5000;
    if (read.number == 2) fake_->set_file("f", std::string(20'000, 'n'));
    return answer;
  });
  const auto sink = read_to_end();
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::ChangedRemotely);
  EXPECT_EQ(sink->bytes(), pattern(5000));
}

TEST_F(RetryingStore, GivesUpResumingWhenItTakesTooLong) {
  wrap({3, 8s, 50ms, 5ms, 5ms});
  fake_->set_file("f", pattern(20'000));
  fake_->answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    answer.break_after = 5000;
    if (read.number > 1) answer.refusal = kReset;
    return answer;
  });
  const auto sink = read_to_end();
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->message(), kReset.message());
  EXPECT_GT(fake_->reads().size(), 4U) << "max_tries is for reads without a byte";
}

TEST_F(RetryingStore, TakesBytesThatCameBeforeForNoProgress) {
  wrap({3, 8s, 50ms, 5ms, 5ms});
  fake_->set_file("f", pattern(20'000));
  fake_->tell_validators(false);
  break_reads(std::numeric_limits<int>::max(), 5000);
  const auto sink = read_to_end();
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Network);
}

TEST_F(RetryingStore, HasAnotherPolicyUntilTheServerHasAnswered) {
  auto fake = std::make_unique<FakeStore>();
  FakeStore& calls = *fake;
  const RetryPolicy patient{100, 8s, 10s, 2ms, 2ms};
  const RetryPolicy brief{2, 8s, 10s, 2ms, 2ms};
  const auto store = with_retries(std::move(fake), patient, timer_, brief);
  calls.fail_next(FakeCall::List, 2, kReset);
  EXPECT_THROW(store->list({}, {}), Error);
  EXPECT_EQ(calls.count_of(FakeCall::List), 2);
  store->list({}, {});
  calls.fail_next(FakeCall::List, 10, kReset);
  EXPECT_NO_THROW(store->list({}, {}));
}

TEST_F(RetryingStore, TakesABreakAfterTheLastByteForTheEnd) {
  fake_->set_file("f", pattern(20'000));
  break_reads(1, 20'000);
  const auto sink = read_to_end();
  EXPECT_FALSE(sink->error());
  EXPECT_EQ(fake_->reads().size(), 1U);
}

TEST_F(RetryingStore, EndsAPausedReadAtOnceWhenStopped) {
  wrap({3, 1h, 1h, 1h, 1h});
  fake_->set_file("f", pattern(5000));
  fake_->fail_next(FakeCall::Read, 100, kBusy.with_retry_after(30min));
  std::stop_source stop;
  RequestContext context;
  context.stop = stop.get_token();
  const auto sink = read(std::nullopt, context);
  fake_->wait_for_reads(1);
  stop.request_stop();
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(sink->finishes(), 1);
}

TEST_F(RetryingStore, DoesNotBeginAPauseThatWouldPassTheDeadline) {
  fake_->set_file("f", pattern(5000));
  fake_->fail_next(FakeCall::Read, 100, kBusy.with_retry_after(5s));
  const auto start = std::chrono::steady_clock::now();
  const auto sink = read(std::nullopt, RequestContext::within(2s));
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

TEST_F(RetryingStore, EndsPausedReadsWhenItIsClosed) {
  wrap({3, 1h, 1h, 1h, 1h});
  fake_->set_file("f", pattern(5000));
  fake_->fail_next(FakeCall::Read, 100, kBusy.with_retry_after(30min));
  const auto sink = read();
  fake_->wait_for_reads(1);
  store_.reset();
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(sink->finishes(), 1);
}

TEST_F(RetryingStore, PassesOnThatASinkHasEnough) {
  fake_->set_file("f", pattern(20'000));
  const auto sink = std::make_shared<CollectingSink>(2500);
  store_->open(RemotePath{}.child("f"), {})->read(std::nullopt, sink, {});
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(fake_->reads().size(), 1U);
}

RC_GTEST_PROP(RetryingStoreProperty, NeverSpoilsAReadWhateverBreaks, ()) {
  const auto size = *rc::gen::inRange<std::size_t>(1, 30'000);
  const auto breaks =
      *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, 8'000));
  const bool ranges = *rc::gen::arbitrary<bool>();
  const bool validators = *rc::gen::arbitrary<bool>();
  const bool sizes = *rc::gen::arbitrary<bool>();

  Timer timer;
  auto fake = std::make_unique<FakeStore>();
  fake->set_file("f", pattern(size));
  fake->serve_ranges(ranges);
  fake->tell_validators(validators);
  fake->tell_sizes(sizes);
  fake->deliver_pieces_of(777);
  fake->answer_reads_with([breaks](const FakeRead& read) {
    FakeAnswer answer;
    const auto index = static_cast<std::size_t>(read.number - 1);
    if (index < breaks.size()) answer.break_after = breaks[index];
    return answer;
  });
  const auto store =
      with_retries(std::move(fake), {std::numeric_limits<int>::max(), 1h, 1h, 1ms, 1ms}, timer);
  const auto sink = std::make_shared<CollectingSink>();
  store->open(RemotePath{}.child("f"), {})->read(std::nullopt, sink, {});
  RC_ASSERT(sink->wait());
  RC_ASSERT(!sink->error());
  RC_ASSERT(!sink->is_torn());
  RC_ASSERT(sink->finishes() == 1);
  RC_ASSERT(sink->bytes() == pattern(size));
}

}  // namespace
}  // namespace red
