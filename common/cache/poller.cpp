#include "common/cache/poller.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace red {
namespace {

constexpr std::chrono::microseconds kFirstPause{500};
constexpr std::chrono::milliseconds kLastPause{8};

}  // namespace

void Poller::wait(std::function<bool()> is_over, std::function<void()> resume) {
  const TimePoint next = std::chrono::steady_clock::now() + kFirstPause;
  Waiting waiting{std::move(is_over), std::move(resume), next, kFirstPause};
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    added_.push_back(std::move(waiting));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  changed_.notify_one();
}

void Poller::stop() {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  changed_.notify_all();
  if (thread.joinable()) thread.join();
}

void Poller::run() {
  std::vector<Waiting> waiting;
  TimePoint next = TimePoint::max();
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto is_called = [this] { return stopping_ || !added_.empty(); };
      if (next == TimePoint::max()) {
        changed_.wait(lock, is_called);
      } else {
        changed_.wait_until(lock, next, is_called);
      }
      if (stopping_) {
        waiting.insert(waiting.end(), std::make_move_iterator(added_.begin()),
                       std::make_move_iterator(added_.end()));
        added_.clear();
        break;
      }
      std::ranges::move(added_, std::back_inserter(waiting));
      added_.clear();
    }
    next = look(waiting);
  }
  waiting.clear();
}

/// Returns when to look again.
TimePoint Poller::look(std::vector<Waiting>& waiting) {
  const TimePoint now = std::chrono::steady_clock::now();
  TimePoint next = TimePoint::max();
  std::erase_if(waiting, [&](Waiting& each) {
    if (each.next <= now) {
      if (each.is_over()) {
        each.resume();
        return true;
      }
      each.next = now + each.pause;
      each.pause = std::min<Duration>(each.pause * 3 / 2, kLastPause);
    }
    next = std::min(next, each.next);
    return false;
  });
  return next;
}

}  // namespace red
