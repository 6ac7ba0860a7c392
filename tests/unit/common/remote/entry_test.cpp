#include "common/remote/entry.h"

#include <gtest/gtest.h>

namespace red {
namespace {

using std::chrono::seconds;

TEST(Version, MayEqualOneThatTellsNothing) {
  const Version known{"\"a\"", FileTime(seconds(1)), 5};
  EXPECT_TRUE(known.may_equal({}));
  EXPECT_TRUE(Version{}.may_equal(known));
}

TEST(Version, DiffersInAnyFieldThatBothKnow) {
  const Version known{"\"a\"", FileTime(seconds(1)), 5};
  EXPECT_FALSE(known.may_equal({"\"b\"", {}, {}}));
  EXPECT_FALSE(known.may_equal({"", FileTime(seconds(2)), {}}));
  EXPECT_FALSE(known.may_equal({"", {}, 6}));
}

TEST(Version, ComparesEntityTagsWeakly) {
  EXPECT_TRUE((Version{"W/\"a\"", {}, {}}.may_equal({"\"a\"", {}, {}})));
}

TEST(Version, IsAValidatorWithTagOrTimeButNotWithSizeAlone) {
  EXPECT_TRUE((Version{"\"a\"", {}, {}}.is_validator()));
  EXPECT_TRUE((Version{"", FileTime(seconds(1)), {}}.is_validator()));
  EXPECT_FALSE((Version{"", {}, 5}.is_validator()));
}

TEST(Version, IsCompletedOnlyWhereItKnewNothing) {
  Version version{"\"a\"", {}, {}};
  version.complete_from({"\"b\"", FileTime(seconds(1)), 5});
  EXPECT_EQ(version.etag, "\"a\"");
  EXPECT_EQ(version.modified, FileTime(seconds(1)));
  EXPECT_EQ(version.size, 5U);
}

TEST(Entry, KeepsACoarseTimeOutOfItsVersion) {
  Entry entry;
  entry.modified = FileTime(seconds(60));
  EXPECT_FALSE(entry.version().modified.has_value());
  entry.modified_is_exact = true;
  EXPECT_EQ(entry.version().modified, FileTime(seconds(60)));
}

}  // namespace
}  // namespace red
