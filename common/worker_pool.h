#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/request_context.h"

namespace red {

/// A bounded number of threads for calls that block on the network. Background work never takes the
/// last half of them. Threads start when they are needed. Thread-safe.
class WorkerPool {
 public:
  explicit WorkerPool(std::size_t max_threads);
  ~WorkerPool() { stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Queued tasks are dropped (their destructors run), later ones refused, running ones waited for:
  /// end what they wait for first. Not to be called from a task.
  void stop();

  /// `task` must not throw. False: refused, because the pool has
  /// stopped or, in the background, because too many are queued.
  bool submit(Priority priority, std::function<void()> task);

 private:
  void work();
  bool take_next(std::function<void()>& task, bool& is_background);

  static constexpr std::size_t kMaxQueuedBackground = 4096;

  const std::size_t max_threads_;
  std::mutex stop_mutex_;  ///< held while threads are joined: every stop() waits for the end

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::deque<std::function<void()>> demand_;
  std::deque<std::function<void()>> background_;
  std::size_t idle_ = 0;
  std::size_t running_background_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace red
