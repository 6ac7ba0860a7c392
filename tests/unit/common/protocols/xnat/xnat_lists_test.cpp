#include "common/protocols/xnat/xnat_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"
#include "common/protocols/xnat/xnat_catalog.h"

namespace red {
namespace {

using ::testing::HasSubstr;

std::string result(const std::string& rows) {
  return R"({"ResultSet":{"Result":[)" + rows + R"(], "totalRecords": "1"}})";
}

std::string file_row(const std::string& uri, const std::string& more = R"("Size":"12")") {
  return R"({"Name":"x","URI":")" + uri + "\"," + more + "}";
}

TEST(XnatLists, ReadsObjects) {
  const auto objects = parse_objects(
      result(R"({"ID":"XNAT_E1","label":"E","xsiType":"xnat:mrSessionData","date":null},
                {"ID":"7","type":"T1w"})"),
      "GET x");
  ASSERT_EQ(objects.size(), 2U);
  EXPECT_EQ(objects[0].id, "XNAT_E1");
  EXPECT_EQ(objects[0].label, "E");
  EXPECT_EQ(objects[0].xsi_type, "xnat:mrSessionData");
  EXPECT_EQ(objects[1].label, "");
  EXPECT_EQ(objects[1].type, "T1w");
}

TEST(XnatLists, ReadsResources) {
  const auto resources = parse_resources(
      result(
          R"({"xnat_abstractresource_id":"42","label":"DICOM","category":"scans","cat_id":"1"})"),
      "GET x");
  EXPECT_EQ(resources.at(0).id, "42");
  EXPECT_EQ(resources.at(0).label, "DICOM");
  EXPECT_EQ(resources.at(0).category, "scans");
  EXPECT_EQ(resources.at(0).owner, "1");
}

TEST(XnatLists, TakesNumbersForTheirTexts) {
  EXPECT_EQ(parse_resources(result(R"({"xnat_abstractresource_id":42})"), "").at(0).id, "42");
}

TEST(XnatLists, TakesThePathOfAFileFromItsUri) {
  const auto files = parse_files(
      result(
          file_row("/data/projects/P/subjects/S/experiments/E/scans/1/resources/42/files/a b/c") +
          "," + file_row("/experiments/E/resources/7/files/resources/1/files/x") + "," +
          file_row("/data/projects/resources/resources/7/files/%41")),
      "GET x");
  EXPECT_EQ(files.at(0).path.text(), "a b/c");
  EXPECT_EQ(files.at(1).path.text(), "resources/1/files/x");
  EXPECT_EQ(files.at(2).path.text(), "%41");
}

TEST(XnatLists, TakesSizesAndDigestsOnlyIfTheyAreSome) {
  const std::string uri = "/resources/1/files/f";
  const auto one = [&](const std::string& more) {
    return parse_files(result(file_row(uri, more)), "").at(0);
  };
  EXPECT_EQ(one(R"("Size":"12")").size, 12U);
  EXPECT_EQ(one(R"("Size":12)").size, 12U);
  for (const char* size : {R"("Size":"")", R"("Size":"-1")", R"("Size":"1x")", R"("Size":null)",
                           R"("Size":"99999999999999999999")"}) {
    EXPECT_EQ(one(size).size, std::nullopt) << size;
  }
  const std::string md5 = "0f343b0931126a20f133d67c2b018a3b";
  EXPECT_EQ(one(R"("digest":"0F343B0931126A20F133D67C2B018A3B")").checksum,
            (Checksum{DigestAlgorithm::Md5, md5}));
  for (const char* digest :
       {R"("digest":"")", R"("digest":"0f34")", R"("digest":"zz343b0931126a20f133d67c2b018a3b")"}) {
    EXPECT_EQ(one(digest).checksum, std::nullopt) << digest;
  }
}

TEST(XnatLists, LeaveOutFilesThatNoPathLeadsTo) {
  for (const char* path : {"../x", "a/../b", "a//b", "", "a/", "."}) {
    EXPECT_TRUE(
        parse_files(result(file_row("/resources/1/files/" + std::string(path))), "").empty())
        << path;
  }
}

TEST(XnatLists, TakeNothingForAnEmptyList) {
  EXPECT_TRUE(parse_objects("", "").empty());
  EXPECT_TRUE(parse_objects(result(""), "").empty());
}

TEST(XnatLists, RefuseWhatIsNoList) {
  for (const char* text :
       {"<html></html>", "[]", "{}", R"({"ResultSet":[]})", R"({"ResultSet":{}})",
        R"({"ResultSet":{"Result":{}}})", R"({"ResultSet":{"Result":[{}]}})",
        R"({"ResultSet":{"Result":[7]}})", "{\"ResultSet\":", "\xFF"}) {
    try {
      parse_objects(text, "GET http://h/x");
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Protocol) << text;
      EXPECT_THAT(error.message(), HasSubstr("GET http://h/x")) << text;
    }
  }
  EXPECT_THROW(parse_files(result(file_row("/nowhere")), ""), Error);
}

XnatCatalogEntry file(std::initializer_list<const char*> names) {
  XnatCatalogEntry entry;
  for (const char* name : names) entry.path = entry.path.child(name);
  entry.size = 3;
  return entry;
}

TEST(XnatCatalog, IsATree) {
  const XnatCatalog catalog({file({"a"}), file({"d", "e", "f"}), file({"d", "g"}), file({"a"})},
                            "");
  EXPECT_EQ(catalog.size(), 3U);
  const auto* root = catalog.find_directory({});
  ASSERT_NE(root, nullptr);
  ASSERT_EQ(root->size(), 2U);
  EXPECT_EQ((*root)[0].name, "a");
  EXPECT_EQ((*root)[0].size, 3U);
  EXPECT_EQ((*root)[1].name, "d");
  EXPECT_EQ((*root)[1].kind, EntryKind::Directory);
  EXPECT_EQ(catalog.find_directory(RemotePath().child("d"))->size(), 2U);
  EXPECT_NE(catalog.find_file(RemotePath().child("d").child("g")), nullptr);
  EXPECT_EQ(catalog.find_file(RemotePath().child("d")), nullptr);
  EXPECT_EQ(catalog.find_directory(RemotePath().child("a")), nullptr);
}

TEST(XnatCatalog, HasARootWithoutFiles) {
  EXPECT_TRUE(XnatCatalog({}, "").find_directory({})->empty());
}

TEST(XnatCatalog, RefusesAFileThatIsADirectoryAsWell) {
  EXPECT_THROW(XnatCatalog({file({"a"}), file({"a", "b"})}, ""), Error);
}

}  // namespace
}  // namespace red
