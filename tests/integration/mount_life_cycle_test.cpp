// How a mount comes to be, whom it belongs to, and what is left when it could not.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class MountLifeCycle : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    write_tree(server_.root(), {{"file", "content"}, {"sub/inner", "inner"}});
  }
  /// No mount, no process, and no directory that was not there before.
  void expect_no_trace() {
    EXPECT_FALSE(is_mounted(mount_));
    EXPECT_THAT(connector_.processes(), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(mount_));
  }

  NginxServer server_;
};

TEST_F(MountLifeCycle, IsReadableWhenTheCallReturns) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_TRUE(is_mounted(mount_));
  EXPECT_EQ(differences(read_tree(mount_), {{"file", "content"}, {"sub/inner", "inner"}}), "");
}

TEST_F(MountLifeCycle, TakesAnEmptyDirectoryAndLeavesItBehind) {
  std::filesystem::create_directory(mount_);
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file"), "content");
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_TRUE(std::filesystem::is_directory(mount_));
  EXPECT_THAT(names_in(mount_), IsEmpty());
}

TEST_F(MountLifeCycle, MakesTheDirectoryAndTakesItAway) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_THAT(umount(), Succeeded());
  expect_no_trace();
}

TEST_F(MountLifeCycle, MakesOnlyTheLastComponent) {
  mount_ = directory_ / "no/parent";
  EXPECT_THAT(mount(server_.url()), Failed());
  EXPECT_FALSE(std::filesystem::exists(directory_ / "no"));
}

TEST_F(MountLifeCycle, CanBeDoneAgainAndAgain) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(mount(server_.url()), Succeeded());
    EXPECT_EQ(read_file(mount_ / "file"), "content");
    ASSERT_THAT(umount(), Succeeded());
    expect_no_trace();
  }
}

TEST_F(MountLifeCycle, TakesNamesOfAllKindsForTheDirectory) {
  for (const char* name : {"with space", "t\xC3\xBCr", "back\\slash", "tab\there", "-dash"}) {
    mount_ = directory_ / name;
    ASSERT_THAT(mount(server_.url()), Succeeded()) << name;
    EXPECT_EQ(read_file(mount_ / "file"), "content");
    EXPECT_THAT(umount(), Succeeded()) << name;
    expect_no_trace();
  }
}

TEST_F(MountLifeCycle, TakesRelativePathsWithAndWithoutATrailingSlash) {
  const std::string access = connector_.keep_json({{"url", server_.url()}});
  Command mounting = connector_.command({"mount-dir", access, "mount/"});
  mounting.directory = directory_.path();
  ASSERT_THAT(run(mounting), Succeeded());
  EXPECT_EQ(read_file(mount_ / "file"), "content");
  Command unmounting = connector_.command({"umount-dir", "./mount"});
  unmounting.directory = directory_.path();
  EXPECT_THAT(run(unmounting), Succeeded());
  expect_no_trace();
}

TEST_F(MountLifeCycle, SeveralMountsStandBesideEachOther) {
  const auto other = directory_ / "other";
  const Json access = {{"url", server_.url("/sub/")}};
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ASSERT_THAT(connector_.call("mount-dir", access, {other}), Succeeded());
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_EQ(read_file(other / "inner"), "inner");
  EXPECT_THAT(connector_.run({"umount-dir", other}), Succeeded());
}

TEST_F(MountLifeCycle, TheDaemonHoldsNothingOfItsCaller) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ASSERT_NE(daemon(), 0);
  const std::filesystem::path process = "/proc/" + std::to_string(daemon());
  EXPECT_EQ(std::filesystem::read_symlink(process / "cwd"), "/");
  EXPECT_NE(::getsid(daemon()), ::getsid(0));
  for (const char* standard : {"0", "1", "2"}) {
    const auto target = process / "fd" / standard;
    if (std::filesystem::is_symlink(target)) {
      EXPECT_THAT(std::filesystem::read_symlink(target).string(), Not(HasSubstr("pipe")));
    }
  }
}

