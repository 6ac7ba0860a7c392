#include "tests/integration/failing_steps.h"

#include <gtest/gtest.h>

namespace red::testing {
namespace {

using Servers = ExperimentServers;
using ::testing::Contains;

/// Names that the experiment never has when all goes well.
void expect_no_temporary_file(const EngineReport& report) {
  const auto known = Servers::local_files();
  for (const std::string name : report.report.at("files")) EXPECT_THAT(known, Contains(name));
}

}  // namespace

std::vector<FailingStep> failing_validations() {
  return {
      {"not in PATH",
       {Servers::kWebMount},
       {},
       [](Json& experiment) { experiment["inputs"][0]["connector"] = "red-connector-none"; }},
      {"red-connector-http mount-dir-validate: exit code 9",
       {Servers::kWebMount},
       {},
       [](Json& experiment) {
         experiment["inputs"][0]["access"]["url"] = "http://127.0.0.1:1/study/";
       }},
      {"red-connector-ssh receive-file-validate: exit code 4",
       {Servers::kWebMount, Servers::kSshFile},
       {},
       [](Json& experiment) {
         experiment["inputs"][1]["access"]["auth"] = {{"username", "tester"},
                                                      {"password", "wrong"}};
       }},
      {"red-connector-xnat-http receive-file-validate: exit code 6",
       {Servers::kXnatFile},
       {},
       [](Json& experiment) { experiment["inputs"][0]["access"]["file"] = "missing"; }},
      {"red-connector-http receive-dir-validate: exit code 3",
       {Servers::kWebCopy},
       {},
       [](Json& experiment) { experiment["inputs"][0]["listing"][0]["basename"] = "../outside"; }},
      {"red-connector-http mount-dir-validate: exit code 3",
       {Servers::kWebMount},
       {},
       [](Json& experiment) { experiment["inputs"][0]["access"]["unknown"] = 1; }},
      {"red-connector-xnat-http send-file-validate: exit code 7",
       {Servers::kWebMount},
       {Servers::kXnatResult},
       [](Json& experiment) {
         experiment["outputs"][0]["access"].update({{"resource", "R"}, {"file", "scan"}});
       }},
  };
}

std::vector<FailingStep> failing_receives() {
  return {
      // The engine's own checks, after the connector was content.
      {"has another size",
       {Servers::kWebMount},
       {},
       [](Json& experiment) { experiment["inputs"][0]["listing"][0]["size"] = 1; }},
      {"is no file",
       {Servers::kSshMount},
       {},
       [](Json& experiment) { experiment["inputs"][0]["listing"][0]["basename"] = "missing"; }},
      {"has another checksum",
       {Servers::kWebMount, Servers::kXnatFile},
       {},
       [](Json& experiment) {
         experiment["inputs"][1]["checksum"] = "sha1$" + std::string(40, '0');
       }},
      {"red-connector-http receive-dir: exit code 16",
       {Servers::kWebMount, Servers::kWebCopy},
       {},
       [](Json& experiment) {
         experiment["inputs"][1]["listing"][0]["checksum"] = "sha1$" + std::string(40, '0');
       }},
      {"red-connector-http mount-dir: exit code 18",
       {Servers::kWebMount, Servers::kWebMount},
       {},
       [](Json&) { /* two mounts in one place */ }},
  };
}

std::vector<FailingStep> failing_commands() {
  return {
      {"command: exit code 5",
       {Servers::kWebMount, Servers::kSshMount},
       {Servers::kWebResult},
       [](Json& experiment) {
         experiment["command"] = {"sh", "-c", "read line < inputs/study/brain.img; exit 5"};
       }},
      {"is missing",
       {Servers::kWebMount},
       {Servers::kWebResult},
       [](Json& experiment) {
         experiment["command"] = {"sh", "-c", "true"};
       }},
  };
}

std::vector<FailingStep> failing_sends(const ExperimentServers& servers) {
  return {
      {"red-connector-ssh send-file",
       {Servers::kWebMount},
       {Servers::kSshResult, Servers::kWebResult},
       [path = servers.ssh.path_of("home/of root/result.bin")](Json& experiment) {
         experiment["outputs"][0]["access"]["filePath"] = path;
       }},
      {"red-connector-ssh send-dir",
       {Servers::kWebMount},
       {Servers::kSshTree},
       [path = servers.ssh.path_of("home/file")](Json& experiment) {
         experiment["outputs"][0]["access"]["dirPath"] = path;
       }},
      {"red-connector-http send-file",
       {Servers::kWebMount},
       {Servers::kWebTree, Servers::kWebResult},
       [url = servers.read_only.url("/result.bin")](Json& experiment) {
         experiment["outputs"][1]["access"]["url"] = url;
       }},
      {"red-connector-http send-dir: exit code 16",
       {Servers::kWebMount},
       {Servers::kWebTree},
       [](Json& experiment) { experiment["outputs"][0]["listing"][0]["size"] = 1; }},
  };
}

void expect_failures(const ExperimentServers& servers, const std::string& directory,
                     const std::vector<FailingStep>& steps,
                     const std::function<EngineReport(const Json& experiment)>& run) {
  for (const FailingStep& step : steps) {
    SCOPED_TRACE(step.failure);
    Json experiment = servers.part_of_experiment(directory, step.inputs, step.outputs);
    step.spoil(experiment);
    const EngineReport report = run(experiment);
    EXPECT_THAT(report, FailedAndLeftNothing(step.failure));
    servers.expect_whole_results();
    expect_no_temporary_file(report);
  }
}

}  // namespace red::testing
