#include "tests/engine/experiment.h"

namespace red::testing {
namespace {

ExperimentInput parse_input(const Json& input, const std::filesystem::path& directory) {
  return {.connector = input.at("connector"),
          .is_directory = input.at("class") == "Directory",
          .is_mounted = input.value("mount", false),
          .path = directory / input.at("path").get<std::string>(),
          .access = input.at("access"),
          .listing = find<Json>(input, "listing"),
          .checksum = find<std::string>(input, "checksum"),
          .size = find<std::uint64_t>(input, "size")};
}

ExperimentOutput parse_output(const Json& output, const std::filesystem::path& directory) {
  return {.connector = output.at("connector"),
          .is_directory = output.at("class") == "Directory",
          .path = directory / output.at("path").get<std::string>(),
          .access = output.at("access"),
          .listing = find<Json>(output, "listing")};
}

}  // namespace

Experiment parse_experiment(const Json& document) {
  Experiment experiment;
  experiment.directory = document.at("directory").get<std::string>();
  experiment.command = document.at("command").get<std::vector<std::string>>();
  for (const Json& input : document.at("inputs")) {
    experiment.inputs.push_back(parse_input(input, experiment.directory));
  }
  for (const Json& output : document.at("outputs")) {
    experiment.outputs.push_back(parse_output(output, experiment.directory));
  }
  for (const std::string path : document.at("watched")) experiment.watched.emplace_back(path);
  return experiment;
}

}  // namespace red::testing
