#include "fuse/bounded_child.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "common/error.h"
#include "common/unique_fd.h"
#include "fuse/process_handle.h"

namespace red {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void work_in_child(int pipe_fd, const BoundedWork& work) {
  try {
    work([pipe_fd](std::string_view text) {
      while (!text.empty()) {
        const ssize_t count = ::write(pipe_fd, text.data(), text.size());
        if (count < 0 && errno != EINTR) ::_exit(EXIT_FAILURE);
        if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
      }
    });
  } catch (...) {
    ::_exit(EXIT_FAILURE);
  }
  ::_exit(EXIT_SUCCESS);
}

}  // namespace

bool read_until(int fd, Clock::time_point deadline, std::string& output) {
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd readable{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) {
      return false;
    }
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0) return true;
    if (count > 0) output.append(buffer.data(), static_cast<std::size_t>(count));
    if (count < 0 && errno != EINTR) return false;
  }
}

BoundedResult run_bounded(std::chrono::milliseconds limit, const BoundedWork& work) {
  constexpr std::chrono::milliseconds kExitLimit{500};
  const auto deadline = Clock::now() + limit;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error::local_io(errno, "cannot make a pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw Error::local_io(errno, "cannot start a process");
  if (child == 0) work_in_child(write_end.get(), work);
  write_end.reset();

  BoundedResult result;
  if (read_until(read_end.get(), deadline, result.output)) {
    const auto status = wait_for_child(child, kExitLimit);
    result.finished = status == EXIT_SUCCESS;
    if (status) return result;
  }
  kill_child(child);
  return result;
}

}  // namespace red
