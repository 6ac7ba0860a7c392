// What a mount tells about what it has done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/integration/ssh_mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class MountStatistics : public MountFixture {
 protected:
  Json stats() const {
    const Outcome outcome = connector_.run({"stats", "--json", mount_});
    EXPECT_THAT(outcome, Succeeded());
    return Json::parse(outcome.output);
  }
  Json access() const { return Json{{"url", server_.url()}}; }

  NginxServer server_;
};

TEST_F(MountStatistics, MatchWhatAReaderDid) {
  write_tree(server_.root(), {{"read", std::string(1'000'000, 'r')},
                              {"part", std::string(500'000, 'p')},
                              {"unread", std::string(1'000, 'u')}});
  ASSERT_THAT(mount(access()), Succeeded());
  EXPECT_EQ(read_file(mount_ / "read").size(), 1'000'000U);
  EXPECT_EQ(read_file(mount_ / "read").size(), 1'000'000U);  // from the page cache
  EXPECT_EQ(read_at(mount_ / "part", 450'000, 1000).bytes.size(), 1000U);
  EXPECT_FALSE(fs::exists(mount_ / "nothing"));
  const Json told = stats();
  EXPECT_EQ(told["mount_point"], mount_.string());
  EXPECT_EQ(told["pid"], daemon());
  EXPECT_GE(told["reads"]["wanted_bytes"], 1'001'000);
  EXPECT_LE(told["reads"]["wanted_bytes"], 1'500'000) << "what the kernel reads ahead";
  EXPECT_GE(told["reads"]["count"], 2);
  EXPECT_EQ(told["reads"]["count"],
            told["reads"]["at_once"].get<int>() + told["reads"]["waited"].get<int>());
  // Of two that were fetched: an answer may be there before the caller has gone to wait.
  EXPECT_GE(told["reads"]["waited"], 1);
  EXPECT_GT(told["reads"]["waited_ms"], 0);
  EXPECT_LE(told["reads"]["latency_ms"]["p50"], told["reads"]["latency_ms"]["max"]);
  EXPECT_GE(told["metadata"]["count"], 4);
  EXPECT_EQ(told["files"]["opened"], 3);
  EXPECT_EQ(told["errors"], Json::object());
  EXPECT_EQ(told["busiest_files"][0]["path"], "read");
  EXPECT_EQ(told["busiest_files"][0]["wanted_bytes"], 1'000'000);
  EXPECT_EQ(told["busiest_files"][1]["path"], "part");
  EXPECT_EQ(told["busiest_files"].size(), 2U);

  long sent = 0;
  std::size_t reads = 0;
  for (const LoggedRequest& request : server_.requests()) {
    if (request.range == "-" || request.method != "GET") continue;
    ++reads;
    sent += request.bytes_sent;
  }
  EXPECT_EQ(told["network"]["read_requests"], reads);
  EXPECT_LE(told["network"]["fetched_bytes"], sent);
  EXPECT_GE(told["network"]["fetched_bytes"], told["reads"]["wanted_bytes"]);
  EXPECT_EQ(told["network"]["list_requests"], 1);
  EXPECT_LT(told["network"]["wasted_bytes"], told["network"]["fetched_bytes"]);
}

TEST_F(MountStatistics, CountErrorsByTheirKind) {
  write_tree(server_.root(), {{"file", std::string(1000, 'x')}});
  ASSERT_THAT(mount(access()), Succeeded());
  EXPECT_EQ(fs::file_size(mount_ / "file"), 1000U);
  fs::remove(server_.root() / "file");
  EXPECT_NE(read_at(mount_ / "file", 0, 10).error_number, 0);
  EXPECT_GE(stats()["errors"]["NotFound"], 1);
}

TEST_F(MountStatistics, AreTextForPeople) {
  write_tree(server_.root(), {{"strange\nname", "content"}});
  ASSERT_THAT(mount(access()), Succeeded());
  EXPECT_EQ(read_file(mount_ / "strange\nname"), "content");
  const Outcome outcome = connector_.run({"stats", mount_});
  ASSERT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.output, HasSubstr(server_.url()));
  EXPECT_THAT(outcome.output, HasSubstr("strange?name"));
}

TEST_F(MountStatistics, OfNoMountOfOursAreAnError) {
  for (const std::string& path :
       {directory_.path().string(), std::string("/proc"), (directory_ / "missing").string()}) {
    const Outcome outcome = connector_.run({"stats", path});
    EXPECT_THAT(outcome, FailedWith(exit_code::kMount)) << path;
    EXPECT_THAT(outcome.errors, HasSubstr("no mount of ours")) << path;
  }
}

TEST_F(MountStatistics, OfAHungDaemonAreAnErrorInTime) {
  ASSERT_THAT(mount(access()), Succeeded());
  const pid_t pid = daemon();
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  const Outcome outcome = connector_.run({"stats", mount_}, std::chrono::seconds(15));
  ::kill(pid, SIGCONT);
  EXPECT_THAT(outcome, FailedWith(exit_code::kTimedOut));
  EXPECT_THAT(outcome.errors, HasSubstr(std::to_string(pid)));
}

TEST_F(MountStatistics, OfADeadDaemonAreAnError) {
  ASSERT_THAT(mount(access()), Succeeded());
  ASSERT_EQ(::kill(daemon(), SIGKILL), 0);
  ASSERT_TRUE(daemon_ends());
  const Outcome outcome = connector_.run({"stats", mount_});
  EXPECT_THAT(outcome, FailedWith(exit_code::kMount));
  EXPECT_THAT(outcome.errors, HasSubstr("has died"));
}

TEST_F(MountStatistics, OfAnotherUsersMountAreRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
  constexpr uid_t kNobody = 65534;
  Json allowing = access();
  allowing["allowOther"] = true;
  ASSERT_THAT(mount(allowing), Succeeded());
  Connector other("red-connector-http");
  other.run_as(kNobody);
  const Outcome outcome = other.run({"stats", mount_});
  EXPECT_THAT(outcome, FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(outcome.errors, HasSubstr("another user"));
}

class MountReport : public MountStatistics {
 protected:
  void SetUp() override {
    MountStatistics::SetUp();
    write_tree(server_.root(), {{"file", std::string(100'000, 'x')}});
  }
  Outcome mount_with_report(const fs::path& report) {
    Json with = access();
    with["report"] = report.string();
    return mount(with);
  }
  void expect_report() {
    ASSERT_TRUE(eventually([this] { return fs::exists(report_); }));
    const Json told = Json::parse(read_file(report_));
    EXPECT_EQ(told["busiest_files"][0]["path"], "file");
    EXPECT_EQ(told["busiest_files"][0]["wanted_bytes"], 100'000);
    EXPECT_EQ(told["files"]["open"], 0);
  }

  fs::path report_ = directory_ / "report.json";
};

TEST_F(MountReport, IsThereWhenUmountDirReturns) {
  ASSERT_THAT(mount_with_report(report_), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 100'000U);
  EXPECT_FALSE(fs::exists(report_));
  ASSERT_THAT(umount(), Succeeded());
  EXPECT_TRUE(fs::exists(report_));
  expect_report();
}

TEST_F(MountReport, IsWrittenOnSigterm) {
  ASSERT_THAT(mount_with_report(report_), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 100'000U);
  ASSERT_EQ(::kill(daemon(), SIGTERM), 0);
  EXPECT_TRUE(daemon_ends());
  expect_report();
}

TEST_F(MountReport, IsWrittenWhenTheMountGoesAwayByItself) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to unmount";
  ASSERT_THAT(mount_with_report(report_), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 100'000U);
  ASSERT_EQ(::umount2(mount_.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(daemon_ends());
  expect_report();
}

TEST_F(MountReport, IsTextUnlessItsNameEndsInJson) {
  report_ = directory_ / "report.txt";
  ASSERT_THAT(mount_with_report(report_), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 100'000U);
  ASSERT_THAT(umount(), Succeeded());
  EXPECT_THAT(read_file(report_), HasSubstr("97.7 KiB"));
}

TEST_F(MountReport, PlaceThatIsNotThereIsToldBeforeAnythingIsMounted) {
  report_ = directory_ / "missing/report.json";
  const Outcome outcome = mount_with_report(report_);
  EXPECT_THAT(outcome, FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(outcome.errors, HasSubstr(report_.string()));
  EXPECT_FALSE(is_mounted(mount_));
  Json with = access();
  with["report"] = report_.string();
  EXPECT_THAT(connector_.call("mount-dir-validate", with), FailedWith(exit_code::kLocalIo));
}

TEST_F(MountReport, ThatCannotBeWrittenAtTheEndFailsNoUnmount) {
  const fs::path directory = directory_ / "reports";
  fs::create_directory(directory);
  ASSERT_THAT(mount_with_report(directory / "report.json"), Succeeded());
  fs::remove(directory);
  EXPECT_THAT(umount(), Succeeded());
}

TEST_F(MountReport, IsALineInTheLogFile) {
  const std::string log_file = directory_ / "log";
  ASSERT_THAT(connector_.call("mount-dir", access(), {mount_, "--log-file", log_file}),
              Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 100'000U);
  ASSERT_THAT(umount(), Succeeded());
  EXPECT_THAT(read_file(log_file), HasSubstr("ended: "));
  EXPECT_THAT(read_file(log_file), HasSubstr("97.7 KiB"));
}

class SshMountStatistics : public SshMountFixture {};

TEST_F(SshMountStatistics, CountWritesAndReads) {
  const OpenSshServer server;
  serve(server, {{"file", std::string(70'000, 'x')}});
  ASSERT_THAT(mount_writable(server), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 70'000U);
  write_file(mount_ / "new", std::string(50'000, 'y'));
  const Outcome outcome = connector_.run({"stats", "--json", mount_});
  ASSERT_THAT(outcome, Succeeded());
  const Json told = Json::parse(outcome.output);
  EXPECT_TRUE(told["writable"].get<bool>());
  EXPECT_EQ(told["writes"]["written_bytes"], 50'000);
  EXPECT_GE(told["writes"]["count"], 1);
  EXPECT_EQ(told["writes"]["lost"], 0);
  EXPECT_EQ(told["reads"]["wanted_bytes"], 70'000);
  EXPECT_GE(told["network"]["fetched_bytes"], 70'000);
}

}  // namespace
}  // namespace red::testing
