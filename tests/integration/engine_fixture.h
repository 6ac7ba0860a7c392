#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/xnat_server.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {

/// Servers of all protocols, with what an experiment gets from them, and with places for its
/// results.
class ExperimentServers {
 public:
  ExperimentServers();

  /// Mounts over HTTP and SFTP, receives over all protocols, a command that reads all of that, and
  /// results for all protocols; for the driver of tests/engine. It happens in `directory`.
  Json experiment(const std::string& directory) const;
  /// Its inputs and outputs in their order.
  enum Input { kWebMount, kSshMount, kWebCopy, kSshFile, kXnatFile };
  enum Output { kSshResult, kWebResult, kXnatResult, kSshTree, kWebTree };
  /// The same with some of them; the command needs the first input only.
  Json part_of_experiment(const std::string& directory, const std::vector<int>& inputs,
                          const std::vector<int>& outputs) const;

  /// The files that the experiment leaves in its directory, and the directories.
  static std::vector<std::string> local_files();
  /// Every result is on its server, and no other file.
  void expect_all_results() const;
  /// What is on the servers are whole results, maybe not all, and no other file.
  void expect_whole_results() const;

  NginxServer web{{.dav = true}};
  NginxServer read_only;
  /// Below home/ there are an empty `file`, and `of root`, where the account may not write.
  OpenSshServer ssh;
  XnatServer xnat;

 private:
  /// All that is on a server beside the inputs.
  FileTree results() const;
};

/// How a driver's report is read.
struct EngineReport {
  Json report;
  std::string text;    ///< for failure messages
  std::string errors;  ///< what the driver and its surroundings wrote to stderr
};
EngineReport read_report(const Outcome& outcome);
void PrintTo(const EngineReport& report, std::ostream* out);

/// The experiment succeeded, and nothing but its files is left.
MATCHER(SucceededAndLeftNothing, "") {
  return arg.report.value("state", "") == "succeeded" && arg.report.at("left").empty() &&
         arg.report.at("files") == ExperimentServers::local_files();
}

/// It failed, the first failure says `words`, and nothing is left.
MATCHER_P(FailedAndLeftNothing, words, "") {
  return arg.report.value("state", "") == "failed" && arg.report.at("left").empty() &&
         arg.report.value("failure", "").find(words) != std::string::npos;
}

}  // namespace red::testing
