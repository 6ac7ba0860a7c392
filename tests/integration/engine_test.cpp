// What an execution engine does to the connectors, from the first to the last call, and with each
// of the steps made to fail. The driver is tests/engine; here it is the first process of a PID
// namespace, and does not reap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>
#include <vector>

#include "tests/integration/engine_fixture.h"
#include "tests/integration/failing_steps.h"
#include "tests/servers/nginx_server.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using Servers = ExperimentServers;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Runs as root without fusermount3 in namespaces of its own, unless told otherwise.
class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make namespaces";
    const Outcome outcome = run_isolated({"/bin/sh", "-c", "exec 3<> /dev/fuse"});
    if (outcome.exit_code != 0) GTEST_SKIP() << "nothing can be mounted here: " << outcome.errors;
  }

  Json experiment() const { return servers_.experiment(directory_ / "experiment"); }

  Json part(const std::vector<int>& inputs, const std::vector<int>& outputs) const {
    return servers_.part_of_experiment(directory_ / "experiment", inputs, outputs);
  }

  EngineReport run_experiment(const Json& experiment) {
    fs::remove_all(directory_ / "experiment");
    write_file(directory_ / "experiment.json", experiment.dump());
    return read_report(run_isolated({driver_, directory_ / "experiment.json"}));
  }

  /// Copies the programs to where every user can reach them.
  void open_programs() {
    fs::create_directory(directory_ / "bin");
    for (const char* name :
         {"red-connector-http", "red-connector-ssh", "red-connector-xnat-http"}) {
      fs::create_symlink("red-connector", directory_.path() / "bin" / name);
    }
    fs::copy_file(RED_CONNECTOR, directory_ / "bin/red-connector");
    fs::copy_file(driver_, directory_ / "bin/driver");
    programs_ = directory_ / "bin";
    driver_ = directory_ / "bin/driver";
  }

  /// What the namespaces have in place of the machine's, as shell commands.
  std::string preparation_ = "mount --bind /dev/null /usr/bin/fusermount3\n";
  ExperimentServers servers_;
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
    return run({.arguments = arguments,
                .environment = {{"PATH", programs_.string() + ":/usr/bin:/bin:/usr/sbin:/sbin"},
                                {"no_proxy", "127.0.0.1"}}});
  }

  fs::path programs_ = fs::path(RED_CONNECTOR).parent_path();
  fs::path driver_ = RED_ENGINE_DRIVER;
};

TEST_F(EngineTest, RunsAnExperimentAndNothingIsLeft) {
  EXPECT_THAT(run_experiment(experiment()), SucceededAndLeftNothing());
  servers_.expect_all_results();
}

TEST_F(EngineTest, RunsAnExperimentAsAnOrdinaryUserWithFusermount) {
  struct stat helper {};
  if (::stat("/usr/bin/fusermount3", &helper) != 0 || (helper.st_mode & S_ISUID) == 0) {
    GTEST_SKIP() << "needs fusermount3 (package fuse3)";
  }
  // An account that every Debian has and nobody uses.
  const std::string user = std::to_string(::getpwnam("games")->pw_uid);
  preparation_ =
      "mknod -m 666 /run/fuse c 10 229\nmount --bind /run/fuse /dev/fuse\n"
      "set -- setpriv --clear-groups --regid " +
      user + " --reuid " + user + " \"$@\"\n";
  fs::permissions(directory_.path(), fs::perms::all);
  open_programs();
  Json experiment = this->experiment();
  experiment["watched"].push_back("/tmp/red-connector-" + user);
  EXPECT_THAT(run_experiment(experiment), SucceededAndLeftNothing());
  servers_.expect_all_results();
}

TEST_F(EngineTest, ObeysTheSiteFileAndTheEnvironment) {
  const NginxServer server({.tls = true});
  write_tree(server.root(), {{"brain.img", "brain"}, {"day 1/notes.txt", "notes"}});
  Json experiment = part({Servers::kWebMount}, {});
  experiment["inputs"][0].erase("listing");
  experiment["inputs"][0]["access"]["url"] = server.url("/");
  EXPECT_THAT(run_experiment(experiment), FailedAndLeftNothing("exit code 11"));

  write_file(directory_ / "site.json", Json{{"caCertificate", server.authority()}}.dump());
  preparation_ +=
      "mkdir /run/etc /run/work\n"
      "mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc\n"
      "cp " +
      (directory_ / "site.json").string() +
      " /etc/red-connector.json\n"
      "mkdir /run/cache\nexport RED_CONNECTOR_CACHE_DIR=/run/cache\n";
  const EngineReport report = run_experiment(experiment);
  EXPECT_EQ(report.report.at("state"), "succeeded") << report.text;
  EXPECT_THAT(report.report.at("left"), IsEmpty());
}

TEST_F(EngineTest, TheDriverSeesWhatIsLeft) {
  Json experiment = part({}, {});
  experiment["command"] = {"sh", "-c",
                           "sleep 60 > sleeping 2>&1 & > /dev/shm/forgotten; mkdir mounted\n"
                           "mount -t tmpfs tmpfs mounted"};
  const EngineReport report = run_experiment(experiment);
  EXPECT_THAT(report.report.at("left"),
              ElementsAre("mount: " + (directory_ / "experiment/mounted").string(),
                          "process: sleep 60 ", "file: /dev/shm/forgotten"))
      << report.text;
}

// --- Each step made to fail ----------------------------------------------------------------------

class EngineFailureTest : public EngineTest {
 protected:
  void expect_failures(const std::vector<FailingStep>& steps) {
    testing::expect_failures(servers_, directory_ / "experiment", steps,
                             [this](const Json& experiment) { return run_experiment(experiment); });
  }
};

TEST_F(EngineFailureTest, NothingIsLeftWhenAValidationFails) {
  expect_failures(failing_validations());
}

TEST_F(EngineFailureTest, NothingIsLeftWhenReceivingFails) { expect_failures(failing_receives()); }

TEST_F(EngineFailureTest, NothingIsLeftWhenTheCommandFails) { expect_failures(failing_commands()); }

TEST_F(EngineFailureTest, NothingIsLeftWhenSendingFails) {
  expect_failures(failing_sends(servers_));
}

TEST_F(EngineFailureTest, NothingIsLeftWhenTheServerGoesDuringTheCommand) {
  Json experiment = part({Servers::kWebMount}, {});
  const fs::path directory = directory_ / "experiment";
  experiment["command"] = {"sh", "-c", "> waiting; until [ -e go ]; do sleep 0.02; done"};
  auto report = std::async(std::launch::async, [&] { return run_experiment(experiment); });
  EXPECT_TRUE(eventually([&] { return fs::exists(directory / "waiting"); }));
  servers_.web.stop();
  write_file(directory / "go", "");
  const EngineReport ended = report.get();
  EXPECT_EQ(ended.report.at("state"), "succeeded") << ended.text;
  EXPECT_THAT(ended.report.at("left"), IsEmpty());
}

}  // namespace
}  // namespace red::testing
