#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace red {

/// Waits for the ends of requests that were started side by side. Every request of SftpClient ends
/// by itself, so that the wait needs no limit of its own.
class SftpGather {
 public:
  /// Before each request.
  void begin() {
    const std::lock_guard lock(mutex_);
    ++open_;
  }
  /// When it has ended; nothing of this may be touched by the request after.
  void end() {
    const std::lock_guard lock(mutex_);
    if (--open_ == 0) all_ended_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    all_ended_.wait(lock, [this] { return open_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_ended_;
  std::size_t open_ = 0;  // guarded by mutex_
};

}  // namespace red
