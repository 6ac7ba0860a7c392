#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "common/clock.h"

namespace red {

/// Runs callbacks at points in time, on one thread of its own. Callbacks must be short and must not
/// throw. Thread-safe.
class Timer {
 public:
  using Id = std::uint64_t;

  Timer();
  /// Pending callbacks are dropped; a running one is waited for.
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  Id at(TimePoint when, std::function<void()> callback);
  /// True if the callback will not run; false if it has run or is running.
  bool cancel(Id id);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::multimap<TimePoint, std::pair<Id, std::function<void()>>> pending_;
  std::map<Id, TimePoint> when_;
  Id next_id_ = 1;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace red
