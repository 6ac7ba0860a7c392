#include "cli/doctor/mount_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;
using testing::write_file;

Finding finding(const MountFacts& facts, const std::string& what) {
  for (const FindingRow& row : judge(facts)) {
    EXPECT_TRUE(row.is_about_mounting) << row.what;
    if (row.what == what) return row.finding;
  }
  ADD_FAILURE() << "no row " << what;
  return {};
}

bool can_mount(const MountFacts& facts) {
  for (const FindingRow& row : judge(facts)) {
    const FindingStatus status = row.finding.status;
    if (status == FindingStatus::Missing || status == FindingStatus::Failed) return false;
  }
  return true;
}

MountFacts root() {
  MountFacts facts;
  facts.is_root = true;
  facts.rights = {.can_mount = true, .may_gain_mount = true};
  facts.trial.outcome = MountTrial::Outcome::Mounted;
  return facts;
}

MountFacts ordinary_user() {
  MountFacts facts;
  facts.rights = {.can_mount = false, .may_gain_mount = true};
  facts.fusermount = "/usr/bin/fusermount3";
  facts.fusermount_is_setuid_root = true;
  facts.fusermount_may_be_setuid = true;
  return facts;
}

TEST(MountChecks, RootNeedsNoFusermount) {
  EXPECT_TRUE(can_mount(root()));
  EXPECT_THAT(finding(root(), "fusermount3").text, HasSubstr("not needed"));
  EXPECT_EQ(finding(root(), "user_allow_other").status, FindingStatus::Ok);
}

TEST(MountChecks, AnOrdinaryUserMountsByFusermount) {
  EXPECT_TRUE(can_mount(ordinary_user()));
  EXPECT_EQ(finding(ordinary_user(), "user_allow_other").status, FindingStatus::Note);
  EXPECT_EQ(finding(ordinary_user(), "trial mount").status, FindingStatus::Skipped);
}

TEST(MountChecks, AnOrdinaryUserMissesFusermount) {
  MountFacts facts = ordinary_user();
  facts.fusermount.reset();
  EXPECT_EQ(finding(facts, "fusermount3").status, FindingStatus::Missing);
  EXPECT_THAT(finding(facts, "fusermount3").text, HasSubstr("fuse3"));
}

TEST(MountChecks, FindWhyFusermountGainsNothing) {
  const auto broken = [](auto spoil) {
    MountFacts facts = ordinary_user();
    spoil(facts);
    EXPECT_EQ(finding(facts, "fusermount3").status, FindingStatus::Failed);
    return finding(facts, "fusermount3").text;
  };
  EXPECT_THAT(broken([](MountFacts& facts) { facts.fusermount_is_setuid_root = false; }),
              HasSubstr("chmod u+s"));
  EXPECT_THAT(broken([](MountFacts& facts) { facts.fusermount_may_be_setuid = false; }),
              HasSubstr("nosuid"));
  EXPECT_THAT(broken([](MountFacts& facts) { facts.rights.no_new_privileges = true; }),
              HasSubstr("no-new-privileges"));
  EXPECT_THAT(broken([](MountFacts& facts) { facts.rights.may_gain_mount = false; }),
              HasSubstr("--cap-add SYS_ADMIN"));
}

TEST(MountChecks, TellAContainerWhatItLacks) {
  MountFacts facts = root();
  facts.device_error = ENOENT;
  facts.rights.can_mount = false;
  EXPECT_EQ(finding(facts, "/dev/fuse").status, FindingStatus::Missing);
  EXPECT_THAT(finding(facts, "/dev/fuse").text,
              HasSubstr("--device /dev/fuse --cap-add SYS_ADMIN"));
  EXPECT_EQ(finding(facts, "capabilities").status, FindingStatus::Missing);
  EXPECT_EQ(finding(facts, "fusermount3").status, FindingStatus::Ok) << "it would not help";
}

