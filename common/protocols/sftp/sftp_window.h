#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "common/clock.h"

namespace red {

/// How many bytes of reads one connection should have asked for and not got yet: twice what the
/// line holds (the rate of delivery × the shortest round trip that was seen), so that the line is
/// always busy, but what is asked for next does not wait long behind what is under way. Decides and
/// does nothing; of one thread.
class SftpWindow {
 public:
  /// What fills a fast line, and a slow one without making anybody wait too long.
  static constexpr std::uint64_t kMin = 1024 * 1024;
  static constexpr std::uint64_t kInitial = 2 * 1024 * 1024;
  static constexpr std::uint64_t kMax = 8 * 1024 * 1024;

  std::uint64_t limit() const noexcept { return limit_; }

  /// A request that was sent then has been answered now.
  void answered(TimePoint sent, TimePoint now);
  /// Bytes of reads have arrived.
  void received(std::uint64_t bytes, TimePoint now);

 private:
  void end_interval(TimePoint now);

  std::uint64_t limit_ = kInitial;
  std::optional<Duration> round_trip_;
  TimePoint interval_begin_{};
  std::uint64_t interval_bytes_ = 0;
  std::deque<double> rates_;  ///< bytes per second of the last intervals
};

}  // namespace red
