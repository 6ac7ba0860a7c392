#include "common/timer.h"

namespace red {

Timer::Timer() : thread_([this] { run(); }) {}

Timer::~Timer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Timer::Id Timer::at(TimePoint when, std::function<void()> callback) {
  bool is_first = false;
  Id id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = next_id_++;
    const auto position = pending_.emplace(when, std::pair(id, std::move(callback)));
    when_.emplace(id, when);
    is_first = position == pending_.begin();
  }
  if (is_first) changed_.notify_all();
  return id;
}

bool Timer::cancel(Id id) {
  std::function<void()> dropped;  // destroyed outside the lock: it may own anything
  const std::lock_guard lock(mutex_);
  const auto found = when_.find(id);
  if (found == when_.end()) return false;
  auto [first, last] = pending_.equal_range(found->second);
  for (; first != last; ++first) {
    if (first->second.first != id) continue;
    dropped = std::move(first->second.second);
    pending_.erase(first);
    break;
  }
  when_.erase(found);
  return true;
}

void Timer::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (pending_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const TimePoint next = pending_.begin()->first;
    if (std::chrono::steady_clock::now() < next) {
      changed_.wait_until(lock, next);
      continue;
    }
    auto node = pending_.extract(pending_.begin());
    when_.erase(node.mapped().first);
    lock.unlock();
    node.mapped().second();
    node.mapped().second = nullptr;
    lock.lock();
  }
}

}  // namespace red
