#include "common/protocols/http/http_access.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/error.h"
#include "tests/support/file_tree.h"

namespace red {
namespace {

namespace fs = std::filesystem;

HttpAccess read(const std::string& json, Purpose purpose = Purpose::ReceiveFile,
                const SiteOptions& site = {}) {
  return read_http_access(parse_json(json, "access data a.json"), purpose, site);
}

std::string message_for(const std::string& json, Purpose purpose = Purpose::ReceiveFile) {
  try {
    read(json, purpose);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error.message();
  }
  return "no error";
}

std::string with(const std::string& fields) { return R"({"url": "http://h/d/", )" + fields + "}"; }

/// The one problem that the fields cause.
std::string problem_of(const std::string& fields, Purpose purpose = Purpose::ReceiveFile) {
  const std::string first = "access data a.json is invalid: 1 problem\n";
  const std::string message = message_for(with(fields), purpose);
  return message.starts_with(first) ? message.substr(first.size()) : message;
}

constexpr Purpose kPurposes[] = {Purpose::ReceiveFile, Purpose::ReceiveDir, Purpose::MountDir,
                                 Purpose::SendFile, Purpose::SendDir};

TEST(HttpAccess, NeedsOnlyTheUrl) {
  const HttpAccess access = read(R"({"url": "http://example.com/a b.txt"})");
  EXPECT_EQ(access.url.to_string(), "http://example.com/a%20b.txt");
  EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::None);
  EXPECT_TRUE(access.client.verify_tls);
  EXPECT_EQ(access.client.max_connections, 32);
  EXPECT_EQ(access.client.connect_timeout, std::chrono::seconds(10));
}

TEST(HttpAccess, DefaultMethodFollowsThePurpose) {
  const std::string json = R"({"url": "http://h/"})";
  EXPECT_EQ(read(json, Purpose::ReceiveFile).method, "GET");
  EXPECT_EQ(read(json, Purpose::ReceiveDir).method, "GET");
  EXPECT_EQ(read(json, Purpose::MountDir).method, "GET");
  EXPECT_EQ(read(json, Purpose::SendFile).method, "POST");
  EXPECT_EQ(read(json, Purpose::SendDir).method, "PUT");
}

TEST(HttpAccess, TakesTheMethodInThreeSpellings) {
  for (const char* method : {"GET", "get", "Get"}) {
    EXPECT_EQ(read(with(R"("method": ")" + std::string(method) + '"')).method, "GET");
  }
  EXPECT_EQ(read(with(R"("method": "Put")"), Purpose::SendFile).method, "PUT");
  EXPECT_EQ(read(with(R"("method": "post")"), Purpose::ReceiveFile).method, "POST");
  EXPECT_EQ(problem_of(R"("method": "gEt")"),
            "/method: must be GET, Get, get, PUT, Put, put, POST, Post or post");
}

TEST(HttpAccess, DirectoriesTakeOneMethodOnly) {
  EXPECT_EQ(problem_of(R"("method": "POST")", Purpose::ReceiveDir),
            "/method: must be GET, Get or get (a directory is read by no other method)");
  EXPECT_EQ(problem_of(R"("method": "put")", Purpose::MountDir),
            "/method: must be GET, Get or get (a directory is read by no other method)");
  EXPECT_EQ(problem_of(R"("method": "POST")", Purpose::SendDir),
            "/method: must be PUT, Put or put (a directory is sent by no other method)");
  EXPECT_EQ(read(with(R"("method": "get")"), Purpose::MountDir).method, "GET");
  EXPECT_EQ(read(with(R"("method": "PUT")"), Purpose::SendDir).method, "PUT");
}

TEST(HttpAccess, TakesTheDocumentsExampleForEveryFile) {
  for (const Purpose purpose : {Purpose::ReceiveFile, Purpose::SendFile}) {
    const HttpAccess access = read(R"({"url": "http://example.com/files/data.csv", "method": "GET",
        "auth": {"username": "username", "password": "password", "method": "BASIC"},
        "disableSSLVerification": false})",
                                   purpose);
    EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::Basic);
    EXPECT_EQ(access.client.credentials.username, "username");
    EXPECT_EQ(access.client.credentials.password, "password");
    EXPECT_TRUE(access.client.verify_tls);
  }
}

TEST(HttpAccess, TakesDigestInThreeSpellingsAndAnEmptyPassword) {
  for (const char* method : {"DIGEST", "digest", "Digest"}) {
    const HttpAccess access = read(with(R"("auth": {"username": "u", "password": "", "method": ")" +
                                        std::string(method) + "\"}"));
    EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::Digest);
  }
}

