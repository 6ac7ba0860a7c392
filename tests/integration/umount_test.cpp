// umount-dir: from the simple case to holders, dead servers and dead daemons.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class UmountDir : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    write_tree(server_.root(), {{"file", random_bytes(2'000'000)}});
  }
  void expect_gone() {
    EXPECT_FALSE(is_mounted(mount_));
    EXPECT_TRUE(daemon_ends());
    EXPECT_FALSE(std::filesystem::exists(mount_));
  }

  NginxServer server_;
};

TEST_F(UmountDir, HasEndedTheProcessWhenItReturns) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.output + outcome.errors, "");
  EXPECT_THAT(connector_.processes(), IsEmpty());
  EXPECT_LT(outcome.duration.count(), 2000);
  expect_gone();
}

TEST_F(UmountDir, RefusesWhatIsNoMountOfOurs) {
  EXPECT_THAT(umount(), Failed()) << "does not exist";
  std::filesystem::create_directory(mount_);
  const Outcome plain = umount();
  EXPECT_THAT(plain, Failed());
  EXPECT_THAT(plain.errors, HasSubstr(mount_.string()));
  EXPECT_TRUE(std::filesystem::exists(mount_));
  if (::mount("tmpfs", mount_.c_str(), "tmpfs", 0, "size=1m") == 0) {
    EXPECT_THAT(umount(), Failed());
    EXPECT_TRUE(is_mounted(mount_)) << "somebody else's mount stays";
    ::umount2(mount_.c_str(), MNT_DETACH);
  }
}

TEST_F(UmountDir, IsAnErrorTheSecondTime) {
  std::filesystem::create_directory(mount_);
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_THAT(umount(), Failed());
  EXPECT_TRUE(std::filesystem::exists(mount_));
}

TEST_F(UmountDir, DetachesFromThoseWhoStillReadAndNamesThem) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  Process holder({.arguments = {"/bin/sh", "-c", "exec sleep 1000 < \"$0\"", mount_ / "file"}},
                 directory_ / "log");
  const auto held = "/proc/" + std::to_string(holder.pid()) + "/fd/0";
  ASSERT_TRUE(eventually([&] {
    std::error_code ignored;
    return std::filesystem::read_symlink(held, ignored) == mount_ / "file";
  }));
  const Outcome outcome = umount();
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_GE(outcome.duration.count(), 1900);
  EXPECT_LT(outcome.duration.count(), 5000);
  EXPECT_THAT(outcome.errors, HasSubstr(std::to_string(holder.pid())));
  EXPECT_FALSE(is_mounted(mount_));
  holder.stop();
  expect_gone();
}

TEST_F(UmountDir, WaitsForThoseWhoCloseInTime) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  Process holder({.arguments = {"/bin/sh", "-c", "exec sleep 1 < \"$0\"", mount_ / "file"}},
                 directory_ / "log");
  const auto held = "/proc/" + std::to_string(holder.pid()) + "/fd/0";
  ASSERT_TRUE(eventually([&] {
    std::error_code ignored;
    return std::filesystem::read_symlink(held, ignored) == mount_ / "file";
  }));
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.errors, "");
  expect_gone();
}

TEST_F(UmountDir, DetachesFromAProcessThatWorksInTheDirectory) {
  write_tree(server_.root(), {{"sub/inner", "inner"}});
  ASSERT_THAT(mount(server_.url()), Succeeded());
  Process holder({.arguments = {"/bin/sleep", "1000"}, .directory = mount_ / "sub"},
                 directory_ / "log");
  const auto held = "/proc/" + std::to_string(holder.pid()) + "/cwd";
  ASSERT_TRUE(eventually([&] {
    std::error_code ignored;
    return std::filesystem::read_symlink(held, ignored) == mount_ / "sub";
  }));
  const Outcome outcome = umount();
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr(std::to_string(holder.pid())));
  EXPECT_FALSE(is_mounted(mount_));
  holder.stop();
  expect_gone();
}

TEST_F(UmountDir, TakesNoLongerWithoutTheServer) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  server_.stop();
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_LT(outcome.duration.count(), 3000);
  expect_gone();
}

TEST_F(UmountDir, TakesAtMostTenSecondsWithAReaderOfAFrozenServer) {
  Relay relay(server_.port());
  ASSERT_THAT(mount(relay.url()), Succeeded());
  relay.freeze();
  Process reader({.arguments = {"/bin/cat", mount_ / "file"}}, directory_ / "log");
  ASSERT_TRUE(eventually([&] { return has_open(reader.pid(), mount_ / "file"); }));
  const Outcome outcome = umount();
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_LT(outcome.duration.count(), 10'000);
  EXPECT_FALSE(is_mounted(mount_));
  reader.stop();
  expect_gone();
}

TEST_F(UmountDir, CleansUpAfterADaemonThatWasKilled) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ASSERT_NE(daemon(), 0);
  ::kill(daemon(), SIGKILL);
  ASSERT_TRUE(daemon_ends());
  EXPECT_THAT(umount(), Succeeded());
  expect_gone();
}

TEST_F(UmountDir, CleansUpAfterAKilledDaemonWhoseFilesAreStillOpen) {
  std::filesystem::create_directory(mount_);
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  ASSERT_TRUE(descriptor);
  ::kill(daemon(), SIGKILL);
  ASSERT_TRUE(daemon_ends());
  const Outcome outcome = umount();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_THAT(names_in(mount_), IsEmpty());
}

TEST_F(UmountDir, AMountCanFollowADaemonThatWasKilled) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ::kill(daemon(), SIGKILL);
  ASSERT_TRUE(daemon_ends());
  EXPECT_THAT(umount(), Succeeded());
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file").size(), 2'000'000u);
}

TEST_F(UmountDir, TheDaemonEndsWhenTheMountIsTakenAwayFromOutside) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::filesystem::create_directory(mount_);
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ASSERT_EQ(::umount2(mount_.c_str(), 0), 0);
  EXPECT_TRUE(daemon_ends());
  EXPECT_THAT(connector_.run({"mounts"}).output, ::testing::Not(HasSubstr(mount_.string())));
  EXPECT_THAT(umount(), Failed());
}

TEST_F(UmountDir, TheDaemonUnmountsWhenItIsAskedToEnd) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ::kill(daemon(), SIGTERM);
  EXPECT_TRUE(daemon_ends());
  EXPECT_FALSE(is_mounted(mount_));
}

// Starts a process with that very number; false if the kernel does not let us choose.
bool start_with_pid(pid_t wanted, pid_t& child) {
  for (int attempt = 0; attempt < 50; ++attempt) {
    std::ofstream last("/proc/sys/kernel/ns_last_pid");
    last << wanted - 1 << std::flush;
    if (!last) return false;
    child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    if (child == wanted) return true;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return false;
}

TEST_F(UmountDir, NeverSignalsAProcessThatGotTheDaemonsNumber) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const pid_t number = daemon();
  ASSERT_NE(number, 0);
  ::kill(number, SIGKILL);
  ASSERT_EQ(::waitpid(number, nullptr, 0), number);
  pid_t innocent = 0;
  if (!start_with_pid(number, innocent)) GTEST_SKIP() << "process numbers cannot be chosen here";
  EXPECT_EQ(umount().exit_code, 0);
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_EQ(::waitpid(innocent, nullptr, WNOHANG), 0) << "the innocent process was ended";
  ::kill(innocent, SIGKILL);
  ::waitpid(innocent, nullptr, 0);
}

}  // namespace
}  // namespace red::testing
