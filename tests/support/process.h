#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace red::testing {

/// What to run, and as whom.
struct Command {
  std::vector<std::string> arguments;  ///< the first is the program's path
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< beside our own
  std::optional<uid_t> user = {};        ///< needs root; the group has the same number
  std::filesystem::path directory = {};  ///< to run in; empty: ours
};

/// How a process ended and what it said.
struct Outcome {
  int exit_code = -1;  ///< 128 + the signal's number if a signal ended it
  std::string output;
  std::string errors;
  std::chrono::milliseconds duration{0};
  long max_resident_kib = 0;
  bool timed_out = false;  ///< not ended, or its pipes still open, at the time limit; killed
};

/// Runs a command and reads its output and errors to their end, as an execution engine does: a
/// process that is left behind with the pipes in its hands counts as not ended.
Outcome run(const Command& command, std::chrono::milliseconds limit = std::chrono::seconds(60));

/// Runs a command on a terminal of its own, `columns` wide; `output` is what the terminal showed.
Outcome run_on_terminal(const Command& command, unsigned short columns,
                        std::chrono::milliseconds limit = std::chrono::seconds(60));

/// A process in the background, in a process group of its own, which is killed at the end.
class Process {
 public:
  /// Output and errors go to `log` (appended).
  Process(const Command& command, const std::filesystem::path& log);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// The exit code as in Outcome once it has ended, nothing at the limit.
  std::optional<int> wait(std::chrono::milliseconds limit);
  /// Asks the group to end, kills it after `patience`.
  void stop(std::chrono::milliseconds patience = std::chrono::seconds(3));

 private:
  pid_t pid_;
  std::optional<int> exit_code_;  ///< once it has ended
};

/// Whether the process has the file open; asks /proc only, never the file.
bool has_open(pid_t process, const std::filesystem::path& file);

/// The living processes (zombies are not) that were started with NAME=value in their environment,
/// themselves or their ancestors.
std::vector<pid_t> processes_with_environment(const std::string& name, const std::string& value);

/// The environment variable that marks every process which a test starts, and its value.
extern const char* const kTestRunVariable;
std::string test_run_mark();

}  // namespace red::testing
