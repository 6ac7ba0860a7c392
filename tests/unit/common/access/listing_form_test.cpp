#include "common/access/listing_form.h"

#include <gtest/gtest.h>

#include <string>

#include "common/error.h"

namespace red {
namespace {

std::string message_for(std::string_view json) {
  try {
    parse_listing(json, "l.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error.message();
  }
  return "no error";
}

TEST(Listing, KeepsTheTree) {
  const Listing listing = parse_listing(R"([
      {"class": "File", "basename": "a b#.txt", "size": 5000000000,
       "checksum": "sha1$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
      {"class": "Directory", "basename": "d", "listing": [
        {"basename": "f", "class": "File"},
        {"class": "Directory", "basename": "empty"}]}])",
                                        "l.json");
  ASSERT_EQ(listing.size(), 2u);
  EXPECT_EQ(listing[0].kind, ListingEntry::Kind::File);
  EXPECT_EQ(listing[0].basename, "a b#.txt");
  EXPECT_EQ(listing[0].size, 5'000'000'000u);
  EXPECT_EQ(listing[0].sha1, std::string(40, 'a'));
  EXPECT_EQ(listing[1].kind, ListingEntry::Kind::Directory);
  ASSERT_EQ(listing[1].children.size(), 2u);
  EXPECT_EQ(listing[1].children[0].basename, "f");
  EXPECT_EQ(listing[1].children[0].size, std::nullopt);
  EXPECT_EQ(listing[1].children[0].sha1, std::nullopt);
  EXPECT_EQ(listing[1].children[1].kind, ListingEntry::Kind::Directory);
  EXPECT_TRUE(listing[1].children[1].children.empty());
}

TEST(Listing, MayBeEmpty) { EXPECT_TRUE(parse_listing("[]", "l.json").empty()); }

TEST(Listing, TakesTheOtherFieldsOfCwl) {
  EXPECT_EQ(message_for(R"([
      {"class": "File", "basename": "f", "location": "http://x/f", "path": "/f", "dirname": "/",
       "nameroot": "f", "nameext": "", "format": "x", "contents": "", "secondaryFiles": []},
      {"class": "Directory", "basename": "d", "location": "http://x/d", "path": "/d"}])"),
            "no error");
}

TEST(Listing, ReportsAllProblemsWithTheirPlaces) {
  EXPECT_EQ(message_for(R"([
      {"class": "File", "basenam": "f"},
      {"class": "Directory", "basename": "d", "listing": [
        {"class": "File", "basename": "a/b", "size": -1, "checksum": "md5$00"},
        {"class": "Link", "basename": "x"},
        17]},
      {"basename": "y"}])"),
            "listing l.json is invalid: 8 problems\n"
            "/0/basenam: unknown key; did you mean \"basename\"?\n"
            "/0/basename: missing\n"
            "/1/listing/0/basename: must be a file name: not empty, \".\" or \"..\", without / and "
            "NUL\n"
            "/1/listing/0/size: must be an integer of at least 0\n"
            "/1/listing/0/checksum: must be sha1$ and 40 hexadecimal digits\n"
            "/1/listing/1/class: must be File or Directory\n"
            "/1/listing/2: must be an object, not an integer\n"
            "/2/class: missing");
}

TEST(Listing, ReportsEverythingOfAnEntryWhoseClassIsWrong) {
  EXPECT_EQ(
      message_for(R"([
      {"class": "Link", "basename": "..", "size": -1, "x": 1},
      {"class": 1, "basename": "d", "listing": [{"basename": ""}]}])"),
      "listing l.json is invalid: 7 problems\n"
      "/0/class: must be File or Directory\n"
      "/0/basename: must be a file name: not empty, \".\" or \"..\", without / and NUL\n"
      "/0/size: must be an integer of at least 0\n"
      "/0/x: unknown key; the keys here are: class, basename, size, checksum, location, path, "
      "dirname, nameroot, nameext, format, contents, secondaryFiles\n"
      "/1/class: must be File or Directory, not an integer\n"
      "/1/listing/0/basename: must be a file name: not empty, \".\" or \"..\", without / and "
      "NUL\n"
      "/1/listing/0/class: missing");
}

TEST(Listing, RefusesNamesThatLeadElsewhere) {
  for (const std::string_view name : {"", ".", "..", "/etc", "a/b", "../x", "nul\\u0000"}) {
    const std::string json = "[{\"class\": \"File\", \"basename\": \"" + std::string(name) + "\"}]";
    EXPECT_NE(message_for(json).find("/0/basename: must be a file name"), std::string::npos)
        << name;
  }
}

TEST(Listing, RefusesTwoEntriesOfOneNameInOneDirectory) {
  EXPECT_EQ(message_for(R"([{"class": "File", "basename": "x"},
                            {"class": "Directory", "basename": "x", "listing": [
                              {"class": "File", "basename": "x"}]}])"),
            "listing l.json is invalid: 1 problem\n"
            "/1/basename: another entry of this directory has this name");
}

TEST(Listing, RefusesAListingThatIsNoArray) {
  EXPECT_EQ(message_for("{}"),
            "listing l.json is invalid: 1 problem\n"
            "(top level): must be an array, not an object");
}

TEST(Listing, RefusesASizeBeyond64Bits) {
  EXPECT_NE(
      message_for(R"([{"class":"File","basename":"x","size":1e30}])").find("/0/size: too large"),
      std::string::npos);
}

TEST(Listing, RefusesChecksumsThatAreNoSha1) {
  const std::string digits(40, '0');
  for (const std::string& checksum :
       {digits, "sha1$" + digits + "0", "sha1$" + digits.substr(1), "SHA1$" + digits,
        "sha1$" + digits.substr(1) + "g", std::string()}) {
    const std::string json =
        R"([{"class": "File", "basename": "x", "checksum": ")" + checksum + "\"}]";
    EXPECT_NE(message_for(json).find("/0/checksum: must be sha1$"), std::string::npos) << checksum;
  }
}

TEST(Listing, TakesDirectoriesNested250Deep) {
  std::string json = "[]";
  for (int i = 0; i < 250; ++i) {
    json = R"([{"class": "Directory", "basename": "d", "listing": )" + json + "}]";
  }
  EXPECT_EQ(message_for(json), "no error");
}

}  // namespace
}  // namespace red
