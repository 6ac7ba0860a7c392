#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "common/clock.h"

namespace red {

/// How long things took. Of `count` 0 all else is 0.
struct LatencySummary {
  std::uint64_t count = 0;
  Duration total{};
  Duration p50{};  ///< half of them took no longer; at most 3.2 % too large
  Duration p90{};
  Duration p99{};
  Duration max{};  ///< to the microsecond
};

/// Counts durations by size, in buckets whose width grows with what they hold, as HDR histograms
/// do: 32 for each power of two of microseconds, up to 71 minutes; what is longer counts as that.
/// Takes 8 KiB, whatever it counts. Thread-safe; record() costs three atomic additions.
class LatencyHistogram {
 public:
  void record(Duration duration) noexcept;
  /// Of what was recorded until now; what is recorded meanwhile may be in parts of it only.
  LatencySummary summary() const;

 private:
  static constexpr unsigned kBits = 32;    ///< of the largest number of microseconds
  static constexpr unsigned kSubBits = 5;  ///< of the buckets for one power of two
  static constexpr std::size_t kBuckets = (kBits - kSubBits + 1) << kSubBits;

  static std::size_t bucket_of(std::uint64_t microseconds) noexcept;
  static std::uint64_t largest_in(std::size_t bucket) noexcept;

  std::array<std::atomic<std::uint64_t>, kBuckets> counts_{};
  std::atomic<std::uint64_t> total_{0};  ///< microseconds
  std::atomic<std::uint64_t> max_{0};    ///< microseconds
};

}  // namespace red
