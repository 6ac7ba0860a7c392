#include "fuse/mount_registry.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/error.h"
#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using testing::ChildProcess;
using testing::TemporaryDirectory;

class MountRegistryTest : public ::testing::Test {
 protected:
  MountRecord record(const std::string& name = "mount", bool made_directory = false) const {
    return record_for_this_process(temporary_.make(name), "http://host/data", made_directory);
  }
  /// There is nothing to wait for.
  MountRecord record_of_ended_process(const std::string& name, bool made_directory) const {
    MountRecord ended = record(name, made_directory);
    ended.start_ticks -= 1;
    return ended;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(place_), fs::directory_iterator()));
  }
  /// A daemon that is killed: its record stays.
  void leave_record_of_dead_daemon(const MountRecord& left) const {
    ChildProcess daemon([&] {
      MountClaim claim = registry_->claim(left);
      ::_exit(0);  // without the claim's end
      return 0;
    });
    EXPECT_EQ(daemon.wait(), 0);
  }

  TemporaryDirectory temporary_;
  fs::path place_ = temporary_.path() / "registry";
  std::optional<MountRegistry> registry_ = MountRegistry::make_at(place_);
};

RC_GTEST_PROP(MountRecord, SurvivesBeingWrittenAndRead,
              (const std::string& path, const std::string& source, bool made, bool mounted,
               std::uint64_t ticks)) {
  MountRecord record;
  record.mount_point = fs::path("/mnt/" + path);
  record.source = source;
  record.pid = 4711;
  record.start_ticks = ticks;
  if (mounted) record.device = DeviceNumber{0, 45};
  record.made_directory = made;
  record.since = std::chrono::sys_seconds(std::chrono::seconds(1700000000));
  record.mount_namespace = 4026531840;
  RC_ASSERT(parse_record(format_record(record)) == record);
}

TEST_F(MountRegistryTest, TakesNoRecordThatWasCutShort) {
  const std::string text = format_record(record());
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(parse_record(std::string_view(text).substr(0, length))) << length;
  }
}

TEST_F(MountRegistryTest, IsADirectoryThatOthersCannotEnter) {
  struct stat status {};
  ASSERT_EQ(::stat(place_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(MountRegistryTest, RefusesADirectoryThatOthersMayEnter) {
  ::chmod(place_.c_str(), 0755);
  EXPECT_FALSE(MountRegistry::make_at(place_));
}

TEST_F(MountRegistryTest, RefusesASymbolicLink) {
  fs::create_directory_symlink(place_, temporary_.path() / "link");
  EXPECT_FALSE(MountRegistry::make_at(temporary_.path() / "link"));
}

TEST_F(MountRegistryTest, RefusesADirectoryOfSomebodyElse) {
  EXPECT_FALSE(MountRegistry::find_at(place_, ::geteuid() + 1));
}

TEST_F(MountRegistryTest, FindsWhatWasClaimed) {
  const MountClaim claim = registry_->claim(record());
  const auto found = registry_->find(temporary_.path() / "mount");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->record, claim.record());
  EXPECT_TRUE(found->daemon_alive);
  EXPECT_FALSE(registry_->find(temporary_.path() / "other"));
}

TEST_F(MountRegistryTest, WritesDownTheDeviceOnceItIsMounted) {
  MountClaim claim = registry_->claim(record());
  claim.set_device({0, 99});
  const auto found = registry_->find(temporary_.path() / "mount");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->record.device, (DeviceNumber{0, 99}));
  EXPECT_TRUE(found->daemon_alive);
}

TEST_F(MountRegistryTest, RefusesASecondClaimOfALivingDaemonsMountPoint) {
  const MountClaim claim = registry_->claim(record());
  EXPECT_THROW(registry_->claim(record()), Error);
  EXPECT_NO_THROW(registry_->claim(record("other")));
}

TEST_F(MountRegistryTest, LeavesNothingBehindAReleasedClaim) {
  {
    const MountClaim claim = registry_->claim(record());
    std::ofstream(claim.log_path()) << "text";
    std::ofstream(claim.socket_path()) << "text";
    EXPECT_EQ(files(), 3u);
  }
  EXPECT_FALSE(fs::exists(temporary_.path() / "registry"));
}

TEST_F(MountRegistryTest, AClaimMakesTheDirectoryAnewThatTheLastMountTookAlong) {
  registry_->claim(record("first")).release();
  ASSERT_FALSE(fs::exists(temporary_.path() / "registry"));
  const MountClaim second = registry_->claim(record("second"));
  EXPECT_EQ(files(), 1u);
  const auto registry = MountRegistry::find_at(temporary_.path() / "registry", ::geteuid());
  ASSERT_TRUE(registry);
  EXPECT_TRUE(registry->find(second.record().mount_point));
}

TEST_F(MountRegistryTest, RemovesTheDirectoryThatMountDirMade) {
  { const MountClaim claim = registry_->claim(record("made", true)); }
  { const MountClaim claim = registry_->claim(record("found", false)); }
  EXPECT_FALSE(fs::exists(temporary_.path() / "made"));
  EXPECT_TRUE(fs::exists(temporary_.path() / "found"));
}

TEST_F(MountRegistryTest, KeepsAMadeDirectoryThatIsNotEmpty) {
  {
    const MountClaim claim = registry_->claim(record("made", true));
    std::ofstream(temporary_.path() / "made/file") << "text";
  }
  EXPECT_TRUE(fs::exists(temporary_.path() / "made/file"));
}

TEST_F(MountRegistryTest, KnowsThatADaemonIsDead) {
  leave_record_of_dead_daemon(record());
  const auto found = registry_->find(temporary_.path() / "mount");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->daemon_alive);
}

