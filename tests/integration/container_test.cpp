// The packages and the images, in real containers. CONTAINER_ENGINE names the command if it is
// neither podman nor docker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/engine_fixture.h"
#include "tests/integration/failing_steps.h"
#include "tests/integration/packages.h"
#include "tests/support/container_engine.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kSource = RED_SOURCE_DIR;

/// What runs `command` as an ordinary user of the image; /dev/fuse is root's alone on some
/// machines.
std::vector<std::string> as_user(const std::string& user) {
  return {"/bin/sh", "-ec",
          "chmod a+rw /dev/fuse\nexec setpriv --reuid=" + user + " --regid=" + user +
              " --init-groups \"$@\"",
          "sh"};
}

class ContainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!engine_.why_not().empty()) GTEST_SKIP() << engine_.why_not();
    if (!makes_packages()) GTEST_SKIP() << "this build makes no packages";
    fs::create_directory(directory_ / "work");
    fs::copy_file(RED_ENGINE_DRIVER, directory_ / "work/driver");
  }

  /// Runs the experiment in a container, with the driver as its first process, which does not reap.
  /// `start` stands before the driver, to become another user or the like.
  EngineReport run_experiment(const std::string& image, Json experiment,
                              std::vector<std::string> options,
                              const std::vector<std::string>& start = {}) {
    experiment["watched"] = {"/", "/run", "/tmp", "/dev/shm"};
    write_file(directory_ / "work/experiment.json", experiment.dump());
    options.insert(options.end(), {"-v", (directory_ / "work").string() + ":/files:ro"});
    std::vector<std::string> command = start;
    command.insert(command.end(), {"/files/driver", "/files/experiment.json"});
    return read_report(engine_.run(image, options, command));
  }

  void build(const std::string& image, const fs::path& dockerfile, const fs::path& context,
             const std::vector<std::string>& options = {}) {
    const Outcome outcome = engine_.build(image, dockerfile, context, options);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
  }

  const ContainerEngine engine_;
  const TemporaryDirectory directory_;
};

/// With a bundle in a folder that has a blank in its name, mounted read-only.
class ContainerBundleTest : public ContainerTest {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    if (!IsSkipped()) bundle_ = unpack_bundle(directory_.path());
  }

  std::vector<std::string> with_bundle() const {
    return {"--mount", "type=bind,readonly,source=" + bundle_.string() + ",target=" + kPlace, "-e",
            "PATH=" + std::string(kPlace) + "/bin:/usr/bin:/bin"};
  }

  static constexpr const char* kPlace = "/opt/red connectors";
  fs::path bundle_;
};

TEST_F(ContainerBundleTest, RunsAnExperimentInImagesWithAnyCLibraryOrNone) {
  for (const char* image :
       {ContainerEngine::kBusybox, "debian:bullseye", "debian:bookworm", "debian:trixie"}) {
    SCOPED_TRACE(image);
    const ExperimentServers servers;
    EXPECT_THAT(run_experiment(image, servers.experiment("/experiment"), with_bundle()),
                SucceededAndLeftNothing());
    servers.expect_all_results();
  }
}

TEST_F(ContainerBundleTest, LeavesNothingInAContainerWhateverFails) {
  const ExperimentServers servers;
  const auto run = [this](const Json& experiment) {
    return run_experiment("debian:bookworm", experiment, with_bundle());
  };
  expect_failures(servers, "/experiment", failing_validations(), run);
  expect_failures(servers, "/experiment", failing_receives(), run);
  expect_failures(servers, "/experiment", failing_commands(), run);
  expect_failures(servers, "/experiment", failing_sends(servers), run);
}

TEST_F(ContainerBundleTest, BringsItsOwnCertificatesWhereTheImageHasNone) {
  const NginxServer server({.tls = true});
  write_file(server.root() / "file", "content");
  write_file(directory_ / "work/access.json", Json{{"url", server.url("/file")}}.dump());
  fs::copy_file(server.authority(), directory_ / "work/authority.pem");
  const auto receive = [&](std::vector<std::string> options) {
    const auto more = with_bundle();
    options.insert(options.end(), more.begin(), more.end());
    options.insert(options.end(), {"-v", (directory_ / "work").string() + ":/files:ro"});
    return engine_.run(ContainerEngine::kBusybox, options,
                       {"red-connector-http", "receive-file", "/files/access.json", "/file"});
  };
  const Outcome unknown = receive({});
  EXPECT_EQ(unknown.exit_code, exit_code::kTls);
  // Not that there are no certificates.
  EXPECT_THAT(unknown.errors, HasSubstr("self-signed certificate"));
  EXPECT_EQ(receive({"-e", "SSL_CERT_FILE=/files/authority.pem"}).exit_code, 0);
}

