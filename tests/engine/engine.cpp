#include "tests/engine/engine.h"

#include <sha1.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

#include "tests/engine/traces.h"
#include "tests/support/file_tree.h"
#include "tests/support/process.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kCallLimit{60};
/// Of connectors that know what the engine calls.
const std::set<std::string> kKnownInterfaces{"1\n", "0.1\n"};

/// Ends an experiment.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::string find_on_path(const std::string& command) {
  if (command.find('/') != std::string::npos) return command;
  std::istringstream folders(::getenv("PATH"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/" + command;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  throw Failure("not in PATH: " + command);
}

std::string sha1_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw Failure("cannot be opened: " + file.string());
  SHA1_CTX context;
  ::SHA1Init(&context);
  std::vector<char> block(1 << 20);
  do {
    stream.read(block.data(), static_cast<std::streamsize>(block.size()));
    ::SHA1Update(&context, reinterpret_cast<const std::uint8_t*>(block.data()),
                 static_cast<std::size_t>(stream.gcount()));
  } while (stream);
  if (stream.bad()) throw Failure("cannot be read: " + file.string());
  std::array<std::uint8_t, SHA1_DIGEST_LENGTH> digest{};
  ::SHA1Final(digest.data(), &context);
  std::string text = "sha1$";
  for (const std::uint8_t byte : digest) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

void check_file(const fs::path& file, const std::optional<std::string>& checksum,
                std::optional<std::uint64_t> size) {
  if (!fs::is_regular_file(file)) throw Failure("is no file: " + file.string());
  if (size && fs::file_size(file) != *size) throw Failure("has another size: " + file.string());
  if (checksum && sha1_of(file) != *checksum) {
    throw Failure("has another checksum: " + file.string());
  }
}

void check_directory(const fs::path& directory, const Json& listing) {
  if (!fs::is_directory(directory)) throw Failure("is no directory: " + directory.string());
  for (const Json& entry : listing) {
    const fs::path path = directory / entry.at("basename").get<std::string>();
    if (entry.at("class") == "Directory") {
      check_directory(path, entry.value("listing", Json::array()));
    } else {
      check_file(path, find<std::string>(entry, "checksum"), find<std::uint64_t>(entry, "size"));
    }
  }
}

/// A JSON document in a file that is gone when this is.
class TemporaryJson {
 public:
  TemporaryJson(const fs::path& directory, const Json& document) {
    std::string name = directory / "engine-XXXXXX";
    const int descriptor = ::mkstemp(name.data());
    if (descriptor < 0) throw Failure("cannot make a temporary file in " + directory.string());
    ::close(descriptor);
    path_ = name;
    write_file(path_, document.dump());
  }
  ~TemporaryJson() { ::unlink(path_.c_str()); }
  TemporaryJson(const TemporaryJson&) = delete;
  TemporaryJson& operator=(const TemporaryJson&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Engine {
 public:
  explicit Engine(const Experiment& experiment) : experiment_(experiment) {}

  void run() {
    check_interfaces();
    prepare_directories();
    validate_all();
    receive_all();
    run_command();
    send_all();
  }

  /// The messages of those that failed.
  std::vector<std::string> unmount_all() {
    std::vector<std::string> failures;
    for (const ExperimentInput& input : experiment_.inputs) {
      if (!input.is_mounted) continue;
      try {
        call(input.connector, "umount-dir", {.path = input.path});
      } catch (const Failure& failure) {
        if (mounted_.contains(input.path)) failures.emplace_back(failure.what());
      }
    }
    return failures;
  }

  const Json& calls() const { return calls_; }

 private:
  struct Parameters {
    std::optional<Json> access = {};
    std::optional<fs::path> path = {};
    std::optional<Json> listing = {};
  };

  std::string call(const std::string& connector, const std::string& subcommand,
                   const Parameters& parameters) {
    std::vector<std::string> words{find_on_path(connector), subcommand};
    std::optional<TemporaryJson> access;
    std::optional<TemporaryJson> listing;
    if (parameters.access) {
      words.push_back(access.emplace(experiment_.directory, *parameters.access).path());
    }
    if (parameters.path) words.push_back(*parameters.path);
    if (parameters.listing) {
      words.push_back("--listing=" +
                      listing.emplace(experiment_.directory, *parameters.listing).path());
    }
    const Outcome outcome = testing::run({.arguments = words}, kCallLimit);
    calls_.push_back({{"words", words},
                      {"exitCode", outcome.exit_code},
                      {"milliseconds", outcome.duration.count()},
                      {"stderr", outcome.errors}});
    const std::string what = connector + " " + subcommand;
    if (outcome.timed_out) throw Failure(what + ": does not end, or does not close its pipes");
    if (outcome.exit_code != 0) {
      throw Failure(what + ": exit code " + std::to_string(outcome.exit_code) + ": " +
                    outcome.errors);
    }
    return outcome.output;
  }

  void check_interface(const std::string& connector) {
    if (!checked_.insert(connector).second) return;
    const std::string version = call(connector, "cli-version", {});
    if (!kKnownInterfaces.contains(version)) {
      throw Failure(connector + " cli-version: unknown: " + version);
    }
  }

  void check_interfaces() {
    for (const ExperimentInput& input : experiment_.inputs) check_interface(input.connector);
    for (const ExperimentOutput& output : experiment_.outputs) check_interface(output.connector);
  }

  void prepare_directories() {
    for (const ExperimentInput& input : experiment_.inputs) {
      fs::create_directories(input.is_directory ? input.path : input.path.parent_path());
    }
  }

  static std::string subcommand_for(const ExperimentInput& input) {
    if (!input.is_directory) return "receive-file";
    return input.is_mounted ? "mount-dir" : "receive-dir";
  }

  static std::string subcommand_for(const ExperimentOutput& output) {
    return output.is_directory ? "send-dir" : "send-file";
  }

  /// mount-dir does not get one.
  static std::optional<Json> listing_for(const ExperimentInput& input) {
    return input.is_mounted ? std::nullopt : input.listing;
  }

  void validate_all() {
    for (const ExperimentInput& input : experiment_.inputs) {
      call(input.connector, subcommand_for(input) + "-validate",
           {.access = input.access, .listing = listing_for(input)});
    }
    for (const ExperimentOutput& output : experiment_.outputs) {
      call(output.connector, subcommand_for(output) + "-validate",
           {.access = output.access, .listing = output.listing});
    }
  }

  void receive_all() {
    for (const bool mounts : {true, false}) {
      for (const ExperimentInput& input : experiment_.inputs) {
        if (input.is_mounted == mounts) receive(input);
      }
    }
  }

  void receive(const ExperimentInput& input) {
    call(input.connector, subcommand_for(input),
         {.access = input.access, .path = input.path, .listing = listing_for(input)});
    if (input.is_mounted) mounted_.insert(input.path);
    if (input.is_directory) {
      check_directory(input.path, input.listing.value_or(Json::array()));
    } else {
      check_file(input.path, input.checksum, input.size);
    }
  }

  void run_command() {
    std::vector<std::string> words = experiment_.command;
    words[0] = find_on_path(words[0]);
    const Outcome outcome =
        testing::run({.arguments = words, .directory = experiment_.directory}, kCallLimit);
    if (outcome.exit_code == 0 && !outcome.timed_out) return;
    throw Failure("command: exit code " + std::to_string(outcome.exit_code) + ": " +
                  outcome.errors);
  }

  /// One that fails keeps none of the others from being sent.
  void send_all() {
    for (const ExperimentOutput& output : experiment_.outputs) {
      if (!fs::exists(output.path)) throw Failure("is missing: " + output.path.string());
    }
    std::string failures;
    for (const ExperimentOutput& output : experiment_.outputs) {
      try {
        call(output.connector, subcommand_for(output),
             {.access = output.access, .path = output.path, .listing = output.listing});
      } catch (const Failure& failure) {
        failures += failure.what();
      }
    }
    if (!failures.empty()) throw Failure(failures);
  }

  const Experiment& experiment_;
  std::set<std::string> checked_;  ///< connectors whose interface is known
  std::set<fs::path> mounted_;
  Json calls_ = Json::array();
};

}  // namespace

Json run_experiment(const Experiment& experiment) {
  fs::create_directories(experiment.directory);
  const Traces traces(experiment.directory, experiment.watched);
  Engine engine(experiment);
  std::vector<std::string> failures;
  try {
    engine.run();
  } catch (const std::exception& error) {
    failures.emplace_back(error.what());
  }
  for (const std::string& failure : engine.unmount_all()) failures.push_back(failure);
  return {{"state", failures.empty() ? "succeeded" : "failed"},
          {"failure", failures.empty() ? "" : failures.front()},
          {"calls", engine.calls()},
          {"left", traces.find()},
          {"files", traces.files()}};
}

}  // namespace red::testing
