#include "common/net/url.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "common/error.h"

namespace red {
namespace {

std::string resolved(std::string_view base, std::string_view reference) {
  const std::optional<Url> url = Url::parse(base).resolve(reference);
  return url ? url->to_string() : "nothing";
}

TEST(Url, HasItsParts) {
  const Url url = Url::parse("HTTPS://user:pass@Data.Example.ORG:8443/a/b?x=1&y#part");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.userinfo, "user:pass");
  EXPECT_EQ(url.host, "data.example.org");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.path, "/a/b");
  EXPECT_EQ(url.query, "x=1&y");
  EXPECT_TRUE(url.has_query);
}

TEST(Url, FillsInPortAndPath) {
  EXPECT_EQ(Url::parse("http://h").port, 80);
  EXPECT_EQ(Url::parse("https://h:").port, 443);
  EXPECT_EQ(Url::parse("http://h?q").path, "/");
  EXPECT_EQ(Url::parse("http://h?q").to_string(), "http://h/?q");
  EXPECT_FALSE(Url::parse("http://h/").has_query);
}

TEST(Url, EncodesWhatPeopleWriteAndKeepsEscapes) {
  EXPECT_EQ(Url::parse("http://h/a b/caf\xc3\xa9/%41%2f/100%?q=a b%20\xff").to_string(),
            "http://h/a%20b/caf%C3%A9/%41%2f/100%25?q=a%20b%20%FF");
  EXPECT_EQ(Url::parse("http://h/<\"\\^`{|}>[]").path, "/%3C%22%5C%5E%60%7B%7C%7D%3E%5B%5D");
}

TEST(Url, RemovesDotSegments) {
  EXPECT_EQ(Url::parse("http://h/a/./b/../c").path, "/a/c");
  EXPECT_EQ(Url::parse("http://h/../..").path, "/");
  EXPECT_EQ(Url::parse("http://h/a/..").path, "/");
  EXPECT_EQ(Url::parse("http://h/a//../b").path, "/a/b");
  EXPECT_EQ(Url::parse("http://h/.../..a").path, "/.../..a");
}

TEST(Url, KnowsIpv6Addresses) {
  const Url url = Url::parse("http://[FE80::1%25eth0]:81/");
  EXPECT_EQ(url.host, "[fe80::1%25eth0]");
  EXPECT_EQ(url.port, 81);
  EXPECT_EQ(Url::parse("http://[::1]").origin(), "http://[::1]:80");
}

TEST(Url, RefusesWhatIsNoHttpUrl) {
  for (const std::string text : {"",
                                 "/path",
                                 "host/path",
                                 "ftp://h/",
                                 "file:///etc",
                                 "http:",
                                 "http:/h",
                                 "http://",
                                 "http:///p",
                                 "http://:80/",
                                 "http://u@/",
                                 "http://h:0/",
                                 "http://h:65536/",
                                 "http://h:x/",
                                 "http://h:-1/",
                                 "http://h:80:80/",
                                 "http://a b/",
                                 "http://h%41/",
                                 "http://[::1/",
                                 "http://[h]/",
                                 "http://[::1]x/",
                                 "http://h/a\nb",
                                 "http://h/\x7f",
                                 " http://h/"}) {
    try {
      Url::parse(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess) << text;
    }
  }
  EXPECT_THROW(Url::parse(std::string_view("http://h/a\0b", 12)), Error);
}

TEST(Url, TellsNoSecretInItsErrors) {
  try {
    Url::parse("http://user:secret@h:x/path?secret");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message().find("secret"), std::string::npos) << error.message();
  }
}

TEST(Url, ShowsNeitherUserinfoNorQueryToPeople) {
  const Url url = Url::parse("http://user:secret@h:8080/p?token=secret");
  EXPECT_EQ(url.to_display(), "http://h:8080/p");
  EXPECT_EQ(url.to_string(), "http://h:8080/p?token=secret");
}

TEST(Url, ComparesOriginsBySchemeHostAndPort) {
  const Url url = Url::parse("http://h/a");
  EXPECT_TRUE(url.same_origin(Url::parse("HTTP://u@H:80/b")));
  EXPECT_FALSE(url.same_origin(Url::parse("https://h/a")));
  EXPECT_FALSE(url.same_origin(Url::parse("http://h:81/a")));
  EXPECT_FALSE(url.same_origin(Url::parse("http://hh/a")));
}