TEST(MountChecks, TellWhyTheDeviceCannotBeOpened) {
  MountFacts facts = ordinary_user();
  facts.device_error = EACCES;
  EXPECT_EQ(finding(facts, "/dev/fuse").status, FindingStatus::Failed);
  EXPECT_THAT(finding(facts, "/dev/fuse").text, HasSubstr("Permission denied"));
  facts.device_error = ENODEV;
  EXPECT_THAT(finding(facts, "/dev/fuse").text, HasSubstr("modprobe fuse"));
}

TEST(MountChecks, ACapabilityOverOtherMountsDoesNotCount) {
  MountFacts facts = root();
  facts.owns_mounts = false;
  facts.is_in_initial_user_namespace = false;
  EXPECT_EQ(finding(facts, "capabilities").status, FindingStatus::Missing);
  EXPECT_THAT(finding(facts, "capabilities").text, HasSubstr("unshare -rm"));
  EXPECT_EQ(finding(facts, "fusermount3").status, FindingStatus::Ok) << "it would not help";
}

TEST(MountChecks, BelieveTheTrialMoreThanTheCapability) {
  MountFacts facts = root();
  facts.trial = {MountTrial::Outcome::Refused, "mount: Operation not permitted"};
  EXPECT_FALSE(can_mount(facts));
  EXPECT_THAT(finding(facts, "trial mount").text, HasSubstr("apparmor"));
}

TEST(MountFacts, AreFoundBelowTheRoot) {
  const TemporaryDirectory root;
  EXPECT_EQ(find_mount_facts(root.path()).device_error, ENOENT);
  EXPECT_FALSE(find_mount_facts(root.path()).fusermount.has_value());

  std::filesystem::create_directories(root / "usr/bin");
  std::filesystem::create_directories(root / "etc");
  write_file(root / "usr/bin/fusermount3", "");
  ::chmod((root / "usr/bin/fusermount3").c_str(), 0755);
  write_file(root / "etc/fuse.conf", "#user_allow_other\n mount_max = 1000\n");
  EXPECT_EQ(find_mount_facts(root.path()).fusermount, root / "usr/bin/fusermount3");
  EXPECT_FALSE(find_mount_facts(root.path()).fusermount_is_setuid_root);
  EXPECT_FALSE(find_mount_facts(root.path()).user_allow_other);

  write_file(root / "etc/fuse.conf", "mount_max = 1000\n  user_allow_other \r\n");
  EXPECT_TRUE(find_mount_facts(root.path()).user_allow_other);
  if (::geteuid() != 0) return;
  ::chmod((root / "usr/bin/fusermount3").c_str(), 04755);
  EXPECT_TRUE(find_mount_facts(root.path()).fusermount_is_setuid_root);
}

TEST(ProcessRights, AreReadFromTheStatusOfAProcess) {
  const TemporaryDirectory directory;
  write_file(directory / "status",
             "Name:\tx\nCapEff:\t00000000a80425fb\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\n");
  const ProcessRights rights = read_process_rights(directory / "status");
  EXPECT_FALSE(rights.can_mount);
  EXPECT_TRUE(rights.may_gain_mount);
  EXPECT_TRUE(rights.no_new_privileges);
}

TEST(ProcessRights, TellTheInitialUserNamespace) {
  const TemporaryDirectory directory;
  write_file(directory / "initial", "         0          0 4294967295\n");
  write_file(directory / "mapped", "         0       1000          1\n");
  EXPECT_TRUE(is_in_initial_user_namespace(directory / "initial"));
  EXPECT_FALSE(is_in_initial_user_namespace(directory / "mapped"));
}

TEST(MountTrial, LeavesTheMountsOfThisProcessAlone) {
  if (!read_process_rights().can_mount || !owns_mount_namespace()) GTEST_SKIP() << "needs root";
  const auto mounts = [] { return testing::read_file("/proc/self/mountinfo"); };
  const std::string before = mounts();
  const MountTrial trial = try_to_mount();
  EXPECT_NE(trial.outcome, MountTrial::Outcome::NotTried) << trial.reason;
  EXPECT_EQ(mounts(), before);
}

}  // namespace
}  // namespace red
