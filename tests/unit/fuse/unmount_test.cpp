#include "fuse/unmount.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "common/error.h"
#include "fuse/mount_daemon.h"
#include "fuse/mount_holders.h"
#include "fuse/mount_registry.h"
#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ChildProcess;
using testing::is_our_mount;
using testing::SilentMount;
using testing::TemporaryDirectory;

std::chrono::milliseconds time_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

ErrorKind kind_thrown_by(const std::function<void()>& work, std::string& message) {
  try {
    work();
  } catch (const Error& error) {
    message = error.message();
    return error.kind();
  }
  return ErrorKind::Internal;
}

class UnmountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount_as_root()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
  UniqueFd hold() const { return UniqueFd(::open(path_.c_str(), O_PATH | O_CLOEXEC)); }

  TemporaryDirectory temporary_;
  fs::path path_ = temporary_.make("mount");
};

TEST_F(UnmountTest, TakesDownAMountThatDoesNotAnswer) {
  const SilentMount mount(path_);
  ASSERT_TRUE(mount.mounted());
  EXPECT_EQ(unmount(path_), UnmountResult::Done);
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_EQ(unmount(path_), UnmountResult::NotMounted);
}

TEST_F(UnmountTest, SaysThatAMountIsBusyAndDetachesIt) {
  const SilentMount mount(path_);
  const UniqueFd held = hold();
  EXPECT_EQ(unmount(path_), UnmountResult::Busy);
  EXPECT_TRUE(is_our_mount(path_));
  EXPECT_EQ(detach(path_), UnmountResult::Done);
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(UnmountTest, LeavesAForeignMountAlone) {
  ASSERT_EQ(::mount("none", path_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(unmount(path_), UnmountResult::NotMounted);
  EXPECT_EQ(detach(path_), UnmountResult::NotMounted);
  EXPECT_EQ(::umount2(path_.c_str(), 0), 0);
}

TEST_F(UnmountTest, LeavesAMountThatIsCoveredByAForeignOneAlone) {
  const SilentMount mount(path_);
  // By the open directory: a path would make the kernel ask the mount that does not answer.
  const UniqueFd held = hold();
  const std::string root = "/proc/self/fd/" + std::to_string(held.get());
  ASSERT_EQ(::mount("none", root.c_str(), "tmpfs", 0, nullptr), 0);
  std::string message;
  EXPECT_EQ(kind_thrown_by([&] { umount_dir(path_); }, message), ErrorKind::Mount);
  EXPECT_EQ(::umount2(path_.c_str(), 0), 0);
  EXPECT_TRUE(is_our_mount(path_));
}

TEST_F(UnmountTest, FindsTheProcessThatHoldsADirectoryOpen) {
  const SilentMount mount(path_);
  const UniqueFd held = hold();
  const auto holders = find_holders(mount.entry(), 5s);
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders[0].pid, ::getpid());
  EXPECT_EQ(holders[0].path, path_);
  EXPECT_FALSE(holders[0].process_name.empty());
}

TEST_F(UnmountTest, FindsNobodyWhenNobodyHoldsTheMount) {
  const SilentMount mount(path_);
  EXPECT_TRUE(find_holders(mount.entry(), 5s).empty());
}

TEST_F(UnmountTest, UmountDirTakesDownAMountThatDoesNotAnswer) {
  const SilentMount mount(path_);
  EXPECT_LT(time_of([&] { umount_dir(path_); }), 2s);
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(UnmountTest, UmountDirCleansUpAMountWhoseDaemonIsDead) {
  SilentMount mount(path_);
  mount.kill_daemon();
  umount_dir(path_);
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(UnmountTest, UmountDirFollowsASymbolicLinkToTheMount) {
  const SilentMount mount(path_);
  fs::create_directory_symlink(path_, temporary_.path() / "link");
  umount_dir(temporary_.path() / "link");
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(UnmountTest, UmountDirDetachesFromHoldersAfterTwoSecondsAndNamesThem) {
  const SilentMount mount(path_);
  const UniqueFd held = hold();
  ::testing::internal::CaptureStderr();
  const auto time = time_of([&] { umount_dir(path_); });
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_GE(time, 2s);
  EXPECT_LT(time, 6s);
  EXPECT_NE(text.find("still open: pid " + std::to_string(::getpid()) + " ("), std::string::npos);
  EXPECT_NE(text.find(") " + path_.string()), std::string::npos);
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(UnmountTest, UmountDirNeverSignalsAProcessThatGotThePidOfADaemonLater) {
  const SilentMount mount(path_);
  ChildProcess innocent([] {
    ::pause();
    return 0;
  });
  MountRecord record = record_for_this_process(path_, "http://host/", false);
  record.pid = innocent.pid();
  record.start_ticks = *start_ticks_of(innocent.pid()) - 1;
  MountClaim claim = MountRegistry::open().claim(record);
  claim.set_device(mount.entry().device);
  umount_dir(path_);
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_TRUE(start_ticks_of(innocent.pid()));
}

TEST_F(UnmountTest, UmountDirNeverSignalsTheProcessOfADeadRecord) {
  const SilentMount mount(path_);
  ChildProcess innocent([] {
    ::pause();
    return 0;
  });
  MountRecord record = record_for_this_process(path_, "http://host/", false);
  record.pid = innocent.pid();
  record.start_ticks = *start_ticks_of(innocent.pid());
  record.device = mount.entry().device;
  ChildProcess killed([&] {
    MountClaim claim = MountRegistry::open().claim(record);
    ::_exit(0);  // its record stays, its lock does not
    return 0;
  });
  ASSERT_EQ(killed.wait(), 0);
  umount_dir(path_);
  EXPECT_TRUE(start_ticks_of(innocent.pid()));
  EXPECT_FALSE(MountRegistry::open().find(path_));
}

TEST_F(UnmountTest, UmountDirRefusesADirectoryThatIsNoMountOfOurs) {
  std::string message;
  EXPECT_EQ(kind_thrown_by([&] { umount_dir(path_); }, message), ErrorKind::Mount);
  EXPECT_NE(message.find(path_.string()), std::string::npos);
  EXPECT_NE(message.find("no mount of ours"), std::string::npos);
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(UnmountTest, UmountDirRefusesADirectoryThatDoesNotExist) {
  std::string message;
  EXPECT_EQ(kind_thrown_by([&] { umount_dir(path_ / "missing"); }, message), ErrorKind::Mount);
  EXPECT_NE(message.find("no mount of ours"), std::string::npos);
}

}  // namespace
}  // namespace red
