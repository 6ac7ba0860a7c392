#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>

#include "common/clock.h"
#include "common/error.h"
#include "common/worker_pool.h"

namespace red {

/// Work that succeeds or fails as one: the first error stops the rest and is the one reported.
/// Thread-safe.
class TaskGroup {
 public:
  /// When `outer` is requested, the group fails with Error{Cancelled}.
  explicit TaskGroup(std::stop_token outer);
  /// All work must have ended.
  ~TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Runs `task` on a thread of the pool, unless the group has failed by then. What it throws fails
  /// the group.
  void run(WorkerPool& pool, std::function<void()> task);

  /// For work that goes on without a thread: the group has not ended before the end of each that
  /// began.
  void begin();
  void end();

  void fail(const Error& error);
  bool has_failed() const;
  /// Requested when the group fails; for all that its tasks wait for.
  std::stop_token stop() const { return stop_.get_token(); }

  /// Whether all has ended, within `limit`.
  bool wait_for(Duration limit);
  /// Until all has ended; throws the error, if there was one.
  void wait();
  /// After the end: throws the error, if there was one.
  void throw_if_failed() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  // guarded by mutex_
  std::size_t open_ = 0;
  std::optional<Error> error_;

  std::stop_source stop_;
  std::stop_callback<std::function<void()>> outer_watch_;
};

}  // namespace red
