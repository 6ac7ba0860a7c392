#include "transfer/member_path.h"

#include <gtest/gtest.h>

#include <string>

#include "common/error.h"
#include "transfer/printable_name.h"

namespace red {
namespace {

TEST(MemberPath, IsWhatTheNameSaysWithoutItsOrnaments) {
  EXPECT_EQ(member_path("a/b").text(), "a/b");
  EXPECT_EQ(member_path("./a//b/./c/").text(), "a/b/c");
  EXPECT_EQ(member_path("..a/b..").text(), "..a/b..");
  EXPECT_EQ(member_path("a\xff\n").text(), "a\xff\n");
  EXPECT_TRUE(member_path(".").is_root());
  EXPECT_TRUE(member_path("./").is_root());
}

TEST(MemberPath, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"", "/", "/a", "//a", "..", "../a", "a/..", "a/../b", "./../a"}) {
    try {
      member_path(name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Protocol) << name;
    }
  }
}

std::string deep(std::size_t depth) {
  std::string name = "a";
  for (std::size_t i = 1; i < depth; ++i) name += "/a";
  return name;
}

TEST(MemberPath, HasBounds) {
  EXPECT_EQ(member_path(deep(kMaxMemberDepth)).components().size(), kMaxMemberDepth);
  EXPECT_THROW(member_path(deep(kMaxMemberDepth + 1)), Error);
  EXPECT_NO_THROW(member_path(std::string(kMaxMemberNameLength, 'a')));
  EXPECT_THROW(member_path(std::string(kMaxMemberNameLength + 1, 'a')), Error);
}

TEST(PrintableName, KeepsCharactersAndShowsBytes) {
  EXPECT_EQ(printable_name("a b/ü€😀"), "a b/ü€😀");
  EXPECT_EQ(printable_name("a\nb\x1b[31m\x7f\\"), "a\\x0ab\\x1b[31m\\x7f\\x5c");
  EXPECT_EQ(printable_name("\xff\xc3(\xc0\x80\xed\xa0\x80\xc2\x9b\xe2\x82"),
            "\\xff\\xc3(\\xc0\\x80\\xed\\xa0\\x80\\xc2\\x9b\\xe2\\x82");
  EXPECT_EQ(printable_name(std::string(1000, 'a')), std::string(200, 'a') + "…");
}

}  // namespace
}  // namespace red