TEST_F(MountLifeCycle, TheMountTableShowsTheSourceWithoutSecrets) {
  ASSERT_THAT(mount({{"url", server_.url("/?key=Query-Secret")},
                     {"auth", {{"username", "u"}, {"password", "Password-Secret"}}}}),
              Succeeded());
  EXPECT_THAT(read_file("/proc/self/mountinfo"), Not(HasSubstr("Secret")));
  EXPECT_THAT(read_file("/proc/" + std::to_string(daemon()) + "/cmdline"),
              Not(HasSubstr("Secret")));
}

TEST_F(MountLifeCycle, MountsAreListed) {
  const Outcome before = connector_.run({"mounts"});
  EXPECT_THAT(before, Succeeded());
  EXPECT_THAT(before.output, Not(HasSubstr(mount_.string())));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const Outcome during = connector_.run({"mounts"});
  EXPECT_THAT(during, Succeeded());
  EXPECT_THAT(during.output, AllOf(HasSubstr(mount_.string()), HasSubstr(server_.url("")),
                                   HasSubstr(std::to_string(daemon()))));
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_THAT(connector_.run({"mounts"}).output, Not(HasSubstr(mount_.string())));
}

// --- Failures
// -------------------------------------------------------------------------------------

TEST_F(MountLifeCycle, SaysWhyItCannotAndLeavesNoTrace) {
  HostileServer hostile;
  hostile.on("/401", status(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
  hostile.on("/401/", status(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
  hostile.on("/500/", status(500));
  hostile.on("/page/", page("<p>This is no index at all.</p>"));
  const auto expect_failure = [&](const std::string& url, int code, const std::string& text) {
    const Outcome outcome = mount(url);
    EXPECT_THAT(outcome, FailedWith(code)) << url;
    EXPECT_THAT(outcome.errors, HasSubstr(text));
    expect_no_trace();
  };
  expect_failure(server_.url("/missing/"), exit_code::kNotFound, "HTTP 404");
  expect_failure(hostile.url("/401/"), exit_code::kAuthentication, "HTTP 401");
  expect_failure(hostile.url("/500/"), exit_code::kRemote, "HTTP 500");
  expect_failure(hostile.url("/page/"), exit_code::kUnsupported, hostile.url("/page"));
  expect_failure("http://127.0.0.1:" + std::to_string(ReservedPort().number()) + "/",
                 exit_code::kNetwork, "127.0.0.1");
  EXPECT_THAT(mount({{"ulr", "x"}}), FailedWith(exit_code::kInvalidAccess));
  expect_no_trace();
}

TEST_F(MountLifeCycle, AFailureLeavesTheDirectoryThatWasThere) {
  std::filesystem::create_directory(mount_);
  EXPECT_THAT(mount(server_.url("/missing/")), FailedWith(exit_code::kNotFound));
  EXPECT_TRUE(std::filesystem::is_directory(mount_));
}

TEST_F(MountLifeCycle, RefusesAFileForADirectoryOnTheServer) {
  EXPECT_THAT(mount(server_.url("/file")), Failed());
  expect_no_trace();
}

TEST_F(MountLifeCycle, RefusesADirectoryThatIsNotEmpty) {
  write_tree(mount_, {{"mine", "mine"}});
  const Outcome outcome = mount(server_.url());
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("not empty"));
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_EQ(differences(read_tree(mount_), {{"mine", "mine"}}), "");
}

TEST_F(MountLifeCycle, RefusesAMountPointThatIsNoDirectory) {
  write_file(mount_, "a file");
  EXPECT_THAT(mount(server_.url()), Failed());
  EXPECT_EQ(read_file(mount_), "a file");
}

TEST_F(MountLifeCycle, RefusesADirectoryThatIsMountedAlready) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const Outcome again = mount(server_.url("/sub/"));
  EXPECT_THAT(again, Failed());
  EXPECT_EQ(connector_.processes().size(), 1u);
  EXPECT_EQ(read_file(mount_ / "file"), "content");
}

TEST_F(MountLifeCycle, RefusesAnEmptyTreeThatIsMountedAlready) {
  std::filesystem::create_directory(server_.root() / "empty");
  ASSERT_THAT(mount(server_.url("/empty/")), Succeeded());
  EXPECT_THAT(mount(server_.url()), Failed());
  EXPECT_THAT(names_in(mount_), IsEmpty());
}

TEST_F(MountLifeCycle, EndsWithinABoundedTimeWhenTheServerSaysNothing) {
  Relay relay(server_.port());
  relay.freeze();
  const Outcome outcome = mount(relay.url());
  EXPECT_THAT(outcome, FailedWith(exit_code::kTimedOut));
  EXPECT_LT(outcome.duration.count(), 45'000);
  expect_no_trace();
}

TEST_F(MountLifeCycle, LeavesNoTraceWhenItIsInterruptedBeforeItIsReady) {
  HostileServer hostile;
  hostile.otherwise(stall_before_head(status(200)));
  const std::string access = connector_.keep_json({{"url", hostile.url()}});
  Process process(connector_.command({"mount-dir", access, mount_}), directory_ / "log");
  ASSERT_TRUE(hostile.wait_for_stalled(1));
  process.signal(SIGTERM);
  EXPECT_TRUE(process.wait(std::chrono::seconds(10)));
  EXPECT_TRUE(daemon_ends());
  expect_no_trace();
}

// --- In the foreground
// ----------------------------------------------------------------------------

TEST_F(MountLifeCycle, StaysInTheForegroundUntilCtrlC) {
  for (const int number : {SIGINT, SIGTERM}) {
    const std::string access = connector_.keep_json({{"url", server_.url()}});
    Process process(connector_.command({"mount-dir", "--foreground", access, mount_}),
                    directory_ / "log");
    ASSERT_TRUE(eventually([&] { return is_mounted(mount_); })) << read_file(directory_ / "log");
    EXPECT_EQ(read_file(mount_ / "file"), "content");
    EXPECT_FALSE(process.wait(std::chrono::milliseconds(200)));
    EXPECT_THAT(read_file(directory_ / "log"), Not(IsEmpty()));
    process.signal(number);
    const auto code = process.wait(std::chrono::seconds(10));
    ASSERT_TRUE(code);
    EXPECT_THAT(*code, AnyOf(0, 128 + number));
    expect_no_trace();
  }
}

TEST_F(MountLifeCycle, DebugPrintsTheRequestsOfTheKernel) {
  const std::string access = connector_.keep_json({{"url", server_.url()}});
  Process process(connector_.command({"mount-dir", "--foreground", "--debug", access, mount_}),
                  directory_ / "log");
  ASSERT_TRUE(eventually([&] { return is_mounted(mount_); })) << read_file(directory_ / "log");
  read_file(mount_ / "file");
  process.signal(SIGINT);
  EXPECT_TRUE(process.wait(std::chrono::seconds(10)));
  std::string log = read_file(directory_ / "log");
  std::transform(log.begin(), log.end(), log.begin(), ::tolower);
  EXPECT_THAT(log, AllOf(HasSubstr("lookup"), HasSubstr("open"), HasSubstr("read")));
}

// --- As root and as somebody else
// -----------------------------------------------------------------

TEST_F(MountLifeCycle, RootNeedsNoFusermount) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string access = connector_.keep_json({{"url", server_.url()}});
  const std::string program = connector_.command({}).arguments[0];
  Command command = connector_.command({});
  // In a mount namespace of its own, where fusermount3 is a program that always fails.
  command.arguments = {"/usr/bin/unshare",
                       "-m",
                       "/bin/sh",
                       "-ec",
                       "for f in fusermount3 fusermount; do"
                       " [ ! -e /usr/bin/$f ] || mount --bind /bin/false /usr/bin/$f; done;"
                       " \"$0\" mount-dir \"$1\" \"$2\"; cat \"$2/file\"; \"$0\" umount-dir \"$2\";"
                       " ! mountpoint -q \"$2\"",
                       program,
                       access,
                       mount_};
  const Outcome outcome = run(command);
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.output, "content");
}

TEST_F(MountLifeCycle, SaysThatReceiveDirWorksWithoutTheFuseDevice) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to hide /dev/fuse";
  const std::string access = connector_.keep_json({{"url", server_.url()}});
  Command command = connector_.command({});
  command.arguments = {"/usr/bin/unshare",
                       "-m",
                       "/bin/sh",
                       "-ec",
                       "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3;"
                       " exec \"$0\" mount-dir \"$1\" \"$2\"",
                       connector_.command({}).arguments[0],
                       access,
                       mount_};
  const Outcome outcome = run(command);
  EXPECT_THAT(outcome, FailedWith(exit_code::kMount));
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("/dev/fuse"), HasSubstr("receive-dir")));
  expect_no_trace();
}

