#include "common/protocols/xnat/xnat_names.h"

#include <gtest/gtest.h>

#include <set>

namespace red {
namespace {

RemotePath path_of(std::string_view text) {
  RemotePath path;
  while (true) {
    const auto slash = text.find('/');
    path = path.child(text.substr(0, slash));
    if (slash == std::string_view::npos) return path;
    text.remove_prefix(slash + 1);
  }
}

TEST(XnatNames, EncodesEverythingThatIsNotUnreserved) {
  EXPECT_EQ(encode_object_name("S_1-a.b"), "S_1-a.b");
  EXPECT_EQ(encode_object_name("a b+c"), "a%20b%2Bc");
  EXPECT_EQ(encode_object_name("1/2"), "1%5BSLASH%5D2");
  EXPECT_EQ(encode_object_name("1,2"), "1%5BCOMMA%5D2");
  EXPECT_EQ(encode_file_path(path_of("a b/#?*&/\xC3\xA9")), "a%20b/%23%3F%2A%26/%C3%A9");
}

TEST(XnatNames, SendsEscapesInNamesOfFilesAsTheyAre) {
  EXPECT_EQ(encode_file_path(path_of("%C3%A9.txt")), "%C3%A9.txt");
  EXPECT_EQ(encode_file_path(path_of("100% a")), "100%25%20a");
}

TEST(XnatNames, KnowsWhichNamesAPlainUploadKeeps) {
  EXPECT_TRUE(is_kept_by_upload(path_of("a/b-c_d.txt")));
  for (const char* name : {"a b", "a+b", "\xC3\xA9", "#"}) {
    EXPECT_FALSE(is_kept_by_upload(path_of(name))) << name;
  }
}

TEST(XnatNames, RefusesNamesThatCouldNotBeReadAgain) {
  EXPECT_EQ(fault_of_file_name(path_of("a b/\xC3\xA9#?.txt")), "");
  for (const char* name : {"100%", "a;b", "a\\b", "a\nb", "scan_1_catalog.xml", "\xFF"}) {
    EXPECT_NE(fault_of_file_name(path_of(name)), "") << name;
  }
}

TEST(XnatNames, EscapesWhatAFileSystemCannotHave) {
  EXPECT_EQ(escape_component("T1 100%"), "T1 100%");
  EXPECT_EQ(escape_component("a/b"), "a%2Fb");
  EXPECT_EQ(escape_component("."), "%2E");
  EXPECT_EQ(escape_component(".."), "%2E%2E");
  EXPECT_EQ(escape_component(".hidden"), ".hidden");
  EXPECT_EQ(escape_component("a%2Fb"), "a%252Fb");
  EXPECT_EQ(escape_component("a%20b"), "a%20b");
}

TEST(XnatNames, EscapesReversibly) {
  std::set<std::string> seen;
  const std::string alphabet("/%2F50.E\0a", 10);
  std::string name;
  for (int number = 0; number < 200'000; ++number) {
    name.clear();
    for (int rest = number; rest > 0; rest /= 10)
      name += alphabet[static_cast<std::size_t>(rest % 10)];
    const std::string escaped = escape_component(name);
    ASSERT_EQ(unescape_component(escaped), name);
    ASSERT_TRUE(name.empty() || RemotePath::is_valid_name(escaped)) << escaped;
  }
}

std::vector<std::string> names(std::vector<XnatObject> objects) { return directory_names(objects); }

TEST(XnatNames, CallsObjectsByTheirLabels) {
  EXPECT_EQ(names({{"E1", "one", "", ""}, {"E2", "two", "", ""}}),
            (std::vector<std::string>{"one", "two"}));
}

TEST(XnatNames, CallsObjectsByIdWhereLabelsCollideOrAreMissing) {
  EXPECT_EQ(names({{"E1", "same", "", ""}, {"E2", "same", "", ""}, {"E3", "", "", ""}}),
            (std::vector<std::string>{"E1", "E2", "E3"}));
  EXPECT_EQ(names({{"E1", "E2", "", ""}, {"E2", "", "", ""}}),
            (std::vector<std::string>{"E1", "E2"}));
  EXPECT_EQ(names({{"E1", "E2", "", ""}, {"E2", "x", "", ""}, {"E3", "x", "", ""}}),
            (std::vector<std::string>{"E1", "E2", "E3"}));
}

}  // namespace
}  // namespace red
