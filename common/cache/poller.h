#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/clock.h"

namespace red {

/// Looks again and again, on a thread of its own, for what other processes do: there is nothing
/// that would tell. Often at first, less often the longer it takes. Thread-safe.
class Poller {
 public:
  Poller() = default;
  ~Poller() { stop(); }
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  /// Calls `resume` once, on the poller's thread, when `is_over` has said true. Both are destroyed
  /// uncalled when the poller stops. Neither may block for long nor throw.
  void wait(std::function<bool()> is_over, std::function<void()> resume);
  void stop();

 private:
  struct Waiting {
    std::function<bool()> is_over;
    std::function<void()> resume;
    TimePoint next;
    Duration pause;
  };

  void run();
  static TimePoint look(std::vector<Waiting>& waiting);

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::vector<Waiting> added_;
  bool stopping_ = false;
  std::thread thread_;  ///< from the first wait() on
};

}  // namespace red
