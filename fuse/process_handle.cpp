#include "fuse/process_handle.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>

namespace red {
namespace {

using Clock = std::chrono::steady_clock;

// By number: the declarations of glibc 2.36 lack extern "C".
UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// The fields of /proc/PID/stat from the third on: the second is the name, which may hold anything.
std::optional<std::istringstream> stat_fields_after_name(pid_t pid) {
  std::ifstream stream("/proc/" + std::to_string(pid) + "/stat");
  // Not by an iterator, which throws when the process ends between open and read (ESRCH).
  std::ostringstream content;
  content << stream.rdbuf();
  const std::string text = content.str();
  const std::size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  return std::istringstream(text.substr(end_of_name + 1));
}

/// Waits for `has_ended` by the pidfd, or without one by looking again and again.
bool wait_for_end(const UniqueFd& pidfd, std::chrono::milliseconds limit,
                  const std::function<bool()>& has_ended) {
  constexpr std::chrono::milliseconds kLook{20};
  const auto deadline = Clock::now() + limit;
  while (!has_ended()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    if (pidfd) {
      pollfd ended{pidfd.get(), POLLIN, 0};
      ::poll(&ended, 1, static_cast<int>(left.count()));
    } else {
      std::this_thread::sleep_for(std::min(left, kLook));
    }
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> start_ticks_of(pid_t pid) {
  constexpr int kFieldsBetween = 18;  // state is field 3, the start time field 22
  auto fields = stat_fields_after_name(pid);
  std::string state;
  if (!fields || !(*fields >> state) || state == "Z" || state == "X") return std::nullopt;
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) *fields >> skipped;
  std::uint64_t ticks = 0;
  if (!(*fields >> ticks)) return std::nullopt;
  return ticks;
}

std::optional<ProcessHandle> ProcessHandle::find(pid_t pid, std::uint64_t start_ticks) {
  if (pid <= 0) return std::nullopt;
  // First the handle, then the look at whose it is: in this order the pid cannot change hands
  // between the two.
  UniqueFd pidfd = open_pidfd(pid);
  if (start_ticks_of(pid) != start_ticks) return std::nullopt;
  return ProcessHandle(pid, start_ticks, std::move(pidfd));
}

std::optional<uid_t> ProcessHandle::user() const {
  struct stat status {};
  if (::stat(("/proc/" + std::to_string(pid_)).c_str(), &status) != 0 || has_ended()) {
    return std::nullopt;
  }
  return status.st_uid;
}

void ProcessHandle::signal(int number) const noexcept {
  if (pidfd_) {
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
  } else if (!has_ended()) {
    ::kill(pid_, number);
  }
}

bool ProcessHandle::wait_until_ended(std::chrono::milliseconds limit) const {
  return wait_for_end(pidfd_, limit, [this] { return has_ended(); });
}

std::optional<int> wait_for_child(pid_t child, std::chrono::milliseconds limit) {
  const UniqueFd pidfd = open_pidfd(child);
  int status = 0;
  const auto is_reaped = [&] { return ::waitpid(child, &status, WNOHANG) == child; };
  if (!wait_for_end(pidfd, limit, is_reaped)) return std::nullopt;
  return status;
}

void kill_child(pid_t child) {
  // Time for the kernel to take down a big process; one that hangs in it even now is init's.
  constexpr std::chrono::milliseconds kLimit{1000};
  ::kill(-child, SIGKILL);
  ::kill(child, SIGKILL);
  wait_for_child(child, kLimit);
}

}  // namespace red
