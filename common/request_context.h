#pragma once

#include <chrono>
#include <stop_token>

#include "common/clock.h"

namespace red {

enum class Priority {
  Demand,      ///< somebody waits for it
  Background,  ///< reading ahead, listing ahead
};

/// How long a call may take, who may call it off, and how urgent it is. Copied into every request.
/// When the stop is requested the call ends with Error{Cancelled}; past the deadline with
/// Error{TimedOut}.
struct RequestContext {
  TimePoint deadline = TimePoint::max();
  std::stop_token stop = {};
  Priority priority = Priority::Demand;

  static RequestContext within(Duration limit, std::stop_token stop = {}) {
    return {std::chrono::steady_clock::now() + limit, std::move(stop), Priority::Demand};
  }
};

}  // namespace red