// RFC 3986 section 5.4, as far as http knows it.
TEST(Url, ResolvesTheExamplesOfTheStandard) {
  const auto resolve = [](std::string_view reference) {
    return resolved("http://a/b/c/d;p?q", reference);
  };
  EXPECT_EQ(resolve("g"), "http://a/b/c/g");
  EXPECT_EQ(resolve("./g"), "http://a/b/c/g");
  EXPECT_EQ(resolve("g/"), "http://a/b/c/g/");
  EXPECT_EQ(resolve("/g"), "http://a/g");
  EXPECT_EQ(resolve("//g"), "http://g/");
  EXPECT_EQ(resolve("?y"), "http://a/b/c/d;p?y");
  EXPECT_EQ(resolve("g?y"), "http://a/b/c/g?y");
  EXPECT_EQ(resolve("#s"), "http://a/b/c/d;p?q");
  EXPECT_EQ(resolve("g#s"), "http://a/b/c/g");
  EXPECT_EQ(resolve("g?y#s"), "http://a/b/c/g?y");
  EXPECT_EQ(resolve(";x"), "http://a/b/c/;x");
  EXPECT_EQ(resolve(""), "http://a/b/c/d;p?q");
  EXPECT_EQ(resolve("."), "http://a/b/c/");
  EXPECT_EQ(resolve("./"), "http://a/b/c/");
  EXPECT_EQ(resolve(".."), "http://a/b/");
  EXPECT_EQ(resolve("../g"), "http://a/b/g");
  EXPECT_EQ(resolve("../.."), "http://a/");
  EXPECT_EQ(resolve("../../../g"), "http://a/g");
  EXPECT_EQ(resolve("/../g"), "http://a/g");
  EXPECT_EQ(resolve("g."), "http://a/b/c/g.");
  EXPECT_EQ(resolve("..g"), "http://a/b/c/..g");
  EXPECT_EQ(resolve("./../g"), "http://a/b/g");
  EXPECT_EQ(resolve("./g/."), "http://a/b/c/g/");
  EXPECT_EQ(resolve("g;x=1/../y"), "http://a/b/c/y");
  EXPECT_EQ(resolve("g?y/../x"), "http://a/b/c/g?y/../x");
}

TEST(Url, ResolvesNothingButHttp) {
  for (const char* reference : {"mailto:a@b", "javascript:alert(1)", "ftp://h/", "data:,x", "a:b",
                                "http:g", "http://", "//", "http://h:99999/", "a\nb"}) {
    EXPECT_EQ(resolved("http://a/b/", reference), "nothing") << reference;
  }
  EXPECT_EQ(resolved("http://a/b/", "./a:b"), "http://a/b/a:b");
  EXPECT_EQ(resolved("http://a/b/", "a/b:c"), "http://a/b/a/b:c");
  EXPECT_EQ(resolved("http://a/b/", "https://C:1/d"), "https://c:1/d");
}

TEST(Url, KeepsUserinfoOnlyWithoutAnotherHost) {
  const Url base = Url::parse("http://u:p@a/b");
  EXPECT_EQ(base.resolve("c")->userinfo, "u:p");
  EXPECT_EQ(base.resolve("//b/c")->userinfo, "");
}

TEST(UrlComponent, StaysOneSegmentWhateverItHolds) {
  EXPECT_EQ(encode_component("a b/c?d#e%f+g"), "a%20b%2Fc%3Fd%23e%25f%2Bg");
  EXPECT_EQ(encode_component("\xff;&:'\""), "%FF%3B%26%3A%27%22");
  EXPECT_EQ(encode_component("A-z_0.9~"), "A-z_0.9~");
}

TEST(UrlComponent, DecodesOnlyEscapes) {
  EXPECT_EQ(decode_component("a%20b+c%fF"), "a b+c\xff");
  EXPECT_EQ(decode_component("%2525"), "%25");
  for (const char* text : {"%", "%4", "%zz", "a%", "%%41"}) {
    EXPECT_FALSE(decode_component(text)) << text;
  }
}

RC_GTEST_PROP(UrlComponent, DecodesToWhatWasEncoded, (const std::string& raw)) {
  RC_ASSERT(decode_component(encode_component(raw)) == raw);
}

RC_GTEST_PROP(UrlComponent, SurvivesResolving, (const std::string& raw)) {
  RC_PRE(!raw.empty() && raw != "." && raw != "..");
  const Url base = Url::parse("http://h/dir/");
  const std::optional<Url> url = base.resolve(encode_component(raw));
  RC_ASSERT(url.has_value());
  RC_ASSERT(decode_component(url->path.substr(5)) == raw);
}

RC_GTEST_PROP(Url, ReadsWhatItWrote, (const std::string& path, const std::string& query)) {
  const std::optional<Url> url =
      Url::parse("http://h/").resolve("/" + encode_component(path) + "?" + encode_component(query));
  RC_ASSERT(url.has_value());
  RC_ASSERT(Url::parse(url->to_string()).to_string() == url->to_string());
}

}  // namespace
}  // namespace red
