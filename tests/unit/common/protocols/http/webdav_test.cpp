#include "common/protocols/http/webdav.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/error.h"
#include "tests/unit/common/protocols/http/sample_pages.h"

namespace red {
namespace {

using testing::kSampleTime;
using testing::sample_directories;
using testing::sample_files;
using testing::sample_page;

const Url kDirectory = Url::parse("http://h/tree/");

std::map<std::string, Entry> by_name(const std::vector<Entry>& entries) {
  std::map<std::string, Entry> named;
  for (const Entry& entry : entries) named[entry.name] = entry;
  EXPECT_EQ(named.size(), entries.size()) << "a name stands twice";
  return named;
}

std::string multistatus(std::string_view responses) {
  return "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\">" + std::string(responses) +
         "</d:multistatus>";
}

std::string response(std::string_view href, std::string_view properties = "<d:resourcetype/>",
                     std::string_view status = "HTTP/1.1 200 OK") {
  return "<d:response><d:href>" + std::string(href) + "</d:href><d:propstat><d:prop>" +
         std::string(properties) + "</d:prop><d:status>" + std::string(status) +
         "</d:status></d:propstat></d:response>";
}

const std::string kSelf = response("/tree/", "<d:resourcetype><d:collection/></d:resourcetype>");

std::map<std::string, Entry> parse(std::string_view responses) {
  return by_name(parse_multistatus(multistatus(kSelf + std::string(responses)), kDirectory));
}

ErrorKind kind_of_failure(std::string_view body, std::size_t max_entries = 1000) {
  try {
    parse_multistatus(body, kDirectory, max_entries);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::Internal;
}

void expect_sample_directory(std::map<std::string, Entry> entries) {
  for (const auto& [name, size] : sample_files()) {
    ASSERT_TRUE(entries.contains(name)) << name;
    EXPECT_EQ(entries[name].kind, EntryKind::File) << name;
    EXPECT_EQ(entries[name].size, size) << name;
    EXPECT_TRUE(entries[name].etag.starts_with('"') && entries[name].etag.size() > 2) << name;
  }
  for (const std::string& name : sample_directories()) {
    ASSERT_TRUE(entries.contains(name)) << name;
    EXPECT_EQ(entries[name].kind, EntryKind::Directory) << name;
    EXPECT_EQ(entries[name].size, std::nullopt) << name;
  }
  for (const auto& [name, entry] : entries) {
    EXPECT_EQ(entry.modified, kSampleTime) << name;
    EXPECT_TRUE(entry.modified_is_exact) << name;
  }
  EXPECT_EQ(entries.size(), sample_files().size() + sample_directories().size());
}

TEST(Multistatus, OfApacheGivesEveryNameExactly) {
  expect_sample_directory(by_name(
      parse_multistatus(sample_page("apache_dav.xml"), Url::parse("http://h:80/dav/tree/"))));
}

TEST(Multistatus, OfLighttpdGivesEveryNameExactly) {
  auto entries = by_name(parse_multistatus(sample_page("lighttpd_dav.xml"), kDirectory));
  EXPECT_EQ(entries["plain.txt"].content_type, "application/octet-stream");
  expect_sample_directory(std::move(entries));
}

TEST(Multistatus, OfAnEmptyDirectoryIsAnEmptyList) {
  EXPECT_TRUE(
      parse_multistatus(sample_page("apache_dav_empty.xml"), Url::parse("http://h/dav/tree/empty/"))
          .empty());
}

TEST(Multistatus, ReadsProperties) {
  const Entry entry = parse(response("/tree/a",
                                     "<d:resourcetype/><d:getcontentlength> 5000000000 "
                                     "</d:getcontentlength><d:getetag>W/\"x&amp;y\"</d:getetag>"
                                     "<d:getlastmodified>Tue, 03 Mar 2020 20:01:02 GMT"
                                     "</d:getlastmodified><d:getcontenttype>text/x"
                                     "</d:getcontenttype>"))["a"];
  EXPECT_EQ(entry.size, 5000000000u);
  EXPECT_EQ(entry.etag, "\"x&y\"");
  EXPECT_EQ(entry.modified, kSampleTime);
  EXPECT_TRUE(entry.modified_is_exact);
  EXPECT_EQ(entry.content_type, "text/x");
}

TEST(Multistatus, IgnoresPropertiesWithoutSuccess) {
  const std::string body =
      "<d:response><d:href>/tree/a</d:href>"
      "<d:propstat><d:prop><d:getcontentlength>7</d:getcontentlength></d:prop>"
      "<d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>"
      "<d:propstat><d:prop><d:getetag>\"e\"</d:getetag></d:prop>"
      "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>";
  const Entry entry = parse(body)["a"];
  EXPECT_EQ(entry.size, std::nullopt);
  EXPECT_EQ(entry.etag, "\"e\"");
}

TEST(Multistatus, LeavesOutMembersThatAreGone) {
  EXPECT_TRUE(parse("<d:response><d:href>/tree/a</d:href><d:status>HTTP/1.1 404 Not Found"
                    "</d:status></d:response>")
                  .empty());
}

TEST(Multistatus, ComparesByPathOnly) {
  auto entries = parse(response("https://inner:8443/tree/a") + response("http://h/tree/b/") +
                       response("/%74ree/c") + response("d%20e"));
  EXPECT_EQ(entries.size(), 4u);
  EXPECT_TRUE(entries.contains("d e"));
}

TEST(Multistatus, LeavesOutWhatIsNoDirectChild) {
  EXPECT_TRUE(parse(response("/tree") + response("/") + response("/tree/a/b") +
                    response("/other/a") + response("../a") + response("/tree/%2e%2e") +
                    response("/tree/a%2fb") + response("/tree/a%00") + response("/tree/a?b") +
                    response("mailto:a") + response(""))
                  .empty());
}

TEST(Multistatus, KnowsDirectoriesByTypeAndWithoutOneByTheirSlash) {
  auto entries =
      parse(response("/tree/a", "<d:resourcetype><d:collection/></d:resourcetype>") +
            response("/tree/b/", "<d:getetag>x</d:getetag>") + response("/tree/c/") +
            response("/tree/d", "<d:resourcetype><x:collection xmlns:x=\"y\"/></d:resourcetype>"));
  EXPECT_EQ(entries["a"].kind, EntryKind::Directory);
  EXPECT_EQ(entries["b"].kind, EntryKind::Directory);
  EXPECT_EQ(entries["c"].kind, EntryKind::File);
  EXPECT_EQ(entries["d"].kind, EntryKind::File);
}

TEST(Multistatus, KeepsTheBytesOfUnencodedNames) {
  auto entries = parse(response("/tree/caf\xe9") + response("/tree/caf\xc3\xa9") +
                       response("/tree/&#xe9;") + response("<![CDATA[/tree/a&b c]]>"));
  EXPECT_TRUE(entries.contains("caf\xe9"));
  EXPECT_TRUE(entries.contains("caf\xc3\xa9"));
  EXPECT_TRUE(entries.contains("\xc3\xa9"));
  EXPECT_TRUE(entries.contains("a&b c"));
}

TEST(Multistatus, TakesLookalikesForNothing) {
  EXPECT_TRUE(parse("<x:response xmlns:x=\"y\"><d:href>/tree/a</d:href></x:response>"
                    "<d:response><d:propstat><d:prop><d:lockdiscovery><d:activelock><d:lockroot>"
                    "<d:href>/tree/b</d:href></d:lockroot></d:activelock></d:lockdiscovery>"
                    "</d:prop></d:propstat></d:response>")
                  .empty());
}

TEST(Multistatus, IsNoOtherDocument) {
  for (const std::string body : {"", "<html><body>Forbidden</body></html>", "<multistatus/>",
                                 "not XML", "[]", "<d:multistatus xmlns:d=\"DAV:\">",
                                 "<d:multistatus xmlns:d=\"DAV:\"><d:response></d:multistatus>"}) {
    EXPECT_EQ(kind_of_failure(body), ErrorKind::Protocol) << body;
  }
}

TEST(Multistatus, AboutOtherPathsIsNoEmptyDirectory) {
  EXPECT_EQ(kind_of_failure(multistatus(response("/elsewhere/"))), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(multistatus("")), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(multistatus(response(""))), ErrorKind::Protocol);
}

TEST(Multistatus, ExpandsNoEntities) {
  const std::string bomb =
      "<?xml version=\"1.0\"?><!DOCTYPE d:multistatus [<!ENTITY a \"/tree/a\">"
      "<!ENTITY f SYSTEM \"file:///etc/passwd\">]>"
      "<d:multistatus xmlns:d=\"DAV:\"><d:response><d:href>&a;</d:href></d:response>"
      "</d:multistatus>";
  EXPECT_EQ(kind_of_failure(bomb), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(multistatus(kSelf + response("/tree/&unknown;"))), ErrorKind::Protocol);
}

TEST(Multistatus, IsRefusedBeyondItsBounds) {
  const std::string two = multistatus(response("/tree/a") + response("/tree/b"));
  EXPECT_EQ(kind_of_failure(two, 1), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(two, 2), ErrorKind::Internal) << "must not fail";
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "<d:x>";
  EXPECT_EQ(kind_of_failure(multistatus(deep)), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(multistatus(response("/tree/" + std::string(1 << 20, 'a')))),
            ErrorKind::Protocol);
}

TEST(Multistatus, TakesManyEntries) {
  constexpr std::size_t kCount = 20'000;  // some 14 MB: libxml2 has limits at 10
  std::string responses = kSelf;
  for (std::size_t i = 0; i < kCount; ++i) {
    responses += response("/tree/file" + std::to_string(i), std::string(600, ' '));
  }
  EXPECT_EQ(parse_multistatus(multistatus(responses), kDirectory).size(), kCount);
}

TEST(Propfind, AsksForWhatIsRead) {
  const std::string body(propfind_body());
  for (const char* property :
       {"resourcetype", "getcontentlength", "getlastmodified", "getetag", "getcontenttype"}) {
    EXPECT_NE(body.find("<" + std::string(property) + "/>"), std::string::npos) << property;
  }
}

}  // namespace
}  // namespace red
