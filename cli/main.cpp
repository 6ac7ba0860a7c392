#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/stop_on_signals.h"
#include "common/error.h"

namespace {

/// A descriptor that the caller closed would be given to the next file that is opened, and messages
/// would be written into it.
void open_missing_standard_files() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) {
      [[maybe_unused]] const int lowest_free = ::open("/dev/null", O_RDWR);
    }
  }
}

/// Memory holds passwords. A limit of 1 byte, not 0, because 0 does not keep the kernel from
/// handing the memory to a program that core_pattern names (core(5)). PR_SET_DUMPABLE would hide
/// /proc/self/fdinfo from ordinary users on kernels before 5.14.
void forbid_core_dumps() {
  const rlimit limit{1, 1};
  ::setrlimit(RLIMIT_CORE, &limit);
}

std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

void print_answer(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw red::Error::local_io(errno, "cannot write to the standard output");
  }
}

void run(const std::string& program, const std::vector<std::string>& arguments) {
  const auto request = red::parse_command_line(program, arguments);
  if (const auto* answer = std::get_if<red::AnswerText>(&request)) {
    print_answer(*answer);
  } else {
    red::run_command(std::get<red::Invocation>(request), program);
  }
}

int exit_code_for(const red::Error& error) {
  const int signal = red::StopOnSignals::received();
  // What a shell shows for a command that a signal ended.
  return signal != 0 ? 128 + signal : error.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  open_missing_standard_files();
  forbid_core_dumps();
  ::signal(SIGPIPE, SIG_IGN);
  const std::string program = argc > 0 ? file_name(argv[0]) : "red-connector";
  try {
    run(program, std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
    return 0;
  } catch (...) {
    const red::Error error = red::current_exception_as_error();
    std::fprintf(stderr, "%s: %s\n", program.c_str(), error.message().c_str());
    return exit_code_for(error);
  }
}
