#include "tests/integration/connector.h"

#include <stdlib.h>

#include <algorithm>
#include <ostream>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

constexpr const char* kMark = "RED_TEST_CONNECTOR";

std::filesystem::path executable() {
  const char* given = ::getenv("RED_CONNECTOR");
  return std::filesystem::canonical(given != nullptr ? given : RED_CONNECTOR);
}

std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 2000;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

}  // namespace

Connector::Connector(const std::string& name) : program_(directory_ / name) {
  std::filesystem::create_symlink(executable(), program_);
  environment_ = {{kMark, directory_.path()}, {"no_proxy", "127.0.0.1,localhost"}};
}

Outcome Connector::call(const std::string& subcommand, const Json& access,
                        const std::vector<std::string>& more) const {
  const std::string file = keep_json(access);
  std::vector<std::string> arguments{subcommand, file};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Outcome outcome = run(arguments);
  std::filesystem::remove(file);
  return outcome;
}

Outcome Connector::run(const std::vector<std::string>& arguments,
                       std::chrono::milliseconds limit) const {
  return testing::run(command(arguments), limit);
}

Command Connector::command(const std::vector<std::string>& arguments) const {
  Command command{.arguments = {program_}, .environment = environment_, .user = user_};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  return command;
}

std::string Connector::keep_json(const Json& document) const {
  const auto file = directory_ / ("kept-" + std::to_string(++kept_) + ".json");
  write_file(file, document.dump());
  return file;
}

void Connector::set_environment(const std::string& name, const std::string& value) {
  environment_.emplace_back(name, value);
}

void Connector::run_as(uid_t user) {
  user_ = user;
  std::filesystem::remove(program_);
  std::filesystem::copy_file(executable(), program_);
}

std::vector<pid_t> Connector::processes() const {
  return processes_with_environment(kMark, directory_.path());
}

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << "exit code " << outcome.exit_code << " after " << outcome.duration.count() << " ms"
       << (outcome.timed_out ? " (time limit)" : "") << "\nstdout: " << shortened(outcome.output)
       << "\nstderr: " << shortened(outcome.errors);
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace red::testing
