#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace red::testing {

using Json = nlohmann::json;

/// What a connector fetches before the command runs.
struct ExperimentInput {
  std::string connector;  ///< found on the PATH
  bool is_directory;
  bool is_mounted;
  std::filesystem::path path;  ///< relative paths start in the experiment's directory
  Json access;
  std::optional<Json> listing;          ///< CWL, of a directory
  std::optional<std::string> checksum;  ///< "sha1$" and 40 digits, of a file
  std::optional<std::uint64_t> size;    ///< of a file
};

/// What a connector sends after the command has ended.
struct ExperimentOutput {
  std::string connector;
  bool is_directory;
  std::filesystem::path path;
  Json access;
  std::optional<Json> listing;
};

/// What an execution engine is to do, in the words of a RED file, as far as connectors need it.
struct Experiment {
  std::filesystem::path directory;  ///< made if it is missing; the command runs in it
  std::vector<ExperimentInput> inputs;
  std::vector<std::string> command;
  std::vector<ExperimentOutput> outputs;
  /// Where no file may be left beside those of `directory`.
  std::vector<std::filesystem::path> watched;
};

/// The value of a key that may be missing. Throws nlohmann::json::exception.
template <typename Value>
std::optional<Value> find(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  return found->get<Value>();
}

/// Throws nlohmann::json::exception.
Experiment parse_experiment(const Json& document);

}  // namespace red::testing
