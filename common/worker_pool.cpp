#include "common/worker_pool.h"

#include <algorithm>

namespace red {

WorkerPool::WorkerPool(std::size_t max_threads)
    : max_threads_(std::max<std::size_t>(max_threads, 1)) {}

void WorkerPool::stop() {
  const std::lock_guard only_one(stop_mutex_);
  std::deque<std::function<void()>> dropped_demand;
  std::deque<std::function<void()>> dropped_background;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped_demand.swap(demand_);
    dropped_background.swap(background_);
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

bool WorkerPool::submit(Priority priority, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (priority == Priority::Background) {
      if (background_.size() >= kMaxQueuedBackground) return false;
      background_.push_back(std::move(task));
    } else {
      demand_.push_back(std::move(task));
    }
    if (idle_ < demand_.size() + background_.size() && threads_.size() < max_threads_) {
      threads_.emplace_back([this] { work(); });
    }
  }
  changed_.notify_one();
  return true;
}

bool WorkerPool::take_next(std::function<void()>& task, bool& is_background) {
  is_background = false;
  if (!demand_.empty()) {
    task = std::move(demand_.front());
    demand_.pop_front();
    return true;
  }
  const std::size_t background_limit = std::max<std::size_t>(max_threads_ / 2, 1);
  if (!background_.empty() && running_background_ < background_limit) {
    task = std::move(background_.front());
    background_.pop_front();
    is_background = true;
    ++running_background_;
    return true;
  }
  return false;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    std::function<void()> task;
    bool is_background = false;
    while (!take_next(task, is_background)) {
      if (stopping_) return;
      ++idle_;
      changed_.wait(lock);
      --idle_;
    }
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    if (is_background) {
      --running_background_;
      // A background task may have been left queued because the lane was full.
      if (!background_.empty()) changed_.notify_one();
    }
  }
}

}  // namespace red
