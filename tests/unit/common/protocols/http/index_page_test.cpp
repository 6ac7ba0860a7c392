#include "common/protocols/http/index_page.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "common/error.h"
#include "common/remote/remote_path.h"
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

std::map<std::string, Entry> parse_sample(const std::string& page, const Url& directory) {
  return by_name(parse_index_page(
      sample_page(page), page.ends_with("json") ? "application/json" : "text/html", directory));
}

/// The names on a page of `body`, directories with a '/', in alphabetical order, comma-separated.
std::string names_on(std::string_view body, const Url& directory = kDirectory,
                     std::string_view content_type = "text/html; charset=utf-8") {
  std::string names;
  for (const auto& [name, entry] : by_name(parse_index_page(body, content_type, directory))) {
    names += (names.empty() ? "" : ",") + name;
    if (entry.kind == EntryKind::Directory) names += '/';
  }
  return names;
}

std::string names_of_links(const std::vector<std::string>& hrefs) {
  std::string body = "<h1>Index of /tree/</h1>";
  for (const std::string& href : hrefs) body += "<a href=\"" + href + "\">x</a>\n";
  return names_on(body);
}

Entry only_entry(std::string_view body) {
  const std::vector<Entry> entries = parse_index_page(body, "text/html", kDirectory);
  if (entries.size() != 1) throw std::runtime_error("not one entry");
  return entries[0];
}

ErrorKind kind_of_failure(std::string_view body, std::string_view content_type = "text/html",
                          std::size_t max_entries = 1000) {
  try {
    parse_index_page(body, content_type, kDirectory, max_entries);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::Internal;
}

// --- Pages of real servers
// ------------------------------------------------------------------------

struct Sample {
  std::string page;
  std::string directory = "/tree/";
  bool hides_dot_files = false;
  std::string latin1_name = "latin1-\xe9";
  bool (*size_is_exact)(std::uint64_t) = [](std::uint64_t) { return false; };
  enum { None, Minutes, LocalSeconds, Exact } time = None;
};

void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.page; }

bool always(std::uint64_t) { return true; }
/// nginx writes small sizes in full.
bool up_to_four_digits(std::uint64_t size) { return size <= 9999; }
/// Apache writes bytes as long as three digits suffice.
bool below_973(std::uint64_t size) { return size < 973; }

class RealIndexPage : public ::testing::TestWithParam<Sample> {
 protected:
  const Sample& sample_ = GetParam();
  std::map<std::string, Entry> entries_ =
      parse_sample(sample_.page, Url::parse("http://127.0.0.1:8080" + sample_.directory));
  std::map<std::string, std::uint64_t> files_ = expected_files();

 private:
  std::map<std::string, std::uint64_t> expected_files() {
    auto files = sample_files();
    files.erase("latin1-\xe9");
    files[sample_.latin1_name] = 12;
    if (sample_.hides_dot_files) {
      std::erase_if(files, [](const auto& file) { return file.first.starts_with('.'); });
    }
    return files;
  }
};

TEST_P(RealIndexPage, GivesEveryNameExactlyAndNoOther) {
  for (const auto& [name, size] : files_) {
    ASSERT_TRUE(entries_.contains(name)) << name;
    EXPECT_EQ(entries_[name].kind, EntryKind::File) << name;
  }
  for (const std::string& name : sample_directories()) {
    ASSERT_TRUE(entries_.contains(name)) << name;
    EXPECT_EQ(entries_[name].kind, EntryKind::Directory) << name;
  }
  EXPECT_EQ(entries_.size(), files_.size() + sample_directories().size());
}

TEST_P(RealIndexPage, GivesSizesOnlyWhereTheyAreExact) {
  for (const auto& [name, size] : files_) {
    const auto expected = sample_.size_is_exact(size) ? std::optional(size) : std::nullopt;
    EXPECT_EQ(entries_[name].size, expected) << name;
  }
  for (const std::string& name : sample_directories()) {
    EXPECT_EQ(entries_[name].size, std::nullopt) << name;
  }
}