TEST_F(MountRegistryTest, GivesADeadDaemonsMountPointToTheNext) {
  leave_record_of_dead_daemon(record());
  const MountClaim claim = registry_->claim(record());
  const auto found = registry_->find(temporary_.path() / "mount");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->record.pid, ::getpid());
  EXPECT_TRUE(found->daemon_alive);
}

TEST_F(MountRegistryTest, SweepsWhatDeadDaemonsLeftWithoutAMount) {
  leave_record_of_dead_daemon(record("dead"));
  ChildProcess ended([] { return 0; });
  ended.wait();
  std::ofstream(place_ / ("0123456789abcdef-" + std::to_string(ended.pid()) + ".log")) << "text";
  std::ofstream(place_ / "0123456789abcdef") << "no record";
  EXPECT_EQ(files(), 3u);
  const MountClaim claim = registry_->claim(record("other"));
  EXPECT_EQ(files(), 1u);
}

TEST_F(MountRegistryTest, KeepsTheFilesOfLivingDaemonsWhenItSweeps) {
  const MountClaim first = registry_->claim(record("first"));
  std::ofstream(first.log_path()) << "text";
  const MountClaim second = registry_->claim(record("second"));
  EXPECT_EQ(files(), 3u);
  EXPECT_EQ(registry_->list().size(), 2u);
}

TEST_F(MountRegistryTest, RetiresExactlyTheMountThatIsMeant) {
  const MountClaim claim = registry_->claim(record("made", true));
  MountRecord earlier = claim.record();
  earlier.start_ticks -= 1;
  registry_->retire(earlier);
  EXPECT_TRUE(registry_->find(claim.record().mount_point));
  registry_->retire(claim.record());
  EXPECT_FALSE(registry_->find(claim.record().mount_point));
  EXPECT_FALSE(fs::exists(temporary_.path() / "made"));
}

TEST_F(MountRegistryTest, ARetiredDaemonLeavesItsSuccessorAlone) {
  const MountClaim other = registry_->claim(record("other"));
  auto first = std::make_unique<MountClaim>(registry_->claim(record("made", true)));
  registry_->retire(first->record());
  const MountClaim second = registry_->claim(record("made", true));
  first->set_device({0, 99});
  first.reset();
  const auto found = registry_->find(second.record().mount_point);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->record.device);
  EXPECT_TRUE(fs::exists(temporary_.path() / "made"));
}

TEST_F(MountRegistryTest, SettlingForgetsADaemonWhoseMountWasDetached) {
  MountClaim claim = registry_->claim(record_of_ended_process("made", true));
  claim.set_device({0, 999999});
  registry_->settle(claim.record().mount_point);
  EXPECT_FALSE(registry_->find(claim.record().mount_point));
  EXPECT_TRUE(fs::exists(temporary_.path() / "made"));
}

TEST_F(MountRegistryTest, SettlingKeepsADaemonThatIsStillMounting) {
  const MountClaim claim = registry_->claim(record_of_ended_process("mount", false));
  registry_->settle(claim.record().mount_point);
  EXPECT_TRUE(registry_->find(claim.record().mount_point));
}

}  // namespace
}  // namespace red
