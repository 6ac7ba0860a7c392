#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "common/clock.h"
#include "common/unique_fd.h"
#include "fuse/mount_registry.h"
#include "fuse/readiness.h"
#include "fuse/status_socket.h"

namespace red {

/// Watches over a process that serves a mount, from a thread of its own: asks it to stop at
/// SIGTERM, SIGINT and SIGHUP or when the command that started it has gone too early, tells that
/// command when the mount is ready, and answers what the daemon is asked. When the stop takes too
/// long it takes the mount down and ends the process.
class DaemonMonitor {
 public:
  /// Must be made before any other thread, whose signals would end the process. `command` is null
  /// in the foreground. Both must outlive the monitor, and are its own until then.
  DaemonMonitor(MountClaim& claim, CommandLink* command);
  ~DaemonMonitor();
  DaemonMonitor(const DaemonMonitor&) = delete;
  DaemonMonitor& operator=(const DaemonMonitor&) = delete;

  /// Requested once, when serving is to end; callbacks run on a thread of their own.
  std::stop_token stop_token() const { return stop_.get_token(); }

  /// To call when the kernel has accepted the mount. Returns at once. Thread-safe.
  void mounted() noexcept;
  /// Whether the mount was ready at any time. Thread-safe.
  bool was_ready() const noexcept { return ready_; }

  /// Answers with `answers` from now on; an empty one ends that: when this returns, the one before
  /// is not called any more. Thread-safe.
  void set_answers(StatusServer::Answers answers);

 private:
  void run();
  void take_events();
  void handle_signal();
  void handle_command();
  void announce();
  void answer_questions();
  void stop(const std::string& reason);
  [[noreturn]] void end_by_force();
  int milliseconds_to_wait() const;
  void wake() noexcept;

  // set once
  MountClaim& claim_;
  sigset_t previous_signals_{};
  UniqueFd signals_;
  UniqueFd wake_;

  std::atomic<bool> mounted_ = false;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> finished_ = false;
  std::stop_source stop_;

  // of the monitor's thread
  StatusServer status_server_;
  CommandLink* command_;
  std::optional<TimePoint> force_at_;  ///< once it is asked to stop
  std::thread stopper_;

  std::mutex mutex_;
  // guarded by mutex_
  StatusServer::Answers answers_;

  std::thread thread_;
};

}  // namespace red
