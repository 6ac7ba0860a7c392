#pragma once

#include <atomic>

#include "common/clock.h"

namespace red::testing {

/// Time that stands still until a test turns it on. Thread-safe.
class FakeClock final : public Clock {
 public:
  TimePoint now() const noexcept override { return TimePoint(Duration(ticks_)); }
  void advance(Duration by) { ticks_ += by.count(); }

 private:
  std::atomic<Duration::rep> ticks_{Duration(std::chrono::hours(1)).count()};
};

}  // namespace red::testing
