// Access data, listings, and what the validations find out without doing anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kValidations = {"receive-file-validate", "receive-dir-validate",
                                               "mount-dir-validate", "send-file-validate",
                                               "send-dir-validate"};

TEST(AccessData, UnknownKeysAreNamedWithTheirPlaceAndTheNearestKey) {
  const Outcome outcome = Connector().call(
      "receive-file-validate",
      {{"url", "http://127.0.0.1:1/"}, {"auth", {{"usrname", "u"}, {"password", "p"}}}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("/auth/usrname"), HasSubstr("username")));
}

TEST(AccessData, AllProblemsAreToldAtOnceOnePerLine) {
  const Outcome outcome = Connector().call(
      "receive-file-validate",
      {{"methd", "GET"}, {"disableSSLVerification", "no"}, {"auth", {{"username", 1}}}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors,
              AllOf(HasSubstr("url"), HasSubstr("/methd"), HasSubstr("/disableSSLVerification"),
                    HasSubstr("/auth/username"), HasSubstr("password")));
  EXPECT_GE(lines_in(outcome.errors), 5u);
}

TEST(AccessData, WhatIsNoObjectIsRefused) {
  const Connector connector;
  const TemporaryDirectory directory;
  for (const std::string text :
       {"", "{", "[]", "null", "\"http://127.0.0.1/\"", "{\"url\": \"http://127.0.0.1/\"} more",
        "{\"url\": \"http://127.0.0.1:1/\", \"url\": \"http://127.0.0.1:2/\"}"}) {
    write_file(directory / "access.json", text);
    EXPECT_THAT(connector.run({"receive-file-validate", directory / "access.json"}),
                FailedWith(exit_code::kInvalidAccess))
        << text;
  }
}

TEST(AccessData, WrongFormsAreRefusedWithoutANetwork) {
  const Connector connector;
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"receive-file-validate", R"({"url": "ftp://127.0.0.1/"})"},
      {"receive-file-validate", R"({"url": "/no/scheme"})"},
      {"receive-file-validate", R"({"url": ""})"},
      {"receive-file-validate", R"({"url": "http:///nohost"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/\u0000"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/\r\nX: y"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "method": "DELETE"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "method": "gEt"})"},
      {"receive-dir-validate", R"({"url": "http://127.0.0.1/", "method": "POST"})"},
      {"mount-dir-validate", R"({"url": "http://127.0.0.1/", "method": "PUT"})"},
      {"send-dir-validate", R"({"url": "http://127.0.0.1/", "method": "POST"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "auth": {"username": "u"}})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "auth": {}})"},
      {"receive-file-validate",
       R"({"url": "http://127.0.0.1/", "auth": {"username": "u", "password": "p", "token": "t"}})"},
      {"receive-file-validate",
       R"({"url": "http://127.0.0.1/", "auth": {"username": "u", "password": "p", "method": "NTLM"}})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "connections": 0})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "timeout": "10"})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "headers": {"X-A": "b\r\nc"}})"},
      {"receive-file-validate", R"({"url": "http://127.0.0.1/", "headers": {"X": 1}})"},
      {"mount-dir-validate", R"({"url": "http://127.0.0.1/", "cache": {"memory": "much"}})"},
  };
  for (const auto& [subcommand, text] : wrong) {
    EXPECT_THAT(connector.call(subcommand, Json::parse(text)),
                FailedWith(exit_code::kInvalidAccess))
        << subcommand << " with " << text;
  }
}

class Validation : public ::testing::Test {
 protected:
  Validation() { write_tree(server_.root(), {{"file", "content"}, {"directory/inner", "inner"}}); }

  NginxServer server_;
  Connector connector_;
};

TEST_F(Validation, AcceptsWhatIsThere) {
  EXPECT_THAT(connector_.call("receive-file-validate", {{"url", server_.url("/file")}}),
              Succeeded());
  EXPECT_THAT(connector_.call("receive-dir-validate", {{"url", server_.url("/directory/")}}),
              Succeeded());
  EXPECT_THAT(connector_.call("receive-dir-validate", {{"url", server_.url("/directory")}}),
              Succeeded());
  EXPECT_THAT(connector_.call("mount-dir-validate", {{"url", server_.url("/directory")}}),
              Succeeded());
}

TEST_F(Validation, MissesWhatIsNotThere) {
  for (const char* subcommand :
       {"receive-file-validate", "receive-dir-validate", "mount-dir-validate"}) {
    const Outcome outcome = connector_.call(subcommand, {{"url", server_.url("/missing")}});
    EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound)) << subcommand;
    EXPECT_THAT(outcome.errors, HasSubstr("HTTP 404")) << subcommand;
  }
}

TEST_F(Validation, AcceptsEverySpellingOfTheMethods) {
  for (const char* method : {"GET", "get", "Get"}) {
    EXPECT_THAT(connector_.call("receive-file-validate",
                                {{"url", server_.url("/file")}, {"method", method}}),
                Succeeded());
  }
  for (const char* method : {"BASIC", "basic", "Basic", "DIGEST", "digest", "Digest"}) {
    EXPECT_THAT(
        connector_.call("receive-file-validate",
                        {{"url", server_.url("/file")},
                         {"auth", {{"username", "u"}, {"password", "p"}, {"method", method}}}}),
        Succeeded());
  }
}

TEST_F(Validation, AcceptsAllKeysThatAreDocumented) {
  const Json access = {
      {"url", server_.url("/directory/")}, {"method", "GET"},    {"disableSSLVerification", false},
      {"headers", {{"X-One", "1"}}},       {"connections", 4},   {"timeout", 2.5},
      {"cache", {{"memory", "64 MiB"}}},   {"allowOther", false}};
  EXPECT_THAT(connector_.call("mount-dir-validate", access), Succeeded());
}

TEST_F(Validation, AcceptsUrlsAsPeopleWriteThem) {
  write_tree(server_.root(), {{"with space/\xC3\xA4.txt", "umlaut"}});
  EXPECT_THAT(
      connector_.call("receive-file-validate", {{"url", server_.url("/with space/\xC3\xA4.txt")}}),
      Succeeded());
  EXPECT_THAT(
      connector_.call("receive-file-validate", {{"url", server_.url("/with%20space/%C3%A4.txt")}}),
      Succeeded());
}

TEST_F(Validation, FindsACredentialThatTheServerRefuses) {
  const ApacheServer server({.authentication = ApacheOptions::Authentication::Basic,
                             .username = "user",
                             .password = "secret"});
  write_file(server.root() / "file", "content");
  const auto validate = [&](const std::string& password) {
    return connector_.call(
        "receive-file-validate",
        {{"url", server.url("/file")}, {"auth", {{"username", "user"}, {"password", password}}}});
  };
  EXPECT_THAT(validate("secret"), Succeeded());
  const Outcome refused = validate("wrong-password");
  EXPECT_THAT(refused, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("HTTP 401"), Not(HasSubstr("wrong-password"))));
}

TEST_F(Validation, FindsAServerThatIsDown) {
  server_.stop();
  for (const std::string& subcommand : kValidations) {
    const Outcome outcome = connector_.call(subcommand, {{"url", server_.url("/file")}});
    EXPECT_THAT(outcome, FailedWith(exit_code::kNetwork)) << subcommand;
    EXPECT_LT(outcome.duration.count(), 10'000) << subcommand;
  }
}

TEST_F(Validation, FindsAHostThatDoesNotExist) {
  EXPECT_THAT(connector_.call("receive-file-validate", {{"url", "http://no-such-host.invalid/"}}),
              FailedWith(exit_code::kNetwork));
}

TEST(ValidationRequests, AreNeverPostOrPutOrMkcol) {
  HostileServer server;
  server.on("/file", file({.body = "content"}));
  server.on("/directory/", page("<title>Index of /directory/</title><a href=\"a\">a</a>"));
  const Connector connector;
  for (const char* method : {"GET", "PUT", "POST"}) {
    const Json access = {{"url", server.url("/file")}, {"method", method}};
    connector.call("receive-file-validate", access);
    connector.call("send-file-validate", access);
  }
  for (const char* subcommand :
       {"receive-dir-validate", "mount-dir-validate", "send-dir-validate"}) {
    connector.call(subcommand, {{"url", server.url("/directory/")}});
  }
  EXPECT_GE(server.requests().size(), 9u);
  for (const Request& request : server.requests()) {
    EXPECT_THAT(request.method, ::testing::AnyOf("GET", "HEAD", "OPTIONS", "PROPFIND"));
  }
}

TEST(ValidationRequests, DoNotLookAtContent) {
  HostileServer server;
  server.on("/huge", for_method("HEAD", status(200), endless_body()));
  EXPECT_THAT(Connector().call("receive-file-validate", {{"url", server.url("/huge")}}),
              Succeeded());
  EXPECT_LT(server.bytes_sent(), 1'000'000u);
}

TEST(ValidationRequests, AcceptAServerThatKnowsNoHead) {
  HostileServer server;
  server.on("/file", for_method("HEAD", status(405), file({.body = "content"})));
  EXPECT_THAT(Connector().call("receive-file-validate", {{"url", server.url("/file")}}),
              Succeeded());
}

TEST(ValidationRequests, TakeRefusalsForAnAnswerWhereNothingIsRead) {
  const Connector connector;
  for (const int code : {404, 405, 501}) {
    HostileServer server;
    server.otherwise(status(code));
    const std::string url = server.url("/target");
    EXPECT_THAT(connector.call("send-file-validate", {{"url", url}}), Succeeded()) << code;
    EXPECT_THAT(connector.call("send-file-validate", {{"url", url}, {"method", "PUT"}}),
                Succeeded())
        << code;
    EXPECT_THAT(connector.call("receive-file-validate", {{"url", url}, {"method", "POST"}}),
                Succeeded())
        << code;
    EXPECT_GE(server.requests().size(), 3u);
  }
}

TEST(ValidationRequests, FindRefusedCredentialsOfSends) {
  HostileServer server;
  server.otherwise(status(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
  EXPECT_THAT(Connector().call("send-file-validate", {{"url", server.url("/target")}}),
              FailedWith(exit_code::kAuthentication));
}

TEST(ValidationRequests, EndWithinABoundedTimeWhenNothingIsAnswered) {
  HostileServer server;
  server.otherwise(stall_before_head(status(200)));
  const Outcome outcome = Connector().call("receive-file-validate", {{"url", server.url("/file")}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kTimedOut));
  EXPECT_LT(outcome.duration.count(), 35'000);
}

TEST_F(Validation, ChecksTheListing) {
  const auto validate = [&](const std::string& listing) {
    const std::string file = connector_.keep_json(Json::parse(listing));
    return connector_.call("receive-dir-validate", {{"url", server_.url()}}, {"--listing", file});
  };
  EXPECT_THAT(validate(R"([{"class": "File", "basename": "file", "size": 7},
                           {"class": "Directory", "basename": "directory"}])"),
              Succeeded());
  for (const char* listing : {
           R"({})",
           R"(["file"])",
           R"([{"class": "File"}])",
           R"([{"class": "Socket", "basename": "a"}])",
           R"([{"class": "File", "basename": "a/b"}])",
           R"([{"class": "File", "basename": ".."}])",
           R"([{"class": "File", "basename": "."}])",
           R"([{"class": "File", "basename": ""}])",
           R"([{"class": "File", "basename": "a", "size": "7"}])",
           R"([{"class": "File", "basename": "a", "size": -1}])",
           R"([{"class": "File", "basename": "a", "checksum": "md5$1234"}])",
           R"([{"class": "File", "basename": "a", "checksum": "sha1$1234"}])",
           R"([{"class": "Directory", "basename": "a", "listing": "x"}])",
       }) {
    EXPECT_THAT(validate(listing), FailedWith(exit_code::kInvalidAccess)) << listing;
  }
}

TEST_F(Validation, RefusesADirectoryThatNobodyCanRead) {
  const NginxServer server({.autoindex = false});
  std::filesystem::create_directory(server.root() / "directory");
  for (const char* subcommand : {"receive-dir-validate", "mount-dir-validate"}) {
    const Outcome outcome = connector_.call(subcommand, {{"url", server.url("/directory/")}});
    EXPECT_THAT(outcome, Failed()) << subcommand;
    EXPECT_THAT(outcome.errors, HasSubstr("HTTP 403")) << subcommand;
  }
}

}  // namespace
}  // namespace red::testing
