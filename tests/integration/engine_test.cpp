// What an execution engine does to the connectors, from the first to the last call, and with each
// of the steps made to fail. The driver is tests/engine; here it is the first process of a PID
// namespace, and does not reap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/integration/engine_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using Servers = ExperimentServers;

/// Runs as root without fusermount3 in namespaces of its own, unless told otherwise.
class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make namespaces";
    const Outcome outcome = run_isolated({"/bin/sh", "-c", "exec 3<> /dev/fuse"});
    if (outcome.exit_code != 0) GTEST_SKIP() << "nothing can be mounted here: " << outcome.errors;
  }

  Json experiment() const { return servers_.experiment(directory_ / "experiment"); }

  EngineReport run_experiment(const Json& experiment) {
    fs::remove_all(directory_ / "experiment");
    write_file(directory_ / "experiment.json", experiment.dump());
    return read_report(run_isolated({RED_ENGINE_DRIVER, directory_ / "experiment.json"}));
  }

  /// What the namespaces have in place of the machine's, as shell commands.
  std::string preparation_ = "mount --bind /dev/null /usr/bin/fusermount3\n";
  const ExperimentServers servers_;
  const TemporaryDirectory directory_;

 private:
  Outcome run_isolated(const std::vector<std::string>& command) const {
    std::vector<std::string> arguments{
        "/usr/bin/unshare",
        "--mount",
        "--propagation",
        "slave",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "/bin/sh",
        "-ec",
        "mount -t tmpfs tmpfs /run\nmount -t tmpfs tmpfs /dev/shm\n" + preparation_ + "exec \"$@\"",
        "sh"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const fs::path links = fs::path(RED_CONNECTOR).parent_path();
    return run({.arguments = arguments,
                .environment = {{"PATH", links.string() + ":/usr/bin:/bin:/usr/sbin:/sbin"},
                                {"no_proxy", "127.0.0.1"}}});
  }
};

TEST_F(EngineTest, RunsAnExperimentAndNothingIsLeft) {
  EXPECT_THAT(run_experiment(experiment()), SucceededAndLeftNothing());
  servers_.expect_all_results();
}

}  // namespace
}  // namespace red::testing