TEST(HttpAccess, TakesABearerToken) {
  const HttpAccess access = read(with(R"("auth": {"token": "abc.def"})"));
  EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::Bearer);
  EXPECT_EQ(access.client.credentials.password, "abc.def");
}

TEST(HttpAccess, TakesCredentialsFromTheUrlUnlessAuthGivesThem) {
  const HttpAccess access = read(R"({"url": "http://u%40x:p%3A@h/"})");
  EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::Basic);
  EXPECT_EQ(access.client.credentials.username, "u@x");
  EXPECT_EQ(access.client.credentials.password, "p:");
  EXPECT_EQ(access.url.to_string().find("u%40x"), std::string::npos);
  const HttpAccess other =
      read(R"({"url": "http://u:p@h/", "auth": {"username": "v", "password": "q"}})");
  EXPECT_EQ(other.client.credentials.username, "v");
}

TEST(HttpAccess, AuthIsCompleteAndWithoutContradiction) {
  EXPECT_EQ(problem_of(R"("auth": {})"), "/auth: needs username and password, or token");
  EXPECT_EQ(problem_of(R"("auth": {"username": "u"})"), "/auth/password: missing");
  EXPECT_EQ(problem_of(R"("auth": {"password": "p"})"), "/auth/username: missing");
  EXPECT_EQ(problem_of(R"("auth": {"token": "t", "username": "u", "password": "p"})"),
            "/auth: username and password, or token, not both");
  EXPECT_EQ(problem_of(R"("auth": {"token": "t", "method": "BASIC"})"),
            "/auth/method: does not go with a token");
  EXPECT_EQ(problem_of(R"("auth": {"username": 1, "password": "p"})"),
            "/auth/username: must be a string that is not empty, not an integer");
}

TEST(HttpAccess, RefusesCredentialsThatBreakAHeader) {
  EXPECT_EQ(problem_of(R"("auth": {"token": "a\r\nX: y"})"),
            "/auth/token: must hold visible ASCII characters only");
  EXPECT_EQ(problem_of(R"("auth": {"username": "a\nb", "password": "p"})"),
            "/auth/username: must not hold control characters");
  EXPECT_EQ(problem_of(R"("auth": {"username": "a", "password": "p\u0000q"})"),
            "/auth/password: must not hold NUL");
}

TEST(HttpAccess, ReportsAllProblemsAtOnce) {
  EXPECT_EQ(message_for(R"({"ulr": "http://h/", "method": "PATCH", "auth": {"metod": "BASIC"},
                            "disableSSLVerification": "no", "timeout": "soon"})"),
            "access data a.json is invalid: 7 problems\n"
            "/ulr: unknown key; did you mean \"url\"?\n"
            "/method: must be GET, Get, get, PUT, Put, put, POST, Post or post\n"
            "/auth/metod: unknown key; did you mean \"method\"?\n"
            "/auth: needs username and password, or token\n"
            "/disableSSLVerification: must be a boolean, not a string\n"
            "/timeout: must be a number above 0 and at most 86400, not a string\n"
            "/url: missing");
}

