// What an execution engine does to the connectors, from the first to the last call, and with each
// of the steps made to fail. The driver is tests/engine; here it is the first process of a PID
// namespace, and does not reap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <string>
#include <vector>

#include "tests/integration/engine_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using Servers = ExperimentServers;
using ::testing::Contains;
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

/// A part of the experiment and what is wrong with it.
struct FailingStep {
  std::string failure;  ///< what the report says
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::function<void(Json& inputs, Json& outputs)> spoil;
};

class EngineFailureTest : public EngineTest {
 protected:
  void expect_failures(const std::vector<FailingStep>& steps) {
    for (const FailingStep& step : steps) {
      SCOPED_TRACE(step.failure);
      Json experiment = part(step.inputs, step.outputs);
      step.spoil(experiment["inputs"], experiment["outputs"]);
      const EngineReport report = run_experiment(experiment);
      EXPECT_THAT(report, FailedAndLeftNothing(step.failure));
      servers_.expect_whole_results();
      expect_no_temporary_file(report);
    }
  }

  /// Names that the experiment never has when all goes well.
  static void expect_no_temporary_file(const EngineReport& report) {
    const auto known = Servers::local_files();
    for (const std::string name : report.report.at("files")) EXPECT_THAT(known, Contains(name));
  }
};

TEST_F(EngineFailureTest, NothingIsLeftWhenAValidationFails) {
  expect_failures({
      {"not in PATH",
       {Servers::kWebMount},
       {},
       [](Json& inputs, Json&) { inputs[0]["connector"] = "red-connector-none"; }},
      {"red-connector-http mount-dir-validate: exit code 9",
       {Servers::kWebMount},
       {},
       [](Json& inputs, Json&) { inputs[0]["access"]["url"] = "http://127.0.0.1:1/study/"; }},
      {"red-connector-ssh receive-file-validate: exit code 4",
       {Servers::kWebMount, Servers::kSshFile},
       {},
       [](Json& inputs, Json&) {
         inputs[1]["access"]["auth"] = {{"username", "tester"}, {"password", "wrong"}};
       }},
      {"red-connector-xnat-http receive-file-validate: exit code 6",
       {Servers::kXnatFile},
       {},
       [](Json& inputs, Json&) { inputs[0]["access"]["file"] = "missing"; }},
      {"red-connector-http receive-dir-validate: exit code 3",
       {Servers::kWebCopy},
       {},
       [](Json& inputs, Json&) { inputs[0]["listing"][0]["basename"] = "../outside"; }},
      {"red-connector-http mount-dir-validate: exit code 3",
       {Servers::kWebMount},
       {},
       [](Json& inputs, Json&) { inputs[0]["access"]["unknown"] = 1; }},
      {"red-connector-xnat-http send-file-validate: exit code 7",
       {Servers::kWebMount},
       {Servers::kXnatResult},
       [](Json&, Json& outputs) {
         outputs[0]["access"].update({{"resource", "R"}, {"file", "scan"}});
       }},
  });
}

TEST_F(EngineFailureTest, NothingIsLeftWhenReceivingFails) {
  expect_failures({
      // The engine's own checks, after the connector was content.
      {"has another size",
       {Servers::kWebMount},
       {},
       [](Json& inputs, Json&) { inputs[0]["listing"][0]["size"] = 1; }},
      {"is no file",
       {Servers::kSshMount},
       {},
       [](Json& inputs, Json&) { inputs[0]["listing"][0]["basename"] = "missing"; }},
      {"has another checksum",
       {Servers::kWebMount, Servers::kXnatFile},
       {},
       [](Json& inputs, Json&) { inputs[1]["checksum"] = "sha1$" + std::string(40, '0'); }},
      {"red-connector-http receive-dir: exit code 16",
       {Servers::kWebMount, Servers::kWebCopy},
       {},
       [](Json& inputs, Json&) {
         inputs[1]["listing"][0]["checksum"] = "sha1$" + std::string(40, '0');
       }},
      {"red-connector-http mount-dir: exit code 18",
       {Servers::kWebMount, Servers::kWebMount},
       {},
       [](Json&, Json&) { /* two mounts in one place */ }},
  });
}

TEST_F(EngineFailureTest, NothingIsLeftWhenTheCommandFails) {
  Json experiment = part({Servers::kWebMount, Servers::kSshMount}, {Servers::kWebResult});
  experiment["command"] = {"sh", "-c", "read line < inputs/study/brain.img; exit 5"};
  EXPECT_THAT(run_experiment(experiment), FailedAndLeftNothing("command: exit code 5"));
  experiment["command"] = {"sh", "-c", "true"};
  EXPECT_THAT(run_experiment(experiment), FailedAndLeftNothing("is missing"));
  servers_.expect_whole_results();
}

TEST_F(EngineFailureTest, NothingIsLeftWhenSendingFails) {
  write_file(servers_.ssh.root() / "home/file", "");
  fs::create_directory(servers_.ssh.root() / "home/of root");
  const auto to = [this](const char* name) { return servers_.ssh.path_of(name); };
  const NginxServer read_only;
  expect_failures({
      {"red-connector-ssh send-file",
       {Servers::kWebMount},
       {Servers::kSshResult, Servers::kWebResult},
       [&](Json&, Json& outputs) {
         outputs[0]["access"]["filePath"] = to("home/of root/result.bin");
       }},
      {"red-connector-ssh send-dir",
       {Servers::kWebMount},
       {Servers::kSshTree},
       [&](Json&, Json& outputs) { outputs[0]["access"]["dirPath"] = to("home/file"); }},
      {"red-connector-http send-file",
       {Servers::kWebMount},
       {Servers::kWebTree, Servers::kWebResult},
       [&](Json&, Json& outputs) { outputs[1]["access"]["url"] = read_only.url("/result.bin"); }},
      {"red-connector-http send-dir: exit code 16",
       {Servers::kWebMount},
       {Servers::kWebTree},
       [](Json&, Json& outputs) { outputs[0]["listing"][0]["size"] = 1; }},
  });
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