TEST_P(RealIndexPage, GivesTimesAsPreciselyAsThePage) {
  std::optional<FileTime> expected;
  if (sample_.time != Sample::None) expected = kSampleTime;
  if (sample_.time == Sample::Minutes) *expected -= std::chrono::seconds{2};
  for (const auto& [name, entry] : entries_) {
    EXPECT_EQ(entry.modified, expected) << name;
    EXPECT_EQ(entry.modified_is_exact, sample_.time == Sample::Exact) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, RealIndexPage,
    ::testing::Values(
        Sample{.page = "nginx.html",
               .hides_dot_files = true,
               .size_is_exact = always,
               .time = Sample::Minutes},
        Sample{.page = "nginx_inexact.html",
               .hides_dot_files = true,
               .size_is_exact = up_to_four_digits,
               .time = Sample::Minutes},
        Sample{.page = "nginx.json",
               .hides_dot_files = true,
               .size_is_exact = always,
               .time = Sample::Exact},
        Sample{.page = "apache_plain.html", .directory = "/plain/tree/"},
        Sample{.page = "apache_fancy.html",
               .directory = "/fancy/tree/",
               .size_is_exact = below_973,
               .time = Sample::Minutes},
        Sample{.page = "apache_table.html",
               .directory = "/table/tree/",
               .size_is_exact = below_973,
               .time = Sample::Minutes},
        // With icons that are links, a description that begins with a number, no sort links, and
        // HTML of the site's owner above and below.
        Sample{.page = "apache_full.html",
               .directory = "/full/tree/",
               .size_is_exact = below_973,
               .time = Sample::Minutes},
        Sample{.page = "lighttpd.html", .time = Sample::LocalSeconds},
        Sample{.page = "caddy.html", .size_is_exact = always, .time = Sample::Exact},
        Sample{.page = "caddy.json", .size_is_exact = always, .time = Sample::Exact},
        // It encodes its own stand-in for bytes that are not UTF-8; only that name opens the file.
        Sample{.page = "python.html", .latin1_name = "latin1-\xed\xb3\xa9"}),
    [](const auto& sample) {
      std::string name = sample.param.page;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

TEST(IndexFormat, IsToldByThePage) {
  const auto format_of = [](std::string_view page) {
    return index_format_of(sample_page(page),
                           page.ends_with("json") ? "application/json" : "text/html");
  };
  for (const char* page : {"nginx.html", "nginx_empty.html", "nginx_inexact.html"}) {
    EXPECT_EQ(format_of(page), IndexFormat::NginxHtml) << page;
  }
  for (const char* page : {"apache_fancy.html", "apache_fancy_empty.html", "apache_full.html",
                           "apache_plain.html", "apache_table.html"}) {
    EXPECT_EQ(format_of(page), IndexFormat::Apache) << page;
  }
  EXPECT_EQ(format_of("nginx.json"), IndexFormat::NginxJson);
  EXPECT_EQ(format_of("caddy.json"), IndexFormat::CaddyJson);
  EXPECT_EQ(format_of("caddy_empty.json"), IndexFormat::EmptyJson);
  EXPECT_EQ(format_of("caddy_empty.html"), IndexFormat::CaddyHtml);
  EXPECT_EQ(format_of("lighttpd.html"), IndexFormat::Lighttpd);
  EXPECT_EQ(format_of("lighttpd_empty.html"), IndexFormat::Lighttpd);
  EXPECT_EQ(format_of("python.html"), IndexFormat::Python);
  EXPECT_EQ(index_format_of("<a href=x>x</a>", "text/html"), IndexFormat::OtherHtml);
}

TEST(IndexPage, OfAnEmptyDirectoryIsAnEmptyList) {
  const Url directory = Url::parse("http://127.0.0.1/tree/empty/");
  for (const char* page : {"nginx_empty.html", "nginx_empty.json", "lighttpd_empty.html",
                           "caddy_empty.html", "caddy_empty.json", "python_empty.html"}) {
    EXPECT_TRUE(parse_sample(page, directory).empty()) << page;
  }
  EXPECT_TRUE(
      parse_sample("apache_fancy_empty.html", Url::parse("http://h/fancy/tree/empty/")).empty());
}

TEST(IndexPage, LeavesOutWhatNginxCannotServe) {
  const auto entries = parse_sample("nginx_links.json", Url::parse("http://h/json/lnk/"));
  EXPECT_EQ(entries.size(), 3u);
  EXPECT_FALSE(entries.contains("l3")) << "a dangling link";
}

TEST(IndexPage, TrustsNothingThatCaddyTellsOfASymbolicLink) {
  for (const char* page : {"caddy_links.html", "caddy_links.json"}) {
    auto entries = parse_sample(page, Url::parse("http://h/lnk/"));
    EXPECT_EQ(entries.size(), 4u) << page;
    EXPECT_EQ(entries["f"].size, 0u) << page;
    EXPECT_EQ(entries["l1"].size, std::nullopt) << page;
    EXPECT_EQ(entries["l1"].modified, std::nullopt) << page;
    EXPECT_EQ(entries["l2"].kind, EntryKind::Directory) << page;
  }
}

// --- Links
// ----------------------------------------------------------------------------------------

TEST(IndexPage, TakesLinksToDirectChildrenHoweverWritten) {
  EXPECT_EQ(names_of_links({"a", "./b", "/tree/c", "http://h/tree/d", "//h:80/tree/e/", "../tree/f",
                            "%67/", "/%74ree/h"}),
            "a,b,c,d,e/,f,g/,h");
}

TEST(IndexPage, LeavesOutLinksThatLeadElsewhere) {
  EXPECT_EQ(names_of_links({"..",
                            "../",
                            ".",
                            "./",
                            "/",
                            "",
                            "#top",
                            "?C=N;O=D",
                            "?sort=name",
                            "a/b",
                            "a/b/",
                            "a//",
                            "/other/a",
                            "/tree",
                            "http://other/tree/a",
                            "https://h/tree/a",
                            "http://h:81/tree/a",
                            "mailto:a@b",
                            "javascript:void(0)",
                            "data:,a",
                            "ftp://h/tree/a",
                            "http://[/tree/a"}),
            "");
}

TEST(IndexPage, LeavesOutChildrenWithAQuery) {
  EXPECT_EQ(names_of_links({"a?download=1", "b?", "c/?C=N"}), "");
}

TEST(IndexPage, LeavesOutNamesThatNoFileCanHave) {
  EXPECT_EQ(names_of_links({"%2e", "%2E%2e", ".%2e/", "a%2Fb", "..%2f..%2fetc", "a%00b", "%2F",
                            "/tree//", "//"}),
            "");
  using namespace std::string_view_literals;
  EXPECT_EQ(names_on("<h1>Index of /</h1><a href=\"a\0b\">x</a><a href=c>"sv), "c");
}

TEST(IndexPage, ListsANameOnceWithAllThatIsKnown) {
  const std::string body =
      "<h1>Index of /</h1><pre><a href=\"a\"><img></a> <a href=\"./a\">a</a>  03-Mar-2020 20:01  "
      "7\n"
      "<a href=\"%61\">again</a>  03-Mar-2021 20:01  8\n</pre>";
  EXPECT_EQ(only_entry(body).size, 7u);
}

TEST(IndexPage, DecodesNamesFromTheLinkAndNeverFromItsText) {
  EXPECT_EQ(names_on("<pre><a href=\"a%26lt%3B\">something else..&gt;</a></pre>"), "a&lt;");
}

TEST(IndexPage, KeepsTheBytesOfUnencodedLinksInAnyEncoding) {
  const std::string link = "<a href=\"caf\xe9\">x</a><a href=\"caf\xc3\xa9\">y</a>";
  for (const char* head :
       {"", "\xef\xbb\xbf", "<meta charset=iso-8859-1>", "<meta charset=utf-8>",
        "<meta charset=utf-16>",
        "<meta http-equiv='Content-Type' content='text/html; charset=windows-1252'>",
        "<?xml version='1.0' encoding='iso-8859-15'?>"}) {
    EXPECT_EQ(names_on(head + ("<title>Index of /</title>" + link)), "caf\xc3\xa9,caf\xe9") << head;
  }
}

TEST(IndexPage, ReadsCharacterReferencesAsUtf8) {
  EXPECT_EQ(names_of_links({"caf&eacute;", "&#x65e5;", "a&amp;amp;b"}),
            "a&amp;b,caf\xc3\xa9,\xe6\x97\xa5");
}

TEST(IndexPage, TakesAPercentSignThatEncodesNothingAsItself) {
  EXPECT_EQ(names_of_links({"100%", "50%zz"}), "100%,50%zz");
}

TEST(IndexPage, ComparesTheDirectoryHoweverEitherIsEncoded) {
  const std::string body = "<a href=\"/caf%c3%a9%20%28x%29/a\">a</a>";
  EXPECT_EQ(names_on(body, Url::parse("http://h/caf\xc3\xa9 (x)/")), "a");
  EXPECT_EQ(names_on("<a href=\"/a%2Fb/x\">a</a><a href=y>", Url::parse("http://h/a/b/")), "y");
}

// --- What is an index
// -----------------------------------------------------------------------------

TEST(IndexPage, IsAnyPageThatLinksToChildren) {
  EXPECT_EQ(names_on("<html><body><p>Data: <a href=\"x.nii\">x</a></body>"), "x.nii");
  EXPECT_EQ(names_on("<a href='sub/'>", kDirectory, ""), "sub/");
}

TEST(IndexPage, IsNoPageWithoutChildrenAndMarks) {
  for (const char* body :
       {"", "plain text", "<html><body><h1>Welcome</h1><a href=\"/login\">log in</a>",
        "<title>Sign in</title><form action=\"x\"></form>", "{}", "\x89PNG\r\n\x1a\n"}) {
    EXPECT_EQ(kind_of_failure(body), ErrorKind::Unsupported) << body;
  }
}

TEST(IndexPage, IsNeitherTextNorImage) {
  for (const char* type : {"text/plain", "image/png", "application/octet-stream", "text/htmlx"}) {
    EXPECT_EQ(kind_of_failure("<h1>Index of /</h1><a href=a>", type), ErrorKind::Unsupported);
  }
}

TEST(IndexPage, SaysWhatIsNoIndexWithoutTheQuery) {
  try {
    parse_index_page("x", "text/html", Url::parse("http://u:secret@h/d/?secret"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "listing http://h/d/: the page is no directory index");
  }
}

TEST(IndexPage, TrustsNoSizeOnPagesOfUnknownMaking) {
  const std::string row = "<pre><a href=a>a</a>  03-Mar-2020 20:01  12\n</pre>";
  EXPECT_EQ(only_entry(row).size, std::nullopt);
  EXPECT_EQ(only_entry("<title>Index of /tree/</title>" + row).size, 12u);
}

TEST(IndexPage, TakesNoUnitForBytes) {
  const std::string head = "<h1>Index of /</h1>Name Size<pre><a href=a>a</a> 2020-03-03 20:01 ";
  for (const char* size : {"12 KB", "1.2K", "12K", "12.", "1,234", "-", "", "12 K",
                           "99999999999999999999", "-12", "+12", "0x12"}) {
    EXPECT_EQ(only_entry(head + size + "</pre>").size, std::nullopt) << size;
  }
  EXPECT_EQ(only_entry(head + "12   KB of text</pre>").size, 12u);
}

TEST(IndexPage, GivesDirectoriesNoSize) {
  EXPECT_EQ(only_entry("<h1>Index of /</h1><a href=a/>a</a> 03-Mar-2020 20:01  4096").size,
            std::nullopt);
}

TEST(IndexPage, TakesNoDescriptionForASize) {
  EXPECT_EQ(only_entry("<h1>Index of /</h1><pre><a href='?C=D;O=A'>Description</a><hr>"
                       "<a href=a>a</a> 2020-03-03 20:01  12  monkeys</pre>")
                .size,
            std::nullopt);
}

TEST(IndexPage, TakesOnlyApachesListIfTheOwnerAddsLinks) {
  EXPECT_EQ(names_on("<ul><li><a href=no>no</a></ul><pre><a href='?C=N;O=D'>Name</a>"
                     "<a href=yes>yes</a></pre><a href=never>x</a>"),
            "yes");
}

TEST(IndexPage, IgnoresLinksInCommentsAndScripts) {
  EXPECT_EQ(names_on("<!-- <a href=b> --><script>'<a href=c>'</script><a href=a>a</a>"
                     "<link href=d><img src=e><base href='/x/'>"),
            "a");
}

TEST(IndexPage, IsRefusedBeyondItsBounds) {
  EXPECT_EQ(kind_of_failure("<a href=a><a href=b><a href=c>", "text/html", 2), ErrorKind::Protocol);
  std::string deep = "<a href=a>";
  for (int i = 0; i < 100000; ++i) deep += "<b><i>";
  EXPECT_EQ(kind_of_failure(deep), ErrorKind::Protocol);
  EXPECT_EQ(kind_of_failure(R"([{"name":"a","type":"file"},{"name":"b","type":"file"}])",
                            "application/json", 1),
            ErrorKind::Protocol);
}

TEST(IndexPage, SurvivesBeingCutAnywhere) {
  const std::string page = sample_page("apache_full.html");
  for (std::size_t end = 0; end < page.size(); end += 61) {
    try {
      for (const Entry& entry : parse_index_page(std::string_view(page).substr(0, end), "text/html",
                                                 Url::parse("http://h/full/tree/"))) {
        EXPECT_TRUE(RemotePath::is_valid_name(entry.name));
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    }
  }
}

// --- JSON
// -----------------------------------------------------------------------------------------

TEST(JsonIndex, KeepsNamesThatAreNotUtf8) {
  EXPECT_EQ(
      names_on("[{\"name\":\"\xff\xfe\xe9\",\"type\":\"file\"}]", kDirectory, "application/json"),
      "\xff\xfe\xe9");
}

TEST(JsonIndex, ReadsEscapedAndPlainNamesAlike) {
  EXPECT_EQ(names_on("[{\"name\":\"caf\\u00e9 \\ud83d\\ude00\",\"type\":\"file\"},"
                     "{\"name\":\"\xf4\x8f\xbf\xbf\",\"type\":\"directory\"}]",
                     kDirectory, "application/json; charset=utf-8"),
            "caf\xc3\xa9 \xf0\x9f\x98\x80,\xf4\x8f\xbf\xbf/");
}

TEST(JsonIndex, LeavesOutNamesThatNoFileCanHave) {
  EXPECT_EQ(names_on(R"([{"name":"..","type":"file"},{"name":"a/b","type":"file"},
                         {"name":"","type":"file"},{"name":"a\u0000","type":"file"},
                         {"type":"file"},{"name":7,"type":"file"},
                         {"name":"x","url":"../y"},{"name":"x","url":"http://other/tree/x"},
                         {"name":"x","url":"./a?b"},{"name":"ok","type":"file","size":-1}])",
                     kDirectory, "application/json"),
            "ok");
}

TEST(JsonIndex, IsNotAnyJson) {
  for (const char* body : {"{}", "null", "7", "[1]", "[{\"a\":1}]", "[[]]"}) {
    EXPECT_EQ(kind_of_failure(body, "application/json"), ErrorKind::Unsupported) << body;
  }
  for (const char* body : {"", "[", "[{]", "<html>", "[{\"name\":\"a\",\"type\":\"file\"}"}) {
    EXPECT_EQ(kind_of_failure(body, "application/json"), ErrorKind::Protocol) << body;
  }
  EXPECT_EQ(kind_of_failure(std::string(100000, '['), "application/json"), ErrorKind::Protocol);
}

// --- Anything
// -------------------------------------------------------------------------------------

RC_GTEST_PROP(IndexPage, RecoversAnyNameFromAnEncodedLink, (const std::string& name)) {
  RC_PRE(RemotePath::is_valid_name(name));
  const std::vector<Entry> entries = parse_index_page(
      "<pre><a href=\"" + encode_component(name) + "/\">x</a></pre>", "text/html", kDirectory);
  RC_ASSERT(entries.size() == 1u);
  RC_ASSERT(entries[0].name == name);
  RC_ASSERT(entries[0].kind == EntryKind::Directory);
}

RC_GTEST_PROP(IndexPage, NeverGivesAnInvalidName, (const std::string& href)) {
  try {
    for (const Entry& entry :
         parse_index_page("<a href='" + href + "'>x</a>", "text/html", kDirectory)) {
      RC_ASSERT(RemotePath::is_valid_name(entry.name));
    }
  } catch (const Error& error) {
    RC_ASSERT(error.kind() == ErrorKind::Unsupported);
  }
}

}  // namespace
}  // namespace red