TEST(HttpAccess, RefusesUrlsOfOtherSchemesWithoutShowingThem) {
  const std::string message = message_for(R"({"url": "ftp://user:hunter2@h/x?token=hunter2"})");
  EXPECT_NE(message.find("/url: "), std::string::npos) << message;
  EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
}

TEST(HttpAccess, SendsExtraHeadersInTheirOrder) {
  const HttpAccess access = read(with(R"("headers": {"X-Api-Key": "k", "Cookie": "a=b\tc"})"));
  ASSERT_EQ(access.client.headers.size(), 2u);
  EXPECT_EQ(access.client.headers.begin()->first, "X-Api-Key");
  EXPECT_EQ(access.client.headers.find("cookie"), "a=b\tc");
}

TEST(HttpAccess, RefusesHeadersThatChangeTheRequest) {
  EXPECT_EQ(problem_of(R"("headers": {"X": "a\r\nHost: b"})"),
            "/headers/X: must not hold control characters");
  EXPECT_EQ(problem_of(R"("headers": {"X": "a\u0000b"})"),
            "/headers/X: must not hold control characters");
  EXPECT_EQ(problem_of(R"("headers": {"X Y": "a"})"), "/headers/X Y: is no name of a header field");
  EXPECT_EQ(problem_of(R"("headers": {"": "a"})"), "/headers/: is no name of a header field");
  EXPECT_EQ(problem_of(R"("headers": {"X": 1})"), "/headers/X: must be a string");
  for (const std::string name : {"Host", "content-length", "Transfer-Encoding", "Range", "if-range",
                                 "Accept-Encoding", "Connection", "Expect"}) {
    EXPECT_EQ(problem_of(R"("headers": {")" + name + R"(": "a"})"),
              "/headers/" + name + ": is set by the connector itself");
  }
  EXPECT_EQ(problem_of(R"("headers": {"X-a": "1", "x-A": "2"})"),
            "/headers/x-A: stands here more than once (case does not count)");
}

HttpAccess read_as(HttpContent content, std::string_view json) {
  return read_http_access(parse_json(json, "access data a.json"), Purpose::SendFile, {}, content);
}

TEST(HttpAccess, SendsJsonAsJson) {
  EXPECT_EQ(read_as(HttpContent::Any, R"({"url": "http://h/"})").content_type,
            "application/octet-stream");
  EXPECT_EQ(read_as(HttpContent::Json, R"({"url": "http://h/"})").content_type, "application/json");
  for (const char* type : {"application/json", "Application/JSON ; charset=utf-8"}) {
    EXPECT_NO_THROW(read_as(
        HttpContent::Json,
        R"({"url": "http://h/", "headers": {"content-type": ")" + std::string(type) + "\"}}"));
  }
  for (const char* type : {"text/plain", "application/jsonx", "application/ld+json", ""}) {
    const std::string json =
        R"({"url": "http://h/", "headers": {"Content-Type": ")" + std::string(type) + "\"}}";
    try {
      read_as(HttpContent::Json, json);
      ADD_FAILURE() << type;
    } catch (const Error& error) {
      EXPECT_EQ(error.message(),
                "access data a.json is invalid: 1 problem\n"
                "/headers/Content-Type: can only be application/json here");
    }
    EXPECT_NO_THROW(read_as(HttpContent::Any, json));
  }
}

TEST(HttpAccess, ArchivesHaveAFormat) {
  for (const char* format : {"zip", "tar", "gztar", "bztar", "xztar"}) {
    const std::string json =
        R"({"url": "http://h/", "archiveFormat": ")" + std::string(format) + "\"}";
    EXPECT_EQ(read_as(HttpContent::Archive, json).archive_format, format);
  }
  for (const auto& [json, problem] :
       {std::pair(R"({"url": "http://h/"})", "/archiveFormat: missing"),
        std::pair(R"({"url": "http://h/", "archiveFormat": "rar"})", "/archiveFormat: ")}) {
    try {
      read_as(HttpContent::Archive, json);
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
      EXPECT_NE(error.message().find(problem), std::string::npos) << error.message();
      EXPECT_NE(error.message().find("1 problem\n"), std::string::npos) << error.message();
    }
  }
}

TEST(HttpAccess, TakesAnAuthorizationHeaderOnlyInsteadOfAuth) {
  EXPECT_EQ(problem_of(R"("headers": {"Authorization": "Token x"})"), "no error");
  EXPECT_EQ(problem_of(R"("headers": {"authorization": "Token x"}, "auth": {"token": "t"})"),
            "/headers: Authorization contradicts auth");
}

TEST(HttpAccess, ProxyIsAUrl) {
  EXPECT_EQ(read(with(R"("proxy": "http://proxy:3128")")).client.proxy, "http://proxy:3128");
  const std::string problem = problem_of(R"("proxy": "http://user:hunter2@:x/")");
  EXPECT_TRUE(problem.starts_with("/proxy: ")) << problem;
  EXPECT_EQ(problem.find("hunter2"), std::string::npos) << problem;
}

TEST(HttpAccess, CertificateIsPemTextOrAReadableFile) {
  const fs::path file =
      fs::temp_directory_path() / ("red_http_access_" + std::to_string(::getpid()));
  const std::string field = R"("caCertificate": ")" + file.string() + '"';
  EXPECT_NE(problem_of(field).find("/caCertificate: cannot open"), std::string::npos);
  std::ofstream(file) << "nothing";
  EXPECT_EQ(problem_of(field), "/caCertificate: the file holds no certificate in PEM form");
  fs::remove(file);
  const std::string known = RED_TEST_DATA "/common/net/certificate.pem";
  const std::string pem = testing::read_file(known);
  EXPECT_EQ(read(with(R"("caCertificate": ")" + known + '"')).client.ca_certificate, pem);
  std::string text = pem;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) {
    text.replace(at, 1, "\\n");
  }
  EXPECT_EQ(read(with(R"("caCertificate": ")" + text + '"')).client.ca_certificate, pem);
  EXPECT_EQ(problem_of(R"("caCertificate": "-----BEGIN CERTIFICATE-----\nx")"),
            "/caCertificate: the text holds no certificate in PEM form");
}

TEST(HttpAccess, TakesTheKeysOfAllProtocolsForEveryPurpose) {
  for (const Purpose purpose : kPurposes) {
    const HttpAccess access = read(with(R"("connections": 3, "timeout": 1.5, "cache": false,
        "listing": [], "allowOther": true, "report": "/r", "archiveFormat": "zip",
        "disableSSLVerification": true)"),
                                   purpose);
    EXPECT_EQ(access.client.max_connections, 3);
    EXPECT_EQ(access.client.connect_timeout, std::chrono::milliseconds(1500));
    EXPECT_FALSE(access.client.verify_tls);
    EXPECT_TRUE(access.options.allow_other);
    EXPECT_FALSE(access.options.cache.enabled);
  }
}

TEST(HttpAccess, CompletesFromTheSite) {
  SiteOptions site;
  site.bounded.connections = 2;
  site.web.proxy = "http://site:1";
  site.web.ca_certificate = "/site.pem";
  const HttpAccess access = read(R"({"url": "http://h/"})", Purpose::MountDir, site);
  EXPECT_EQ(access.client.max_connections, 2);
  EXPECT_EQ(access.client.proxy, "http://site:1");
  EXPECT_TRUE(access.client.proxy_has_exceptions);
  EXPECT_EQ(access.client.ca_certificate, "/site.pem");
  const HttpAccess own = read(with(R"("proxy": "http://own:1")"), Purpose::MountDir, site);
  EXPECT_EQ(own.client.proxy, "http://own:1");
  EXPECT_FALSE(own.client.proxy_has_exceptions);
}

// Whatever is wrong, and wherever: a value never shows up in a message.
RC_GTEST_PROP(HttpAccess, NeverShowsAValue, ()) {
  const std::string secret = "hunter2secret";
  const auto key = *rc::gen::elementOf(std::vector<std::string>{
      "url", "method", "auth", "disableSSLVerification", "caCertificate", "headers", "proxy",
      "archiveFormat", "connections", "timeout", "cache", "allowOther", "unknown"});
  const auto value = *rc::gen::elementOf(std::vector<std::string>{
      R"("hunter2secret")", R"(["hunter2secret"])", R"({"password": "hunter2secret"})",
      R"({"token": "hunter2secret\n"})", R"({"username": "hunter2secret", "token": 1})",
      R"({"Range": "hunter2secret"})", R"({"memory": "hunter2secret"})",
      R"({"method": "hunter2secret"})", R"("http://hunter2secret:hunter2secret@")"});
  const std::string json =
      key == "url" ? R"({"url": )" + value + "}" : with('"' + key + R"(": )" + value);
  const auto purpose = *rc::gen::elementOf(std::vector<Purpose>(kPurposes, kPurposes + 5));
  try {
    read(json, purpose);
  } catch (const Error& error) {
    // A path is named when it cannot be read: it is no secret.
    if (key == "caCertificate") return;
    RC_ASSERT(error.message().find(secret) == std::string::npos);
  }
}

}  // namespace
}  // namespace red