TEST_F(ContainerBundleTest, IgnoresWhatIsMadeForTheImagesOwnLibraries) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  const std::string by_name = "http://localhost:" + std::to_string(server.port()) + "/file";
  write_file(directory_ / "work/access.json", Json{{"url", by_name}}.dump());
  write_file(directory_ / "work/nsswitch.conf",
             "hosts: compat systemd unknown resolve files dns\n");
  write_file(directory_ / "work/openssl.cnf", "openssl_conf = none\n.include /missing\n[none\n");
  for (const char* image : {"debian:bullseye", "debian:trixie"}) {
    SCOPED_TRACE(image);
    auto options = with_bundle();
    const std::string work = directory_ / "work";
    options.insert(
        options.end(),
        {"-v", work + ":/files:ro", "-v", work + "/nsswitch.conf:/etc/nsswitch.conf:ro", "-e",
         "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libc.so.6", "-e",
         "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu", "-e", "OPENSSL_CONF=/files/openssl.cnf"});
    const Outcome outcome = engine_.run(
        image, options, {"red-connector-http", "receive-file", "/files/access.json", "/file"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_THAT(outcome.errors, IsEmpty());
  }
}

TEST_F(ContainerBundleTest, RunsAnExperimentInImagesOfTheFieldAsTheirUser) {
  write_file(directory_ / "Dockerfile", "FROM scratch\nCOPY . /\n");
  build("red-test-bundle", directory_ / "Dockerfile", bundle_);
  for (const std::string suite : {"bullseye", "bookworm", "trixie"}) {
    SCOPED_TRACE(suite);
    const std::string image = "red-test-experiment-" + suite;
    build(image, fs::path(kSource) / "docker/Dockerfile.red", kSource,
          {"--build-arg", "BASE=debian:" + suite, "--build-arg", "CONNECTORS=red-test-bundle"});
    const ExperimentServers servers;
    Json experiment = servers.experiment("/home/cc/experiment");
    // The experiment of the image, which is on the PATH as well.
    experiment["command"].back() = experiment["command"].back().get<std::string>() +
                                   "count-files inputs/study\n"
                                   "grep -q '^brain.img,3000000$' files.csv\n"
                                   "rm files.csv\n";
    EXPECT_THAT(run_experiment(image, experiment, {"--user", "0"}, as_user("cc")),
                SucceededAndLeftNothing());
    servers.expect_all_results();
  }
}

TEST_F(ContainerTest, TheDebianPackageInstallsRunsAndGoesWithoutATrace) {
  const TemporaryDirectory packages;
  fs::copy_file(make_debian_package(packages.path()), directory_ / "work/red-connectors.deb");
  const ExperimentServers servers;
  const EngineReport report = run_experiment(
      "debian:bookworm", servers.experiment("/experiment"), {},
      {"/bin/sh", "-ec",
       "{ apt-get -qq update\n"
       "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "
       "/files/red-connectors.deb\n"
       "dpkg --listfiles red-connectors | grep -q /man1/red-connector-ssh.1.gz\n"
       "} > /log 2>&1 || { cat /log; exit 1; }\n"
       "\"$@\"\n"
       "dpkg --purge red-connectors > /log 2>&1\n"
       "find / /run -xdev -name '*red-connector*' -not -path '/files/*' -not -path '/var/lib/apt/*'"
       " >&2\n",
       "sh"});
  EXPECT_THAT(report, SucceededAndLeftNothing());
  EXPECT_EQ(report.errors, "");
  servers.expect_all_results();
}

TEST_F(ContainerTest, TheRuntimeImageIsBuiltFromTheSourcesAndMountsAsItsUser) {
  build("red-test-connectors", fs::path(kSource) / "docker/Dockerfile", kSource);
  EXPECT_THAT(engine_.run("red-test-connectors", {}, {"--version"}).output,
              HasSubstr("red-connector 1."));
  EXPECT_EQ(engine_.run("red-test-connectors", {"--entrypoint", "id"}, {"-un"}).output, "red\n");
  const ExperimentServers servers;
  const EngineReport report =
      run_experiment("red-test-connectors", servers.experiment("/home/red/experiment"),
                     {"--user", "0", "--entrypoint", "/usr/bin/env"}, as_user("red"));
  EXPECT_THAT(report, SucceededAndLeftNothing());
  servers.expect_all_results();
}

}  // namespace
}  // namespace red::testing
