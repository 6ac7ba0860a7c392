#include "tests/support/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

void kill_processes_of(const std::string& mark) {
  for (const pid_t pid : processes_with_environment(kTestRunVariable, mark)) ::kill(pid, SIGKILL);
}

void remove_directories_of(int process) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_root(), ignored)) {
    if (!entry.path().filename().string().starts_with(temporary_prefix(process))) continue;
    detach_mounts_below(entry.path());
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

[[noreturn]] void guard(int process, const std::string& mark, int parent_alive) {
  ::setsid();
  ::signal(SIGPIPE, SIG_IGN);
  // ctest waits for the output of a test to be closed.
  for (const int standard : {0, 1, 2}) ::close(standard);
  char nothing = 0;
  while (::read(parent_alive, &nothing, 1) > 0) {
  }
  kill_processes_of(mark);
  remove_directories_of(process);
  ::_exit(0);
}

}  // namespace

void start_guardian() {
  const int process = ::getpid();
  const std::string mark = test_run_mark();
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  if (::fork() == 0) {
    ::close(ends[1]);
    // Twice, so that whoever kills the children of the test process does not find this one.
    if (::fork() == 0) guard(process, mark, ends[0]);
    ::_exit(0);
  }
  ::close(ends[0]);
  // Kept open until this process ends; its children must not have it.
  if (::fcntl(ends[1], F_SETFD, FD_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "fcntl");
  }
}

}  // namespace red::testing
