#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/clock.h"

namespace red {

/// Decides how many connections carry large transfers: one more when all there are have more to do
/// than they can for a while, and back to the number before if that has moved no more bytes than
/// without it. Decides and does nothing; not thread-safe.
class SftpGrowthPolicy {
 public:
  explicit SftpGrowthPolicy(std::size_t max_connections) : max_connections_(max_connections) {}

  struct Observation {
    TimePoint now;
    std::size_t ready = 0;                ///< connections that carry transfers
    std::uint64_t moved = 0;              ///< bytes by all connections, ever
    std::optional<TimePoint> busy_since;  ///< all of them; nothing: one keeps up
  };

  /// How many connections large transfers should be spread over; more than there are: open one.
  std::size_t wanted(const Observation& seen);
  /// A further connection was refused.
  void refused(TimePoint now);

 private:
  void sample(const Observation& seen);
  void judge(const Observation& seen);

  const std::size_t max_connections_;
  std::size_t useful_ = SIZE_MAX;  ///< more did not help, or were refused
  TimePoint useful_until_{};
  TimePoint sampled_at_{};
  std::uint64_t sampled_moved_ = 0;
  double rate_ = 0;  ///< bytes per second, of the last full sample
  struct Trial {
    std::size_t connections = 0;
    double rate_before = 0;
    TimePoint begun{};
  };
  std::optional<Trial> trial_;
};

}  // namespace red
