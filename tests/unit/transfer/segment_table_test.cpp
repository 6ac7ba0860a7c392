#include "transfer/segment_table.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <vector>

namespace red {
namespace {

constexpr std::uint64_t kPiece = SegmentTable::kMinPiece;

TEST(SegmentTable, GivesTheFirstReadEverything) {
  SegmentTable table;
  const auto id = table.add_whole();
  table.set_size(100);
  EXPECT_EQ(table.claim(id, 60), 60U);
  EXPECT_FALSE(table.is_complete(id));
  EXPECT_EQ(table.claim(id, 60), 40U);
  EXPECT_TRUE(table.is_complete(id));
  EXPECT_FALSE(table.is_cut_short(id));
}

TEST(SegmentTable, GivesAFurtherReadTheSecondHalfOfTheLargest) {
  SegmentTable table;
  const auto whole = table.add_whole();
  table.set_size(10 * kPiece);
  table.claim(whole, 2 * kPiece);
  const auto second = table.take();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->range, (ByteRange{6 * kPiece, 10 * kPiece}));
  EXPECT_TRUE(table.is_cut_short(whole));
  table.claim(second->id, kPiece);
  const auto third = table.take();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->range, (ByteRange{4 * kPiece, 6 * kPiece}));
}

TEST(SegmentTable, LeavesSmallSegmentsInOnePiece) {
  SegmentTable table;
  table.add_whole();
  table.set_size(2 * kPiece - 1);
  EXPECT_FALSE(table.take());
}

TEST(SegmentTable, DoesNotSplitWhatHasNoKnownEnd) {
  SegmentTable table;
  table.add_whole();
  EXPECT_FALSE(table.take());
}

TEST(SegmentTable, GivesAwayFirstWhatABrokenReadLeft) {
  SegmentTable table;
  table.add_whole();
  table.set_size(8 * kPiece);
  const auto second = table.take();
  ASSERT_TRUE(second);
  table.claim(second->id, 10);
  table.end(second->id);
  EXPECT_TRUE(table.has_free_pieces());
  const auto again = table.take();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->range, (ByteRange{4 * kPiece + 10, 8 * kPiece}));
}

TEST(SegmentTable, LetsTheReadBeforeGoOnThroughWhatWasNotBegun) {
  SegmentTable table;
  const auto whole = table.add_whole();
  table.set_size(8 * kPiece);
  const auto second = table.take();
  ASSERT_TRUE(second);
  table.end(second->id);
  EXPECT_FALSE(table.has_free_pieces());
  EXPECT_FALSE(table.is_cut_short(whole));
  EXPECT_EQ(table.claim(whole, 8 * kPiece), 8 * kPiece);
}

TEST(SegmentTable, DoesNotExtendAReadThatHasReachedItsEnd) {
  SegmentTable table;
  const auto whole = table.add_whole();
  table.set_size(8 * kPiece);
  const auto second = table.take();
  ASSERT_TRUE(second);
  table.claim(whole, 8 * kPiece);
  ASSERT_TRUE(table.is_complete(whole));
  table.end(second->id);
  EXPECT_TRUE(table.is_complete(whole));
  EXPECT_TRUE(table.has_free_pieces());
}

TEST(SegmentTable, StartsOverOnlyWhileOneReadHasAll) {
  SegmentTable table;
  const auto whole = table.add_whole();
  table.set_size(8 * kPiece);
  table.claim(whole, 100);
  EXPECT_TRUE(table.start_over(whole));
  EXPECT_EQ(table.position(whole), 0U);
  const auto second = table.take();
  ASSERT_TRUE(second);
  EXPECT_FALSE(table.start_over(whole));
  table.claim(second->id, 8 * kPiece);
  table.end(second->id);
  EXPECT_FALSE(table.start_over(whole)) << "the tail came from another read";
}

RC_GTEST_PROP(SegmentTableProperty, ClaimsEveryByteOnceWhateverJoinsAndBreaks, ()) {
  std::mt19937 random(*rc::gen::arbitrary<std::uint32_t>());
  const auto any = [&random](std::uint64_t first, std::uint64_t end) {
    return std::uniform_int_distribution<std::uint64_t>(first, end - 1)(random);
  };
  const std::uint64_t size = any(1, 64 * kPiece);
  SegmentTable table;
  std::map<SegmentTable::Id, std::uint64_t> request_ends{{table.add_whole(), size}};
  table.set_size(size);
  std::vector<ByteRange> claimed;

  for (int steps = 0; !request_ends.empty() || table.has_free_pieces(); ++steps) {
    RC_ASSERT(steps < 5000);
    const std::uint64_t action = any(0, 10);
    if (request_ends.empty() || (action < 2 && request_ends.size() < 16)) {
      if (const auto piece = table.take()) request_ends.emplace(piece->id, piece->range.end);
      continue;
    }
    auto read = request_ends.begin();
    std::advance(read, any(0, request_ends.size()));
    const auto id = read->first;
    const std::uint64_t position = table.position(id);
    const std::uint64_t bytes = any(1, 8 * kPiece);
    const std::uint64_t wanted = table.claim(id, std::min(bytes, read->second - position));
    if (wanted > 0) claimed.push_back({position, position + wanted});
    const bool breaks = action == 9;
    if (breaks || table.is_complete(id)) {
      table.end(id);
      request_ends.erase(read);
    }
  }

  std::sort(claimed.begin(), claimed.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  std::uint64_t next = 0;
  for (const ByteRange& range : claimed) {
    RC_ASSERT(range.begin == next);
    next = range.end;
  }
  RC_ASSERT(next == size);
}

}  // namespace
}  // namespace red
