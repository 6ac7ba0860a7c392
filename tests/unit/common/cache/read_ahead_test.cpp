#include "common/cache/read_ahead.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace red {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kFile = 1024 * kMiB;
constexpr ReadAheadPolicy::Limits kLimits{32 * kMiB};

TEST(ReadAheadPolicy, ReadsNothingAheadForTheFirstRead) {
  ReadAheadPolicy policy;
  EXPECT_EQ(policy.observe({0, 128 * kKiB}, kFile, kLimits), std::nullopt);
  EXPECT_FALSE(policy.is_sequential());
}

TEST(ReadAheadPolicy, FollowsASequentialReaderWithAGrowingWindow) {
  ReadAheadPolicy policy;
  std::uint64_t widest = 0;
  std::uint64_t ahead = 0;
  for (std::uint64_t at = 0; at < 256 * kMiB; at += 128 * kKiB) {
    const auto next = policy.observe({at, at + 128 * kKiB}, kFile, kLimits);
    if (!next) continue;
    EXPECT_GE(next->begin, ahead);  // never the same bytes twice
    ahead = next->end;
    widest = std::max(widest, ahead - at);
  }
  EXPECT_TRUE(policy.is_sequential());
  EXPECT_GT(widest, 16 * kMiB);
  EXPECT_LE(widest, 33 * kMiB);
}

TEST(ReadAheadPolicy, NeverGoesFurtherThanTheStreamHasRead) {
  ReadAheadPolicy policy;
  for (std::uint64_t at = 0; at < 64 * kMiB; at += 128 * kKiB) {
    const auto next = policy.observe({at, at + 128 * kKiB}, kFile, kLimits);
    if (next) {
      EXPECT_LE(next->end - (at + 128 * kKiB), at + 128 * kKiB);
    }
  }
}

TEST(ReadAheadPolicy, TellsEachByteThatALongScanHasLeftBehindOnce) {
  ReadAheadPolicy policy;
  std::uint64_t left = 0;
  for (std::uint64_t at = 0; at < 256 * kMiB; at += 128 * kKiB) {
    policy.observe({at, at + 128 * kKiB}, kFile, kLimits);
    const auto behind = policy.left_behind();
    if (!behind) continue;
    EXPECT_EQ(behind->begin, left);
    EXPECT_LE(behind->end + 32 * kMiB, at + 128 * kKiB);
    left = behind->end;
  }
  EXPECT_GE(left, (256 - 34) * kMiB);
}

TEST(ReadAheadPolicy, LeavesNothingOfAShortFileBehind) {
  ReadAheadPolicy policy;
  for (std::uint64_t at = 0; at < 32 * kMiB; at += 128 * kKiB) {
    policy.observe({at, at + 128 * kKiB}, kFile, kLimits);
    EXPECT_EQ(policy.left_behind(), std::nullopt);
  }
}

TEST(ReadAheadPolicy, StopsAtTheEndOfTheFile) {
  ReadAheadPolicy policy;
  const std::uint64_t size = 3 * kMiB + 5;
  std::uint64_t ahead = 0;
  for (std::uint64_t at = 0; at < size; at += 128 * kKiB) {
    if (const auto next = policy.observe({at, std::min(at + 128 * kKiB, size)}, size, kLimits)) {
      ahead = std::max(ahead, next->end);
    }
  }
  EXPECT_LE(ahead, size);
}

TEST(ReadAheadPolicy, ToleratesTheKernelsReorderedReads) {
  ReadAheadPolicy policy;
  bool read_ahead = false;
  for (std::uint64_t at = 0; at < 16 * kMiB; at += 2 * kMiB) {
    read_ahead |= policy.observe({at + kMiB, at + 2 * kMiB}, kFile, kLimits).has_value();
    read_ahead |= policy.observe({at, at + kMiB}, kFile, kLimits).has_value();
  }
  EXPECT_TRUE(policy.is_sequential());
  EXPECT_TRUE(read_ahead);
}

TEST(ReadAheadPolicy, KeepsFourInterleavedStreamsApart) {
  ReadAheadPolicy policy;
  int ahead[4] = {};
  for (std::uint64_t step = 0; step < 64; ++step) {
    for (std::uint64_t stream = 0; stream < 4; ++stream) {
      const std::uint64_t at = stream * 200 * kMiB + step * 256 * kKiB;
      if (policy.observe({at, at + 256 * kKiB}, kFile, kLimits)) ++ahead[stream];
    }
  }
  for (const int count : ahead) EXPECT_GT(count, 0);
}

RC_GTEST_PROP(ReadAheadPolicy, ReadsNothingAheadForRandomReaders, ()) {
  ReadAheadPolicy policy;
  const auto count = *rc::gen::inRange(1, 200);
  std::uint64_t previous_end = ~std::uint64_t{0};
  for (int i = 0; i < count; ++i) {
    // Distances that no stream has: odd multiples far apart.
    const auto slot = *rc::gen::inRange<std::uint64_t>(1, 1000);
    const std::uint64_t at = slot * 64 * kMiB + 12345;
    if (at == previous_end) continue;
    previous_end = at + 4 * kKiB;
    RC_ASSERT(!policy.observe({at, at + 4 * kKiB}, 64 * 1001 * kMiB, kLimits).has_value());
  }
}

}  // namespace
}  // namespace red
