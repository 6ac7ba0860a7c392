#include "common/cache/cache_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/error.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class CacheDirectoryTest : public ::testing::Test {
 protected:
  std::string refusal() const {
    try {
      CacheDirectory::open(place);
      return "";
    } catch (const Error& error) {
      return error.message();
    }
  }

  testing::TemporaryDirectory directory;
  const fs::path place = directory / "cache";
  const fs::path format = place / "red-connector-1";
};

TEST_F(CacheDirectoryTest, IsMadeForThisUserAlone) {
  const CacheDirectory opened = CacheDirectory::open(place / "below");
  EXPECT_EQ(mode_of(place / "below"), 0700U);
  EXPECT_EQ(mode_of(place / "below/red-connector-1"), 0700U);
  EXPECT_EQ(mode_of(place / "below/red-connector-1/key"), 0600U);
  opened.open_file("ab/content");
  EXPECT_EQ(mode_of(place / "below/red-connector-1/ab"), 0700U);
  EXPECT_EQ(mode_of(place / "below/red-connector-1/ab/content"), 0600U);
}

TEST_F(CacheDirectoryTest, AllWhoOpenItHaveOneKey) {
  EXPECT_EQ(CacheDirectory::open(place).key(), CacheDirectory::open(place).key());
}

TEST_F(CacheDirectoryTest, AKeyThatACrashHasLeftEmptyIsReplaced) {
  const HashValue before = CacheDirectory::open(place).key();
  fs::resize_file(format / "key", 0);
  const HashValue after = CacheDirectory::open(place).key();
  EXPECT_NE(after, before);
  EXPECT_EQ(after, CacheDirectory::open(place).key());
  EXPECT_EQ(testing::names_in(format), std::vector<std::string>{"key"});
}

TEST_F(CacheDirectoryTest, WhatOthersMayWriteToIsRefused) {
  fs::create_directory(place);
  for (const mode_t mode : {0770U, 0707U, 0777U, 01777U}) {
    ASSERT_EQ(::chmod(place.c_str(), mode), 0);
    EXPECT_THAT(refusal(), HasSubstr("others may write there")) << std::oct << mode;
  }
}

TEST_F(CacheDirectoryTest, WhatOthersMayReadIsPrivateInside) {
  fs::create_directory(place);
  ASSERT_EQ(::chmod(place.c_str(), 0755), 0);
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(mode_of(format), 0700U);
  ASSERT_EQ(::chmod(format.c_str(), 0755), 0);
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(mode_of(format), 0700U);
}

TEST_F(CacheDirectoryTest, WhatItsOwnerSharesIsShared) {
  fs::create_directory(place);
  ASSERT_EQ(::chmod(place.c_str(), 02770), 0);
  const CacheDirectory opened = CacheDirectory::open(place);
  opened.open_file("ab/content");
  EXPECT_EQ(mode_of(format), 02770U);
  EXPECT_EQ(mode_of(format / "key"), 0660U);
  EXPECT_EQ(mode_of(format / "ab"), 02770U);
  EXPECT_EQ(mode_of(format / "ab/content"), 0660U);
}

TEST_F(CacheDirectoryTest, WhatBelongsToSomebodyElseIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  fs::create_directory(place);
  ASSERT_EQ(::chown(place.c_str(), 12345, 12345), 0);
  EXPECT_THAT(refusal(), HasSubstr("belongs to somebody else"));
  ASSERT_EQ(::chown(place.c_str(), 0, 0), 0);
  fs::create_directory(format);
  ASSERT_EQ(::chown(format.c_str(), 12345, 12345), 0);
  EXPECT_THAT(refusal(), HasSubstr("belongs to somebody else"));
}

TEST_F(CacheDirectoryTest, LinksAreNotFollowed) {
  fs::create_directory(directory / "elsewhere");
  fs::create_directory_symlink(directory / "elsewhere", place);
  EXPECT_NE(refusal(), "");
  fs::remove(place);
  fs::create_directory(place);
  fs::create_directory_symlink(directory / "elsewhere", format);
  EXPECT_NE(refusal(), "");
  fs::remove(format);
  const CacheDirectory opened = CacheDirectory::open(place);
  testing::write_file(directory / "elsewhere/file", "somebody's");
  opened.open_file("ab/content");
  fs::remove(format / "ab/content");
  fs::create_symlink(directory / "elsewhere/file", format / "ab/content");
  EXPECT_THROW(opened.open_file("ab/content"), Error);
}

TEST_F(CacheDirectoryTest, AFileInItsPlaceIsRefused) {
  testing::write_file(place, "no directory");
  EXPECT_NE(refusal(), "");
}

}  // namespace
}  // namespace red