// Where udev has not opened /dev/fuse to everybody, as it does on ordinary machines: for this
// process and its children, a node of the same device stands in its place. Their mounts are theirs
// alone then.
bool open_fuse_device_to_everybody(const std::filesystem::path& node) {
  struct stat device {};
  if (::stat("/dev/fuse", &device) != 0) return false;
  if ((device.st_mode & 0006) == 0006) return true;
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mknod(node.c_str(), S_IFCHR, device.st_rdev) == 0 && ::chmod(node.c_str(), 0666) == 0 &&
         ::mount(node.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0;
}

class MountAsOrdinaryUser : public MountLifeCycle {
 protected:
  void SetUp() override {
    MountLifeCycle::SetUp();
    if (IsSkipped()) return;
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    struct stat helper {};
    if (::stat("/usr/bin/fusermount3", &helper) != 0 || (helper.st_mode & S_ISUID) == 0) {
      GTEST_SKIP() << "needs fusermount3 (package fuse3)";
    }
    if (!open_fuse_device_to_everybody(directory_ / "fuse")) {
      GTEST_SKIP() << "needs a /dev/fuse that ordinary users can open";
    }
    user_ = ::getpwnam("nobody")->pw_uid;
    connector_.run_as(user_);
    const auto home = directory_ / "home";
    std::filesystem::create_directory(home);
    ASSERT_EQ(::chown(home.c_str(), user_, user_), 0);
    connector_.set_environment("HOME", home);
    mount_ = home / "mount";
  }
  Outcome as_user(std::vector<std::string> arguments) {
    return run({.arguments = std::move(arguments), .user = user_});
  }

  uid_t user_ = 0;
};

TEST_F(MountAsOrdinaryUser, MountsReadsAndUnmounts) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_EQ(as_user({"/bin/cat", mount_ / "file"}).output, "content");
  EXPECT_EQ(as_user({"/usr/bin/stat", "-c", "%u %a", mount_ / "file"}).output,
            std::to_string(user_) + " 444\n");
  EXPECT_THAT(connector_.run({"mounts"}).output, HasSubstr(mount_.string()));
  EXPECT_THAT(umount(), Succeeded());
  expect_no_trace();
}

TEST_F(MountAsOrdinaryUser, LeavesNoTraceOfAFailure) {
  EXPECT_THAT(mount(server_.url("/missing/")), FailedWith(exit_code::kNotFound));
  expect_no_trace();
}

TEST_F(MountAsOrdinaryUser, CleansUpAfterADaemonThatWasKilled) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  ASSERT_NE(daemon(), 0);
  ::kill(daemon(), SIGKILL);
  ASSERT_TRUE(daemon_ends());
  EXPECT_THAT(umount(), Succeeded());
  expect_no_trace();
}

TEST_F(MountAsOrdinaryUser, MayLeaveTheMountToOthersOnlyWhenToldTo) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  EXPECT_EQ(read_at(mount_ / "file", 0, 100).error_number, EACCES) << "even root is another user";
}

TEST_F(MountLifeCycle, OthersMayReadWhenTheAccessDataAllowsIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ASSERT_THAT(mount({{"url", server_.url()}, {"allowOther", true}}), Succeeded());
  const Outcome other =
      run({.arguments = {"/bin/cat", mount_ / "file"}, .user = ::getpwnam("nobody")->pw_uid});
  EXPECT_EQ(other.output, "content") << other.errors;
}

}  // namespace
}  // namespace red::testing
