#include "fuse/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <initializer_list>

namespace red {
namespace {

using std::chrono::microseconds;
constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

/// Small numbers have a bucket each; of larger ones the leading bits decide.
std::size_t LatencyHistogram::bucket_of(std::uint64_t number) noexcept {
  const auto bits = static_cast<unsigned>(std::bit_width(number));
  if (bits <= kSubBits) return number;
  const unsigned shift = bits - kSubBits - 1;
  return (static_cast<std::size_t>(shift) << kSubBits) + (number >> shift);
}

std::uint64_t LatencyHistogram::largest_in(std::size_t bucket) noexcept {
  constexpr std::size_t kSub = 1U << kSubBits;
  if (bucket < 2 * kSub) return bucket;
  const std::size_t shift = (bucket >> kSubBits) - 1;
  return ((bucket - (shift << kSubBits) + 1) << shift) - 1;
}

void LatencyHistogram::record(Duration duration) noexcept {
  constexpr std::uint64_t kMax = (std::uint64_t{1} << kBits) - 1;
  const auto count = std::chrono::duration_cast<microseconds>(duration).count();
  const std::uint64_t number =
      std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)), kMax);
  counts_[bucket_of(number)].fetch_add(1, kRelaxed);
  total_.fetch_add(number, kRelaxed);
  std::uint64_t max = max_.load(kRelaxed);
  while (max < number && !max_.compare_exchange_weak(max, number, kRelaxed)) {
  }
}

LatencySummary LatencyHistogram::summary() const {
  std::array<std::uint64_t, kBuckets> counts{};
  LatencySummary summary;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    counts[i] = counts_[i].load(kRelaxed);
    summary.count += counts[i];
  }
  if (summary.count == 0) return summary;
  const std::uint64_t max = max_.load(kRelaxed);
  const auto percentile = [&](std::uint64_t percent) -> Duration {
    const std::uint64_t rank = (summary.count * percent + 99) / 100;
    std::uint64_t before = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      before += counts[i];
      if (before >= rank) return microseconds(std::min(largest_in(i), max));
    }
    return microseconds(max);
  };
  summary.total = microseconds(total_.load(kRelaxed));
  summary.p50 = percentile(50);
  summary.p90 = percentile(90);
  summary.p99 = percentile(99);
  summary.max = microseconds(max);
  return summary;
}

}  // namespace red
