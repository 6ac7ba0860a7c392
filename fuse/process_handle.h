#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "common/unique_fd.h"

namespace red {

/// When a process started, in clock ticks since boot (field 22 of /proc/PID/stat): together with
/// the pid it names one process for ever. Nothing if there is no such process, or only its zombie.
std::optional<std::uint64_t> start_ticks_of(pid_t pid);

/// One certain process; never another one that got its pid later.
class ProcessHandle {
 public:
  /// Nothing if that process has ended (a zombie has), or its pid belongs to another one now.
  static std::optional<ProcessHandle> find(pid_t pid, std::uint64_t start_ticks);

  pid_t pid() const noexcept { return pid_; }
  /// The effective user of the process; nothing if it has ended.
  std::optional<uid_t> user() const;
  /// Does nothing if it has ended.
  void signal(int number) const noexcept;
  /// Waits until it has ended, reaped or not. False if it has not within the time.
  bool wait_until_ended(std::chrono::milliseconds limit) const;

 private:
  ProcessHandle(pid_t pid, std::uint64_t start_ticks, UniqueFd pidfd)
      : pid_(pid), start_ticks_(start_ticks), pidfd_(std::move(pidfd)) {}

  bool has_ended() const { return start_ticks_of(pid_) != start_ticks_; }

  pid_t pid_;
  std::uint64_t start_ticks_;
  UniqueFd pidfd_;  ///< empty where the kernel or a container's seccomp filter has no pidfd_open
};

/// Waits for a child of this process and reaps it. Its wait status; nothing if it has not ended
/// within the time.
std::optional<int> wait_for_child(pid_t child, std::chrono::milliseconds limit);

/// Kills a child of this process and its process group, and reaps it. For one that does not answer.
void kill_child(pid_t child);

}  // namespace red
