#pragma once

#include <gmock/gmock.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {

using Json = nlohmann::json;

/// The exit codes that the manual page documents.
namespace exit_code {
constexpr int kUsage = 2;
constexpr int kInvalidAccess = 3;
constexpr int kAuthentication = 4;
constexpr int kPermissionDenied = 5;
constexpr int kNotFound = 6;
constexpr int kAlreadyExists = 7;
constexpr int kUnsupported = 8;
constexpr int kNetwork = 9;
constexpr int kTimedOut = 10;
constexpr int kTls = 11;
constexpr int kUnavailable = 12;
constexpr int kRemote = 13;
constexpr int kProtocol = 14;
constexpr int kChangedRemotely = 15;
constexpr int kIntegrity = 16;
constexpr int kLocalIo = 17;
constexpr int kMount = 18;
constexpr int kNotReady = 19;
}  // namespace exit_code

/// The executable under test behind one of its names, called as an execution engine calls it.
class Connector {
 public:
  explicit Connector(const std::string& name = "red-connector-http");

  /// SUBCOMMAND ACCESS MORE..., with the access data in a file that is deleted as soon as the call
  /// has returned.
  Outcome call(const std::string& subcommand, const Json& access,
               const std::vector<std::string>& more = {}) const;
  /// Any arguments at all.
  Outcome run(const std::vector<std::string>& arguments,
              std::chrono::milliseconds limit = std::chrono::seconds(60)) const;
  /// What run() runs, for tests that need the process itself.
  Command command(const std::vector<std::string>& arguments) const;

  /// A file that lives as long as this object.
  std::string keep_json(const Json& document) const;

  void set_environment(const std::string& name, const std::string& value);
  /// Runs as that user from now on, from a copy that every user can reach.
  void run_as(uid_t user);

  /// What lives of all that was started through this object.
  std::vector<pid_t> processes() const;

 private:
  TemporaryDirectory directory_;
  std::filesystem::path program_;
  std::vector<std::pair<std::string, std::string>> environment_;
  std::optional<uid_t> user_;
  mutable int kept_ = 0;
};

void PrintTo(const Outcome& outcome, std::ostream* out);

/// Exit code 0, and pipes that are closed then.
MATCHER(Succeeded, "") { return arg.exit_code == 0 && !arg.timed_out; }

/// That exit code, nothing on stdout, something on stderr.
MATCHER_P(FailedWith, code, "") {
  return arg.exit_code == code && !arg.timed_out && arg.output.empty() && !arg.errors.empty();
}

/// Any failure, told as it should be.
MATCHER(Failed, "") {
  return arg.exit_code > 0 && arg.exit_code < 128 && !arg.timed_out && arg.output.empty() &&
         !arg.errors.empty();
}

std::size_t lines_in(const std::string& text);

}  // namespace red::testing
