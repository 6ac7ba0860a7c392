#include "transfer/task_group.h"

#include <utility>

namespace red {

TaskGroup::TaskGroup(std::stop_token outer)
    : outer_watch_(std::move(outer),
                   [this] { fail(Error(ErrorKind::Cancelled, "the transfer was stopped")); }) {}

void TaskGroup::run(WorkerPool& pool, std::function<void()> task) {
  begin();
  pool.submit(Priority::Demand, [this, task = std::move(task)] {
    try {
      if (!has_failed()) task();
    } catch (...) {
      fail(current_exception_as_error());
    }
    end();
  });
}

void TaskGroup::begin() {
  const std::lock_guard lock(mutex_);
  ++open_;
}

void TaskGroup::end() {
  // Notified under the lock: once it is free, the group may be gone.
  const std::lock_guard lock(mutex_);
  if (--open_ == 0) ended_.notify_all();
}

void TaskGroup::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (error_) return;
    error_ = error;
  }
  stop_.request_stop();
}

bool TaskGroup::has_failed() const {
  const std::lock_guard lock(mutex_);
  return error_.has_value();
}

bool TaskGroup::wait_for(Duration limit) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, limit, [this] { return open_ == 0; });
}

void TaskGroup::wait() {
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return open_ == 0; });
  }
  throw_if_failed();
}

void TaskGroup::throw_if_failed() const {
  const std::lock_guard lock(mutex_);
  if (error_) throw Error(*error_);
}

}  // namespace red
