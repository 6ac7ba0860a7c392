#include "fuse/mount_table.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "common/error.h"
#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

using testing::TemporaryDirectory;

constexpr std::string_view kOurs =
    "61 27 0:45 / /mnt/data ro,nosuid,nodev,relatime shared:7 master:2 - fuse.red-connector "
    "http://host/data ro,user_id=1000,group_id=1000\n";

TEST(MountTable, ReadsEveryFieldOfALine) {
  const MountTable table = parse_mount_table(kOurs);
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table[0].id, 61);
  EXPECT_EQ(table[0].parent_id, 27);
  EXPECT_EQ(table[0].device, (DeviceNumber{0, 45}));
  EXPECT_EQ(table[0].mount_point, "/mnt/data");
  EXPECT_EQ(table[0].source, "http://host/data");
  EXPECT_EQ(table[0].owner, 1000u);
  EXPECT_TRUE(table[0].is_ours());
}

TEST(MountTable, DecodesOctalEscapes) {
  const MountTable table = parse_mount_table(
      R"(61 27 0:45 / /mnt/a\040b\011c\012d\134040 ro - fuse.red-connector http://host/x\040y ro)");
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table[0].mount_point, "/mnt/a b\tc\nd\\040");
  EXPECT_EQ(table[0].source, "http://host/x y");
}

TEST(MountTable, KeepsABackslashThatEscapesNothing) {
  const MountTable table = parse_mount_table(R"(1 2 0:3 / /a\9b\04 ro - tmpfs none rw)");
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table[0].mount_point, R"(/a\9b\04)");
}

TEST(MountTable, LeavesOutLinesThatItCannotUnderstand) {
  const std::string text = std::string("\nnonsense\n1 2 x:y / /a ro - tmpfs none rw\n") +
                           "1 2 0:3 / /a ro - tmpfs\n" + "1 2 0:3 / /a ro tmpfs none rw\n" +
                           std::string(kOurs) + "1 2 0:3 /";
  EXPECT_EQ(parse_mount_table(text).size(), 1u);
}

TEST(MountTable, KnowsAForeignMountByItsType) {
  const MountTable table =
      parse_mount_table("61 27 0:45 / /mnt ro - fuse.sshfs host: ro,user_id=0\n");
  ASSERT_EQ(table.size(), 1u);
  EXPECT_FALSE(table[0].is_ours());
}

TEST(MountTable, FindsTheTopOfStackedMountsWhateverTheirOrder) {
  const MountTable table = parse_mount_table(
      "72 61 0:46 / /mnt/data rw - tmpfs top rw\n"
      "61 27 0:45 / /mnt/data ro - fuse.red-connector bottom ro\n"
      "73 72 0:47 / /mnt/data/below rw - tmpfs below rw\n");
  const MountEntry* top = find_top_mount(table, "/mnt/data");
  ASSERT_NE(top, nullptr);
  EXPECT_EQ(top->source, "top");
  EXPECT_FALSE(is_mounted(table, "/mnt/data", {0, 45}));
  EXPECT_EQ(find_top_mount(table, "/mnt"), nullptr);
}

TEST(MountTable, ReadsTheTableOfThisProcess) {
  const MountTable table = read_mount_table();
  EXPECT_NE(find_top_mount(table, "/proc"), nullptr);
}

TEST(MountTable, LocatesADirectoryBehindASymbolicLink) {
  const TemporaryDirectory directory;
  const auto target = directory.make("target");
  std::filesystem::create_directory_symlink(target, directory.path() / "link");
  const LocatedDirectory located = locate_directory(directory.path() / "link/");
  EXPECT_EQ(located.real_path, target);
  EXPECT_EQ(located.mount_id, locate_directory(directory.path()).mount_id);
}

TEST(MountTable, TellsWhyADirectoryCannotBeLocated) {
  const TemporaryDirectory directory;
  try {
    locate_directory(directory.path() / "missing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), ENOENT);
  }
}

TEST(MountTable, LocatesAMountThatDoesNotAnswer) {
  if (!testing::can_mount_as_root()) GTEST_SKIP() << "needs root and /dev/fuse";
  const TemporaryDirectory directory;
  const auto path = directory.make("mount");
  testing::SilentMount mount(path);
  ASSERT_TRUE(mount.mounted());
  EXPECT_EQ(locate_directory(path).mount_id, mount.entry().id);
  EXPECT_EQ(locate_directory(path).real_path, path);
  mount.kill_daemon();
  EXPECT_EQ(locate_directory(path).mount_id, mount.entry().id);
}

}  // namespace
}  // namespace red
