// send-file: methods, authentication, redirects, and what must not be sent twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;

class SendFile : public ::testing::Test {
 protected:
  Outcome send(const Json& access) { return connector_.call("send-file", access, {source_}); }

  Connector connector_;
  TemporaryDirectory directory_;
  std::filesystem::path source_ = directory_ / "source";
};

TEST_F(SendFile, PostsByDefaultWithALength) {
  HostileServer server;
  server.on("/target", for_method("POST", status(201), status(405)));
  const std::string content = random_bytes(3'000'000);
  write_file(source_, content);
  EXPECT_THAT(send({{"url", server.url("/target")}}), Succeeded());
  ASSERT_EQ(server.requests().size(), 1u);
  const Request request = server.requests()[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.find("Content-Length"), "3000000");
  EXPECT_FALSE(request.find("Transfer-Encoding"));
  EXPECT_TRUE(request.body == content);
}

TEST_F(SendFile, PutsToRealServers) {
  const NginxServer nginx({.dav = true});
  const ApacheServer apache({.dav = true});
  for (const std::size_t size : {0, 1, 5'000'000}) {
    const std::string content = random_bytes(size);
    write_file(source_, content);
    for (const ServerProcess* server :
         {static_cast<const ServerProcess*>(&nginx), static_cast<const ServerProcess*>(&apache)}) {
      EXPECT_THAT(send({{"url", server->url("/file")}, {"method", "PUT"}}), Succeeded())
          << server->log();
      EXPECT_TRUE(read_file(server->root() / "file") == content);
    }
  }
}

TEST_F(SendFile, AuthenticatesByDigest) {
  const ApacheServer server({.dav = true,
                             .authentication = ApacheOptions::Authentication::Digest,
                             .username = "user",
                             .password = "secret"});
  write_file(source_, random_bytes(2'000'000));
  const auto access = [&](const char* password) {
    return Json{{"url", server.url("/file")},
                {"method", "PUT"},
                {"auth", {{"username", "user"}, {"password", password}, {"method", "DIGEST"}}}};
  };
  EXPECT_THAT(send(access("secret")), Succeeded()) << server.log();
  EXPECT_TRUE(read_file(server.root() / "file") == read_file(source_));
  EXPECT_THAT(send(access("wrong")), FailedWith(exit_code::kAuthentication));
}

TEST_F(SendFile, KeepsMethodAndBodyThrough307And308) {
  for (const int code : {307, 308}) {
    HostileServer server;
    server.on("/from", redirect("/to", code));
    server.on("/to", for_method("POST", status(201), status(405)));
    write_file(source_, "the body");
    EXPECT_THAT(send({{"url", server.url("/from")}}), Succeeded());
    ASSERT_EQ(server.requests_for("/to", "POST").size(), 1u);
    EXPECT_EQ(server.requests_for("/to")[0].body, "the body");
  }
}

TEST_F(SendFile, DoesNotRepeatAPostWhoseBodyWasSent) {
  write_file(source_, random_bytes(1'000'000));
  HostileServer resetting;
  resetting.on("/target", reset());
  EXPECT_THAT(send({{"url", resetting.url("/target")}}), Failed());
  EXPECT_EQ(resetting.requests().size(), 1u);
}

TEST_F(SendFile, TriesAgainWhenItIsRefusedBeforeTheBody) {
  HostileServer server;
  server.on("/target", first(1, status(503), status(201)));
  write_file(source_, "content");
  EXPECT_THAT(send({{"url", server.url("/target")}, {"method", "PUT"}}), Succeeded());
  EXPECT_EQ(server.requests().back().body, "content");
}

TEST_F(SendFile, TellsTheStatusOfARefusal) {
  write_file(source_, "content");
  for (const auto& [code, expected] :
       {std::pair{401, exit_code::kAuthentication}, std::pair{403, exit_code::kPermissionDenied},
        std::pair{404, exit_code::kNotFound}, std::pair{500, exit_code::kRemote}}) {
    HostileServer server;
    server.on("/target", status(code, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
    const Outcome outcome = send({{"url", server.url("/target")}});
    EXPECT_THAT(outcome, FailedWith(expected));
    EXPECT_THAT(outcome.errors, HasSubstr("HTTP " + std::to_string(code)));
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST_F(SendFile, SaysThatTheServerTakesNoPut) {
  const NginxServer server;
  write_file(source_, "content");
  const Outcome outcome = send({{"url", server.url("/file")}, {"method", "PUT"}});
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("HTTP 405"));
}

TEST_F(SendFile, MakesNoRequestForALocalFileThatIsNotThere) {
  HostileServer server;
  const Outcome outcome = send({{"url", server.url("/target")}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(outcome.errors, HasSubstr(source_.string()));
  source_ = directory_.path();
  EXPECT_THAT(send({{"url", server.url("/target")}}), FailedWith(exit_code::kLocalIo));
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(SendFile, FollowsALocalSymbolicLink) {
  HostileServer server;
  server.on("/target", status(201));
  write_file(directory_ / "real", "content");
  std::filesystem::create_symlink("real", source_);
  EXPECT_THAT(send({{"url", server.url("/target")}}), Succeeded());
  EXPECT_EQ(server.requests()[0].body, "content");
}

TEST_F(SendFile, NeverHoldsTheFileInMemory) {
  const NginxServer server({.dav = true});
  write_file(source_, "");
  std::filesystem::resize_file(source_, 200'000'000);
  const Outcome outcome = send({{"url", server.url("/file")}, {"method", "PUT"}});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_LT(outcome.max_resident_kib, 100'000);
}

TEST_F(SendFile, StaysWithTheFirstHostWithItsCredentials) {
  HostileServer other;
  other.on("/target", status(201));
  HostileServer server;
  server.on("/target", redirect(other.url("/target"), 307));
  write_file(source_, "content");
  EXPECT_THAT(
      send({{"url", server.url("/target")}, {"auth", {{"username", "u"}, {"password", "p"}}}}),
      Succeeded());
  ASSERT_FALSE(other.requests().empty());
  for (const Request& request : other.requests()) EXPECT_FALSE(request.find("Authorization"));
}

}  // namespace
}  // namespace red::testing
