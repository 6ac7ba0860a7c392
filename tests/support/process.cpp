#include "tests/support/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "tests/support/file_descriptor.h"

namespace red::testing {

const char* const kTestRunVariable = "RED_TEST_RUN";
std::string test_run_mark() { return std::to_string(::getpid()); }

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// argv and envp, made before the fork: afterwards only async-signal-safe calls are allowed.
class ExecArguments {
 public:
  explicit ExecArguments(const Command& command) : arguments_(command.arguments) {
    for (char** entry = environ; *entry != nullptr; ++entry) environment_.emplace_back(*entry);
    set(kTestRunVariable, test_run_mark());
    for (const auto& [name, value] : command.environment) set(name, value);
    for (std::string& argument : arguments_) argv_.push_back(argument.data());
    for (std::string& variable : environment_) envp_.push_back(variable.data());
    argv_.push_back(nullptr);
    envp_.push_back(nullptr);
  }
  char* const* argv() const { return argv_.data(); }
  char* const* envp() const { return envp_.data(); }

 private:
  void set(const std::string& name, const std::string& value) {
    std::erase_if(environment_,
                  [&](const std::string& variable) { return variable.starts_with(name + "="); });
    environment_.push_back(name + "=" + value);
  }

  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
};

struct Streams {
  int input;
  int output;
  int errors;
};

void become(uid_t user) {
  if (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0) ::_exit(126);
}

pid_t spawn(const Command& command, const Streams& streams, bool own_terminal) {
  const ExecArguments exec(command);
  const std::string directory = command.directory.string();
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return pid;

  ::setsid();
  if (own_terminal) ::ioctl(streams.input, TIOCSCTTY, 0);
  ::dup2(streams.input, 0);
  ::dup2(streams.output, 1);
  ::dup2(streams.errors, 2);
  if (!directory.empty() && ::chdir(directory.c_str()) != 0) ::_exit(126);
  if (command.user) become(*command.user);
  ::execve(exec.argv()[0], exec.argv(), exec.envp());
  ::_exit(127);
}

struct Ending {
  int exit_code;
  long max_resident_kib;
};

std::optional<Ending> wait_until(pid_t pid, Clock::time_point end) {
  // Debian 12's declaration of pidfd_open() is not for C++.
  const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) fail("pidfd_open");
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
  pollfd ended{process.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(std::max<long>(left.count(), 0))) <= 0) return {};
  int status = 0;
  rusage usage{};
  if (::wait4(pid, &status, 0, &usage) != pid) fail("wait4");
  const int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return Ending{exit_code, usage.ru_maxrss};
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
    reader = FileDescriptor(ends[0]);
    writer = FileDescriptor(ends[1]);
  }
  FileDescriptor reader;
  FileDescriptor writer;
};

// False at the end of the stream. A terminal whose last user has gone answers EIO.
bool read_some(int descriptor, std::string& into) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  into.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

struct Reading {
  int descriptor;
  std::string* into;
};

// False if the limit came before all ends.
bool read_to_end(std::vector<Reading> open, Clock::time_point end) {
  while (!open.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    std::vector<pollfd> polled;
    for (const Reading& reading : open) polled.push_back({reading.descriptor, POLLIN, 0});
    if (::poll(polled.data(), polled.size(), static_cast<int>(left.count())) <= 0) continue;
    std::vector<Reading> still_open;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (polled[i].revents == 0 || read_some(open[i].descriptor, *open[i].into)) {
        still_open.push_back(open[i]);
      }
    }
    open = still_open;
  }
  return true;
}

void finish(pid_t pid, bool read_all, Clock::time_point start, Clock::time_point end,
            Outcome& outcome) {
  std::optional<Ending> ending;
  if (read_all) ending = wait_until(pid, end);
  outcome.timed_out = !ending;
  if (!ending) {
    ::kill(-pid, SIGKILL);
    ending = wait_until(pid, Clock::now() + std::chrono::seconds(10));
  }
  if (ending) {
    outcome.exit_code = ending->exit_code;
    outcome.max_resident_kib = ending->max_resident_kib;
  }
  outcome.duration = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

FileDescriptor open_file(const char* path, int flags) {
  FileDescriptor file(::open(path, flags | O_CLOEXEC, 0644));
  if (!file) fail(path);
  return file;
}

std::string read_proc(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Outcome run(const Command& command, std::chrono::milliseconds limit) {
  const auto start = Clock::now();
  Outcome outcome;
  Pipe output;
  Pipe errors;
  const FileDescriptor input = open_file("/dev/null", O_RDONLY);
  const pid_t pid = spawn(command, {input.get(), output.writer.get(), errors.writer.get()}, false);
  output.writer.close();
  errors.writer.close();
  const bool read_all =
      read_to_end({{output.reader.get(), &outcome.output}, {errors.reader.get(), &outcome.errors}},
                  start + limit);
  finish(pid, read_all, start, start + limit, outcome);
  return outcome;
}

Outcome run_on_terminal(const Command& command, unsigned short columns,
                        std::chrono::milliseconds limit) {
  const auto start = Clock::now();
  Outcome outcome;
  const FileDescriptor screen(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!screen || ::grantpt(screen.get()) != 0 || ::unlockpt(screen.get()) != 0) fail("terminal");
  std::array<char, 64> name{};
  if (::ptsname_r(screen.get(), name.data(), name.size()) != 0) fail("terminal");
  FileDescriptor terminal = open_file(name.data(), O_RDWR | O_NOCTTY);
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  ::ioctl(terminal.get(), TIOCSWINSZ, &size);
  const pid_t pid = spawn(command, {terminal.get(), terminal.get(), terminal.get()}, true);
  terminal.close();
  const bool read_all = read_to_end({{screen.get(), &outcome.output}}, start + limit);
  finish(pid, read_all, start, start + limit, outcome);
  return outcome;
}

Process::Process(const Command& command, const std::filesystem::path& log) {
  const FileDescriptor input = open_file("/dev/null", O_RDONLY);
  const FileDescriptor output = open_file(log.c_str(), O_WRONLY | O_CREAT | O_APPEND);
  pid_ = spawn(command, {input.get(), output.get(), output.get()}, false);
}

Process::~Process() { stop(); }

void Process::signal(int number) const {
  if (!exit_code_) ::kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds limit) {
  if (exit_code_) return exit_code_;
  if (const auto ending = wait_until(pid_, Clock::now() + limit)) exit_code_ = ending->exit_code;
  return exit_code_;
}

void Process::stop(std::chrono::milliseconds patience) {
  if (!exit_code_) ::kill(-pid_, SIGTERM);
  wait(patience);
  // Also what the process itself left behind in its group.
  ::kill(-pid_, SIGKILL);
  wait(std::chrono::seconds(10));
}

bool has_open(pid_t process, const std::filesystem::path& file) {
  std::error_code ignored;
  const std::filesystem::path descriptors = "/proc/" + std::to_string(process) + "/fd";
  for (std::filesystem::directory_iterator entry(descriptors, ignored), end; entry != end;
       entry.increment(ignored)) {
    if (ignored) return false;
    if (std::filesystem::read_symlink(entry->path(), ignored) == file) return true;
  }
  return false;
}

std::vector<pid_t> processes_with_environment(const std::string& name, const std::string& value) {
  const std::string wanted = '\0' + name + "=" + value + '\0';
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    // A zombie has no environment any more.
    if (('\0' + read_proc(entry.path() / "environ")).find(wanted) != std::string::npos) {
      found.push_back(std::stoi(pid));
    }
  }
  return found;
}

}  // namespace red::testing
