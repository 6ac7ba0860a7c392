#pragma once

#include <cstdint>

#include "common/clock.h"

namespace red {

/// Decides how many connections one transfer uses: one at first, then 2, 4, 8 … as long as each
/// step made it at least a tenth faster; the step that did not is taken back. Tries again every ten
/// seconds, because networks change. Pure: time and bytes come in, a number goes out.
class ConnectionRamp {
 public:
  ConnectionRamp(int max_connections, TimePoint start);

  /// How many connections to use now that `total_bytes` have come since the start.
  int update(TimePoint now, std::uint64_t total_bytes);

  /// A connection was refused, or broke: one less than `in_use`, and no step for ten seconds.
  void on_refusal(int in_use, TimePoint now);

 private:
  void settle(int connections, TimePoint now);
  void step(double rate);

  const int max_connections_;
  int wanted_ = 1;
  int before_step_ = 1;
  double rate_before_step_ = 0;  ///< bytes per second; 0 before the first measurement
  bool is_climbing_ = true;
  TimePoint settled_at_{};
  TimePoint interval_began_;
  std::uint64_t bytes_at_interval_begin_ = 0;
};

}  // namespace red
