#include "fuse/files_ahead.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace red {
namespace {

/// A directory whose three orders are the same.
FilesAheadPolicy::Step open_at(FilesAheadPolicy& policy, std::size_t rank) {
  return policy.opened({rank, rank, rank}, std::nullopt);
}

TEST(FilesAheadPolicy, TheThirdFileInARowBringsTheNextOnes) {
  FilesAheadPolicy policy;
  EXPECT_FALSE(open_at(policy, 10).order);
  EXPECT_FALSE(open_at(policy, 11).order);
  const auto step = open_at(policy, 12);
  ASSERT_TRUE(step.order);
  EXPECT_EQ(step.begin, 13U);
  EXPECT_EQ(step.end, 21U);
}

TEST(FilesAheadPolicy, EachFileIsAskedForOnceAndTheWindowGrowsToItsBound) {
  FilesAheadPolicy policy;
  std::size_t next = 3;
  std::size_t longest = 0;
  for (std::size_t rank = 0; rank < 5000; ++rank) {
    const auto step = open_at(policy, rank);
    EXPECT_FALSE(step.is_broken);
    if (!step.order) continue;
    EXPECT_EQ(step.begin, next);
    EXPECT_GT(step.end, step.begin);
    next = step.end;
    longest = std::max(longest, step.end - rank - 1);
  }
  EXPECT_EQ(longest, 256U);
  EXPECT_GE(next, 5000U);
}

TEST(FilesAheadPolicy, TellsTheOrderByWhichTheReaderGoes) {
  for (const FileOrder order : {FileOrder::Listed, FileOrder::ByName, FileOrder::Numeric}) {
    FilesAheadPolicy policy;
    for (std::size_t i = 0; i < 3; ++i) {
      // In the other orders the files lie far from each other.
      FileRanks ranks{5000 - 1000 * i, 7000 - 1000 * i, 9000 - 1000 * i};
      ranks[static_cast<std::size_t>(order)] = 100 + i;
      policy.opened(ranks, std::nullopt);
    }
    EXPECT_EQ(policy.order(), order);
  }
}

TEST(FilesAheadPolicy, AReaderThatGoesElsewhereEndsIt) {
  FilesAheadPolicy policy;
  for (std::size_t rank = 0; rank < 3; ++rank) open_at(policy, rank);
  EXPECT_TRUE(open_at(policy, 1000).is_broken);
  EXPECT_FALSE(policy.order());
  EXPECT_FALSE(open_at(policy, 5).order);
}

TEST(FilesAheadPolicy, ReadersThatShareTheWorkMayOvertakeEachOther) {
  FilesAheadPolicy policy;
  std::size_t asked = 0;
  for (std::size_t first = 0; first < 400; first += 8) {
    for (const std::size_t offset : {3, 0, 1, 7, 2, 5, 4, 6}) {
      const auto step = open_at(policy, first + offset);
      EXPECT_FALSE(step.is_broken);
      if (step.order) asked += step.end - step.begin;
    }
  }
  EXPECT_GT(asked, 380U);
}

TEST(FilesAheadPolicy, TheSiblingOfADirectoryThatWasReadInOrderBeginsAtOnce) {
  FilesAheadPolicy policy;
  EXPECT_TRUE(policy.opened({7, 0, 3}, FileOrder::ByName).order);
  FilesAheadPolicy other;
  EXPECT_FALSE(other.opened({7, 1, 0}, FileOrder::ByName).order);
}

TEST(FilesAheadPolicy, WhatThereWasNoRoomForIsAskedForLater) {
  FilesAheadPolicy policy;
  for (std::size_t rank = 0; rank < 3; ++rank) open_at(policy, rank);
  policy.stopped_at(4);
  const auto step = open_at(policy, 3);
  ASSERT_TRUE(step.order);
  EXPECT_EQ(step.begin, 4U);
}

RC_GTEST_PROP(FilesAheadPolicy, RandomReadersOfALargeDirectoryCostNothing, ()) {
  FilesAheadPolicy policy;
  const auto ranks = *rc::gen::container<std::vector<std::size_t>>(
      50, rc::gen::map(rc::gen::inRange<std::size_t>(0, 1'000'000),
                       [](std::size_t at) { return at * 40; }));
  for (const std::size_t rank : ranks) RC_ASSERT(!open_at(policy, rank).order);
}

TEST(NumericOrder, ComparesNumbersByTheirValue) {
  std::vector<std::string> names{"f10", "f9", "f1", "g2", "f", "f010", "10", "9", "f1a", "f1-2"};
  std::ranges::sort(names, numerically_before);
  EXPECT_EQ(names, (std::vector<std::string>{"9", "10", "f", "f1", "f1-2", "f1a", "f9", "f010",
                                             "f10", "g2"}));
}

RC_GTEST_PROP(NumericOrder, IsATotalOrder, ()) {
  const auto name = rc::gen::container<std::string>(rc::gen::element('0', '1', '9', 'a', '-'));
  const auto a = *name;
  const auto b = *name;
  const auto c = *name;
  RC_ASSERT(!numerically_before(a, a));
  RC_ASSERT(a == b || numerically_before(a, b) != numerically_before(b, a));
  if (numerically_before(a, b) && numerically_before(b, c)) RC_ASSERT(numerically_before(a, c));
}

}  // namespace
}  // namespace red
