#include "common/cache/block_cache.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <set>
#include <thread>

namespace red {
namespace {

constexpr ContentId kContent = 7;
constexpr TimePoint kSoon = TimePoint(std::chrono::hours(1));

struct Outcome {
  int completions = 0;
  std::optional<Error> error;
  std::vector<std::shared_ptr<Block>> blocks;
};

std::pair<std::shared_ptr<BlockRequest>, std::shared_ptr<Outcome>> make_request(
    BlockRun run, TimePoint deadline = kSoon) {
  auto outcome = std::make_shared<Outcome>();
  auto request = std::make_shared<BlockRequest>(
      run, deadline, [outcome](const Error* error, std::vector<std::shared_ptr<Block>> blocks) {
        ++outcome->completions;
        if (error != nullptr) outcome->error = *error;
        outcome->blocks = std::move(blocks);
      });
  return {request, outcome};
}

void fill(BlockCache& cache, BlockRun run, ContentId content = kContent) {
  for (std::uint64_t index = run.first; index < run.end; ++index) {
    std::memset(cache.claimed(content, index)->data(), static_cast<int>(index % 251), kBlockSize);
    cache.publish(content, index);
  }
}

std::byte byte_of(std::uint64_t index) { return static_cast<std::byte>(index % 251); }

TEST(BlockCache, TellsTheFirstOfTwoReadersToFetchAndServesBoth) {
  BlockCache cache(10 * kBlockSize);
  const auto [first, first_outcome] = make_request({0, 2});
  const auto [second, second_outcome] = make_request({1, 3});

  EXPECT_EQ(cache.request(kContent, first), (std::vector<BlockRun>{{0, 2}}));
  EXPECT_EQ(cache.request(kContent, second), (std::vector<BlockRun>{{2, 3}}));
  EXPECT_EQ(first_outcome->completions, 0);
  fill(cache, {0, 2});
  EXPECT_EQ(first_outcome->completions, 1);
  EXPECT_EQ(second_outcome->completions, 0);
  fill(cache, {2, 3});
  EXPECT_EQ(second_outcome->completions, 1);
  ASSERT_EQ(second_outcome->blocks.size(), 2U);
  EXPECT_EQ(second_outcome->blocks[1]->data()[0], byte_of(2));
}

TEST(BlockCache, CompletesAtOnceWhenEverythingIsThere) {
  BlockCache cache(10 * kBlockSize);
  cache.request(kContent, make_request({0, 3}).first);
  fill(cache, {0, 3});
  const auto [request, outcome] = make_request({0, 3});
  EXPECT_TRUE(cache.request(kContent, request).empty());
  EXPECT_EQ(outcome->completions, 1);
}

TEST(BlockCache, NeverMixesTwoContents) {
  BlockCache cache(10 * kBlockSize);
  cache.request(1, make_request({0, 1}).first);
  fill(cache, {0, 1}, 1);
  const auto [request, outcome] = make_request({0, 1});
  EXPECT_EQ(cache.request(2, request), (std::vector<BlockRun>{{0, 1}}));
  EXPECT_EQ(outcome->completions, 0);
  fill(cache, {0, 1}, 2);
}

TEST(BlockCache, EvictsLeastRecentlyUsedWhenFull) {
  BlockCache cache(3 * kBlockSize);
  for (std::uint64_t index = 0; index < 3; ++index) {
    cache.request(kContent, make_request({index, index + 1}).first);
    fill(cache, {index, index + 1});
  }
  cache.request(kContent, make_request({0, 1}).first);  // block 1 is the oldest now
  cache.request(kContent, make_request({3, 4}).first);
  fill(cache, {3, 4});

  EXPECT_TRUE(cache.request(kContent, make_request({0, 1}).first).empty());
  EXPECT_TRUE(cache.request(kContent, make_request({2, 3}).first).empty());
  EXPECT_EQ(cache.request(kContent, make_request({1, 2}).first), (std::vector<BlockRun>{{1, 2}}));
  fill(cache, {1, 2});
}

TEST(BlockCache, ReadsAheadOnlyWithinTheBudget) {
  BlockCache cache(4 * kBlockSize);
  EXPECT_EQ(cache.claim_ahead(kContent, {0, 10}), (std::vector<BlockRun>{{0, 4}}));
  EXPECT_LE(cache.bytes_in_use(), cache.max_bytes());
  cache.fail(kContent, {0, 4}, Error(ErrorKind::Network, "cut"), TimePoint::max());
  EXPECT_EQ(cache.bytes_in_use(), 0U);
}

TEST(BlockCache, MemoryOfEvictedBlocksStaysWithThoseWhoReadThem) {
  BlockCache cache(2 * kBlockSize);
  const auto [request, outcome] = make_request({0, 2});
  cache.request(kContent, request);
  fill(cache, {0, 2});
  cache.request(kContent, make_request({5, 7}).first);
  fill(cache, {5, 7});
  EXPECT_EQ(outcome->blocks[1]->data()[kBlockSize - 1], byte_of(1));
}

TEST(BlockCache, FailureEndsTheRequestAndTheNextOneFetchesAgain) {
  BlockCache cache(4 * kBlockSize);
  const auto [request, outcome] = make_request({0, 2});
  cache.request(kContent, request);
  fill(cache, {0, 1});
  EXPECT_TRUE(
      cache.fail(kContent, {1, 2}, Error(ErrorKind::Remote, "HTTP 500"), TimePoint::max()).empty());
  ASSERT_TRUE(outcome->error);
  EXPECT_EQ(outcome->error->kind(), ErrorKind::Remote);
  EXPECT_EQ(cache.request(kContent, make_request({0, 2}).first), (std::vector<BlockRun>{{1, 2}}));
  fill(cache, {1, 2});
}

TEST(BlockCache, KeepsBlocksClaimedForReadersThatHaveTimeLeft) {
  BlockCache cache(4 * kBlockSize);
  const auto [hasty, hasty_outcome] = make_request({0, 1}, TimePoint(std::chrono::seconds(10)));
  const auto [patient, patient_outcome] = make_request({0, 1}, TimePoint(std::chrono::seconds(40)));
  cache.request(kContent, hasty);
  cache.request(kContent, patient);
  const auto again = cache.fail(kContent, {0, 1}, Error(ErrorKind::TimedOut, "stalled"),
                                TimePoint(std::chrono::seconds(20)));
  EXPECT_EQ(again, (std::vector<BlockRun>{{0, 1}}));
  EXPECT_TRUE(hasty_outcome->error);
  EXPECT_EQ(patient_outcome->completions, 0);
  fill(cache, {0, 1});
  EXPECT_EQ(patient_outcome->completions, 1);
  EXPECT_FALSE(patient_outcome->error);
}

TEST(BlockCache, AbandonedRequestCompletesOnceThoughItsBlockArrivesLater) {
  BlockCache cache(4 * kBlockSize);
  const auto [request, outcome] = make_request({0, 1});
  cache.request(kContent, request);
  EXPECT_TRUE(cache.abandon(request, Error(ErrorKind::Cancelled, "gone")));
  EXPECT_FALSE(cache.abandon(request, Error(ErrorKind::Cancelled, "gone")));
  fill(cache, {0, 1});
  EXPECT_EQ(outcome->completions, 1);
}

TEST(BlockCache, HandsWaitingRequestsOverWhenBlocksAreReleased) {
  BlockCache cache(4 * kBlockSize);
  const auto [request, outcome] = make_request({0, 3});
  cache.request(kContent, request);
  const auto released = cache.release(kContent, {0, 3});
  ASSERT_EQ(released.size(), 1U);
  EXPECT_TRUE(cache.take_over(released[0]));
  EXPECT_FALSE(cache.take_over(released[0]));
  EXPECT_EQ(outcome->completions, 0);
  EXPECT_EQ(cache.bytes_in_use(), 0U);
}

TEST(BlockCache, GivesMemoryUpForWhatIsReservedButKeepsAQuarter) {
  BlockCache cache(8 * kBlockSize);
  cache.request(kContent, make_request({0, 8}).first);
  fill(cache, {0, 8});
  cache.reserve(4 * static_cast<std::int64_t>(kBlockSize));
  EXPECT_LE(cache.bytes_in_use(), 4 * kBlockSize);
  cache.reserve(100 * static_cast<std::int64_t>(kBlockSize));
  EXPECT_EQ(cache.bytes_in_use(), 2 * kBlockSize);
  cache.reserve(-104 * static_cast<std::int64_t>(kBlockSize));
  EXPECT_EQ(cache.claim_ahead(kContent, {10, 16}).size(), 1U);
  cache.release(kContent, {10, 16});
}

TEST(BlockCache, DropsWhatIsPresentButNothingThatIsStillFetched) {
  BlockCache cache(8 * kBlockSize);
  const auto [request, outcome] = make_request({0, 3});
  cache.request(kContent, request);
  fill(cache, {0, 2});
  cache.drop(kContent, {0, 3});
  EXPECT_EQ(cache.request(kContent, make_request({1, 3}).first), (std::vector<BlockRun>{{1, 2}}));
  fill(cache, {1, 3});
  EXPECT_EQ(outcome->completions, 1);
  EXPECT_EQ(outcome->blocks.at(0)->data()[0], byte_of(0));
}

TEST(BlockCache, KeepsNothingWhenToldSo) {
  BlockCache cache(8 * kBlockSize);
  const auto [request, outcome] = make_request({0, 1});
  cache.request(kContent, request);
  cache.publish(kContent, 0, false);
  EXPECT_EQ(outcome->completions, 1);
  outcome->blocks.clear();
  EXPECT_EQ(cache.bytes_in_use(), 0U);
}

/// Random readers, fetchers and failures against sets that say which block must be where.
RC_GTEST_PROP(BlockCache, BehavesLikeItsModel, ()) {
  constexpr std::uint64_t kFileBlocks = 24;
  const auto budget = *rc::gen::inRange<std::size_t>(1, 12);
  BlockCache cache(budget * kBlockSize);
  std::set<std::uint64_t> claimed;
  std::vector<std::pair<BlockRun, std::shared_ptr<Outcome>>> readers;
  std::vector<std::shared_ptr<BlockRequest>> requests;

  const auto claim = [&](const std::vector<BlockRun>& runs) {
    for (const BlockRun& run : runs) {
      for (auto index = run.first; index < run.end; ++index) {
        RC_ASSERT(claimed.insert(index).second);  // exactly one is told to fetch
      }
    }
  };
  const auto some_run = [&] {
    const auto first = *rc::gen::inRange<std::uint64_t>(0, kFileBlocks);
    return BlockRun{first, std::min(first + *rc::gen::inRange<std::uint64_t>(1, 6), kFileBlocks)};
  };
  const auto steps = *rc::gen::inRange(1, 80);
  for (int step = 0; step < steps; ++step) {
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
      case 1: {
        const BlockRun run = some_run();
        auto [request, outcome] = make_request(run);
        readers.emplace_back(run, outcome);
        requests.push_back(request);
        claim(cache.request(kContent, request));
        break;
      }
      case 2:
        claim(cache.claim_ahead(kContent, some_run()));
        RC_ASSERT(cache.bytes_in_use() <= budget * kBlockSize + claimed.size() * kBlockSize +
                                              readers.size() * 6 * kBlockSize);
        break;
      case 3:
        if (!claimed.empty()) {
          const auto index = *rc::gen::elementOf(claimed);
          fill(cache, {index, index + 1});
          claimed.erase(index);
        }
        break;
      default:
        if (!claimed.empty()) {
          const auto index = *rc::gen::elementOf(claimed);
          cache.fail(kContent, {index, index + 1}, Error(ErrorKind::Network, "cut"),
                     TimePoint::max());
          claimed.erase(index);
        }
    }
  }
  for (const auto index : claimed) fill(cache, {index, index + 1});
  for (const auto& [run, outcome] : readers) {
    RC_ASSERT(outcome->completions == 1);
    if (outcome->error) continue;
    RC_ASSERT(outcome->blocks.size() == run.end - run.first);
    for (auto index = run.first; index < run.end; ++index) {
      RC_ASSERT(outcome->blocks[index - run.first]->data()[17] == byte_of(index));
    }
  }
  readers.clear();
  requests.clear();
  RC_ASSERT(cache.bytes_in_use() <= budget * kBlockSize);
}

TEST(BlockCache, TellsHowMuchWasFilledForNobody) {
  BlockCache cache(2 * kBlockSize);
  const auto fill_ahead = [&cache](std::uint64_t index, std::size_t bytes) {
    ASSERT_EQ(cache.claim_ahead(kContent, {index, index + 1}).size(), 1U);
    cache.publish(kContent, index, true, bytes);
  };
  const auto ask = [&cache](std::uint64_t index) {
    auto request = std::make_shared<BlockRequest>(
        BlockRun{index, index + 1}, kSoon,
        [](const Error*, const std::vector<std::shared_ptr<Block>>&) {});
    return cache.request(kContent, request);
  };
  fill_ahead(0, kBlockSize);
  fill_ahead(1, 100);
  EXPECT_EQ(cache.bytes_without_use(), kBlockSize + 100);
  ask(1);
  ask(1);
  EXPECT_EQ(cache.bytes_without_use(), kBlockSize);
  fill_ahead(2, kBlockSize);  // in the place of block 0, which is lost unread
  EXPECT_EQ(cache.bytes_without_use(), 2 * kBlockSize);
  EXPECT_EQ(ask(0).size(), 1U);
  cache.publish(kContent, 0);
  EXPECT_EQ(cache.bytes_without_use(), 2 * kBlockSize) << "fetched again, and not for nothing";
  cache.drop(kContent, {2, 3});
  EXPECT_EQ(cache.bytes_without_use(), 2 * kBlockSize);
}

TEST(BlockCache, ServesManyThreadsEachBlockOnce) {
  BlockCache cache(64 * kBlockSize);
  std::atomic<int> fetched{0};
  std::atomic<int> right{0};
  constexpr int kThreads = 8;
  constexpr std::uint64_t kBlocks = 32;
  const auto read_all = [&] {
    for (std::uint64_t index = 0; index < kBlocks; ++index) {
      std::promise<bool> answer;
      auto request = std::make_shared<BlockRequest>(
          BlockRun{index, index + 1}, kSoon,
          [&](const Error*, const std::vector<std::shared_ptr<Block>>& blocks) {
            answer.set_value(blocks.at(0)->data()[0] == byte_of(index));
          });
      for (const BlockRun& run : cache.request(kContent, request)) {
        ++fetched;
        fill(cache, run);
      }
      if (answer.get_future().get()) ++right;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(read_all);
  }
  EXPECT_EQ(fetched.load(), static_cast<int>(kBlocks));
  EXPECT_EQ(right.load(), kThreads * static_cast<int>(kBlocks));
}

}  // namespace
}  // namespace red
