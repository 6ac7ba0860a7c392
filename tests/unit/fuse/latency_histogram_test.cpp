#include "fuse/latency_histogram.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace red {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

TEST(LatencyHistogram, OfNothingIsZero) {
  const LatencySummary summary = LatencyHistogram().summary();
  EXPECT_EQ(summary.count, 0U);
  EXPECT_EQ(summary.max, Duration::zero());
  EXPECT_EQ(summary.p99, Duration::zero());
}

TEST(LatencyHistogram, TellsSmallNumbersExactly) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 50; ++i) histogram.record(microseconds(i));
  const LatencySummary summary = histogram.summary();
  EXPECT_EQ(summary.count, 50U);
  EXPECT_EQ(summary.p50, 25us);
  EXPECT_EQ(summary.p90, 45us);
  EXPECT_EQ(summary.p99, 50us);
  EXPECT_EQ(summary.max, 50us);
  EXPECT_EQ(summary.total, 1275us);
}

TEST(LatencyHistogram, TakesWhatNoClockTells) {
  LatencyHistogram histogram;
  histogram.record(-5s);
  histogram.record(24h);
  const LatencySummary summary = histogram.summary();
  EXPECT_EQ(summary.count, 2U);
  EXPECT_EQ(summary.p50, 0us);
  EXPECT_GT(summary.max, 1h);
}

TEST(LatencyHistogram, LosesNothingThatIsRecordedAtOnce) {
  LatencyHistogram histogram;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram, t] {
      for (int i = 0; i < 10'000; ++i) histogram.record(microseconds(i + t));
    });
  }
  threads.clear();
  EXPECT_EQ(histogram.summary().count, 40'000U);
  EXPECT_EQ(histogram.summary().max, 10'002us);
}

RC_GTEST_PROP(LatencyHistogramProperty, PercentilesAreAtMostAThirtySecondTooLarge, ()) {
  auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint32_t>>(
      rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 1000),
                     rc::gen::inRange<std::uint32_t>(0, 4'000'000'000U))));
  LatencyHistogram histogram;
  for (const std::uint32_t value : values) histogram.record(microseconds(value));
  std::ranges::sort(values);
  const LatencySummary summary = histogram.summary();
  const auto check = [&](Duration told, std::size_t percent) {
    const std::size_t rank = (values.size() * percent + 99) / 100;
    const double exact = values[rank - 1];
    const auto found = static_cast<double>(std::chrono::duration_cast<microseconds>(told).count());
    RC_ASSERT(found >= exact);
    RC_ASSERT(found <= exact * 33 / 32 + 1);
  };
  check(summary.p50, 50);
  check(summary.p90, 90);
  check(summary.p99, 99);
  RC_ASSERT(summary.max == microseconds(values.back()));
  RC_ASSERT(summary.count == values.size());
}

}  // namespace
}  // namespace red
