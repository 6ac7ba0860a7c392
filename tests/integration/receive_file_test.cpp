// receive-file: from each kind of server, and from servers that break, lie or wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/servers/server_kinds.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ReceiveFile : public ::testing::Test {
 protected:
  Outcome receive(const Json& access) { return connector_.call("receive-file", access, {target_}); }
  Outcome receive(const std::string& url) { return receive(Json{{"url", url}}); }
  std::string received() const { return read_file(target_); }

  /// Nothing is left of a transfer that failed: no file, no temporary one.
  void expect_nothing_left() const { EXPECT_THAT(names_in(directory_.path()), IsEmpty()); }

  Connector connector_;
  TemporaryDirectory directory_;
  std::filesystem::path target_ = directory_ / "target";
};

class ReceiveFileFrom : public ReceiveFile, public ::testing::WithParamInterface<ServerKind> {};

TEST_P(ReceiveFileFrom, KeepsEveryByteOfEverySize) {
  const auto server = GetParam().make();
  for (const std::size_t size : {0, 1, 4096, 1'000'001, 20'000'003}) {
    const std::string content = random_bytes(size);
    // A name for each: lighttpd remembers sizes for a second.
    const std::string name = "file-" + std::to_string(size);
    write_file(server->root() / name, content);
    ASSERT_THAT(receive(server->url("/" + name)), Succeeded()) << size;
    EXPECT_TRUE(received() == content) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, ReceiveFileFrom, ::testing::ValuesIn(server_kinds()),
                         kNameOfServerKind);

TEST_F(ReceiveFile, ReplacesAnExistingFile) {
  const NginxServer server;
  write_file(server.root() / "file", "new");
  write_file(target_, "old and longer");
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  EXPECT_EQ(received(), "new");
}

TEST_F(ReceiveFile, LeavesTheExistingFileAloneWhenItFails) {
  const NginxServer server;
  write_file(target_, "old");
  EXPECT_THAT(receive(server.url("/missing")), FailedWith(exit_code::kNotFound));
  EXPECT_EQ(received(), "old");
  EXPECT_EQ(names_in(directory_.path()).size(), 1u);
}

TEST_F(ReceiveFile, TakesUrlsAsPeopleWriteThem) {
  const NginxServer server;
  write_tree(server.root(), {{"with space/\xC3\xA4 50%.txt", "content"}});
  EXPECT_THAT(receive(server.url("/with space/\xC3\xA4 50%25.txt")), Succeeded());
  EXPECT_EQ(received(), "content");
}

TEST_F(ReceiveFile, StartsWithTheRequestItself) {
  HostileServer server;
  server.on("/file", file({.body = random_bytes(100'000)}));
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests()[0].method, "GET");
}

TEST_F(ReceiveFile, UsesTheMethodThatIsGiven) {
  for (const char* method : {"POST", "PUT"}) {
    HostileServer server;
    server.on("/file", for_method(method, status(200, {}, "answer"), status(405)));
    EXPECT_THAT(receive({{"url", server.url("/file")}, {"method", method}}), Succeeded());
    EXPECT_EQ(received(), "answer");
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST_F(ReceiveFile, TakesBodiesWithoutALength) {
  HostileServer server;
  const std::string body = random_bytes(3'000'000);
  server.on("/chunked", chunked(body));
  server.on("/closed", close_delimited(body));
  for (const char* path : {"/chunked", "/closed"}) {
    EXPECT_THAT(receive(server.url(path)), Succeeded());
    EXPECT_TRUE(received() == body) << path;
  }
}

// --- Authentication
// -------------------------------------------------------------------------------

TEST_F(ReceiveFile, AuthenticatesByBasicAndDigest) {
  for (const char* method : {"BASIC", "DIGEST"}) {
    const ApacheServer server({.authentication = method == std::string("BASIC")
                                                     ? ApacheOptions::Authentication::Basic
                                                     : ApacheOptions::Authentication::Digest,
                               .username = "user",
                               .password = "sec:ret \xC3\xA4"});
    write_file(server.root() / "file", method);
    const auto access = [&](const std::string& password) {
      return Json{{"url", server.url("/file")},
                  {"auth", {{"username", "user"}, {"password", password}, {"method", method}}}};
    };
    EXPECT_THAT(receive(access("sec:ret \xC3\xA4")), Succeeded()) << server.log();
    EXPECT_EQ(received(), method);
    EXPECT_THAT(receive(access("wrong")), FailedWith(exit_code::kAuthentication));
  }
}

TEST_F(ReceiveFile, SendsABearerTokenAndExtraHeaders) {
  HostileServer server;
  server.on("/file", file({.body = "content"}));
  EXPECT_THAT(receive({{"url", server.url("/file")},
                       {"auth", {{"token", "abc.def"}}},
                       {"headers", {{"X-Study", "one two"}}}}),
              Succeeded());
  EXPECT_EQ(server.requests()[0].find("Authorization"), "Bearer abc.def");
  EXPECT_EQ(server.requests()[0].find("X-Study"), "one two");
}

// --- Redirects
// ------------------------------------------------------------------------------------

void chain_redirects(HostileServer& server, int count) {
  for (int i = 0; i < count; ++i) {
    server.on("/" + std::to_string(i), redirect("/" + std::to_string(i + 1)));
  }
  server.on("/" + std::to_string(count), file({.body = "end of the chain"}));
}

TEST_F(ReceiveFile, FollowsTwentyRedirectsAndNotOneMore) {
  HostileServer server;
  chain_redirects(server, 21);
  EXPECT_THAT(receive(server.url("/1")), Succeeded());
  EXPECT_EQ(received(), "end of the chain");
  std::filesystem::remove(target_);
  EXPECT_THAT(receive(server.url("/0")), Failed());
  expect_nothing_left();
}

TEST_F(ReceiveFile, FollowsEveryKindOfRedirect) {
  for (const int code : {301, 302, 303, 307, 308}) {
    HostileServer server;
    server.on("/from/here", redirect("../to?x=1", code));
    server.on("/to", file({.body = "there"}));
    EXPECT_THAT(receive(server.url("/from/here")), Succeeded()) << code;
    EXPECT_EQ(received(), "there");
  }
}

TEST_F(ReceiveFile, TakesARedirectLoopForAnError) {
  HostileServer server;
  server.on("/a", redirect("/b"));
  server.on("/b", redirect("/a"));
  const Outcome outcome = receive(server.url("/a"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("redirect"));
  EXPECT_LE(server.requests().size(), 25u);
}

TEST_F(ReceiveFile, FollowsNoRedirectToOtherSchemes) {
  HostileServer server;
  write_file(directory_ / "local", "not to be read");
  server.on("/file", redirect("file://" + (directory_ / "local").string()));
  server.on("/ftp", redirect("ftp://127.0.0.1:1/file"));
  EXPECT_THAT(receive(server.url("/file")), Failed());
  EXPECT_THAT(receive(server.url("/ftp")), Failed());
  EXPECT_FALSE(std::filesystem::exists(target_));
}

TEST_F(ReceiveFile, CredentialsStayWithTheFirstHost) {
  HostileServer other;
  other.on("/file", file({.body = "elsewhere"}));
  HostileServer server;
  server.on("/port", redirect(other.url("/file")));
  server.on("/host", redirect("http://localhost:" + std::to_string(other.port()) + "/file"));
  server.on("/same", redirect("/here"));
  server.on("/here", file({.body = "here"}));
  for (const Json& auth : {Json{{"username", "u"}, {"password", "p"}}, Json{{"token", "t"}}}) {
    for (const char* path : {"/port", "/host", "/same"}) {
      EXPECT_THAT(
          receive({{"url", server.url(path)}, {"auth", auth}, {"headers", {{"X-Key", "secret"}}}}),
          Succeeded())
          << path;
    }
  }
  EXPECT_EQ(other.requests().size(), 4u);
  for (const Request& request : other.requests()) {
    EXPECT_FALSE(request.find("Authorization"));
    EXPECT_FALSE(request.find("X-Key"));
    EXPECT_FALSE(request.find("Cookie"));
  }
  for (const Request& request : server.requests_for("/here")) {
    EXPECT_TRUE(request.find("Authorization"));
  }
}

// --- TLS, proxies, HTTP/2
// -------------------------------------------------------------------------

TEST_F(ReceiveFile, TrustsACertificateOnlyWhenToldTo) {
  const NginxServer server({.tls = true});
  write_file(server.root() / "file", "content");
  const std::string url = server.url("/file");
  const Outcome untrusted = receive(url);
  EXPECT_THAT(untrusted, FailedWith(exit_code::kTls));
  EXPECT_THAT(untrusted.errors, HasSubstr("certificate"));
  expect_nothing_left();
  EXPECT_THAT(receive({{"url", url}, {"caCertificate", server.authority()}}), Succeeded());
  EXPECT_THAT(receive({{"url", url}, {"caCertificate", read_file(server.authority())}}),
              Succeeded());
  EXPECT_THAT(receive({{"url", url}, {"disableSSLVerification", true}}), Succeeded());
  EXPECT_THAT(receive({{"url", url}, {"disableSSLVerification", false}}),
              FailedWith(exit_code::kTls));
}

TEST_F(ReceiveFile, TrustsTheCertificatesThatTheEnvironmentNames) {
  const NginxServer server({.tls = true});
  write_file(server.root() / "file", "content");
  connector_.set_environment("SSL_CERT_FILE", server.authority());
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  connector_.set_environment("SSL_CERT_FILE", server.authority().string() + ".missing");
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, FailedWith(exit_code::kTls));
  EXPECT_THAT(outcome.errors, HasSubstr("SSL_CERT_FILE"));
}

TEST_F(ReceiveFile, TrustsTheDirectoryOfCertificatesThatTheEnvironmentNames) {
  const NginxServer server({.tls = true});
  write_file(server.root() / "file", "content");
  const TemporaryDirectory certificates;
  std::filesystem::copy_file(server.authority(), certificates / "authority.pem");
  ASSERT_THAT(run({.arguments = {"/usr/bin/openssl", "rehash", certificates.path()}}), Succeeded());
  connector_.set_environment("SSL_CERT_FILE", "");
  connector_.set_environment("SSL_CERT_DIR", certificates.path());
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
}

TEST_F(ReceiveFile, UsesHttp2WhereItIsOffered) {
  const NginxServer server({.tls = true, .http2 = true});
  write_file(server.root() / "file", "content");
  EXPECT_THAT(receive({{"url", server.url("/file")}, {"caCertificate", server.authority()}}),
              Succeeded());
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests()[0].protocol, "HTTP/2.0");
}

TEST_F(ReceiveFile, GoesThroughTheProxyOfTheAccessDataOrTheEnvironment) {
  HostileServer proxy;
  proxy.otherwise(status(200, {}, "from the proxy"));
  const std::string url = "http://data.invalid/file";
  EXPECT_THAT(receive({{"url", url}, {"proxy", proxy.url("")}}), Succeeded());
  EXPECT_EQ(received(), "from the proxy");
  ASSERT_FALSE(proxy.requests().empty());
  EXPECT_EQ(proxy.requests()[0].target, url);

  connector_.set_environment("http_proxy", proxy.url(""));
  std::filesystem::remove(target_);
  EXPECT_THAT(receive(url), Succeeded());
  EXPECT_EQ(received(), "from the proxy");
  connector_.set_environment("no_proxy", "data.invalid");
  EXPECT_THAT(receive(url), FailedWith(exit_code::kNetwork));
}

// --- Many connections, resuming
// -------------------------------------------------------------------

TEST_F(ReceiveFile, FurtherConnectionsJoinForABigFileWhenThatIsFaster) {
  const NginxServer server({.bytes_per_second = 8'000'000});
  const std::string content = random_bytes(48'000'000);
  write_file(server.root() / "file", content);
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_TRUE(received() == content);
  EXPECT_LT(outcome.duration.count(), 4500) << "six seconds by one connection";
  std::set<std::string> connections;
  for (const LoggedRequest& request : server.requests()) connections.insert(request.connection);
  EXPECT_GT(connections.size(), 1u);
}

TEST_F(ReceiveFile, OneConnectionIsEnoughWhenSoTold) {
  const NginxServer server({.bytes_per_second = 20'000'000});
  write_file(server.root() / "file", random_bytes(20'000'000));
  EXPECT_THAT(receive({{"url", server.url("/file")}, {"connections", 1}}), Succeeded());
  std::set<std::string> connections;
  for (const LoggedRequest& request : server.requests()) connections.insert(request.connection);
  EXPECT_EQ(connections.size(), 1u);
}

TEST_F(ReceiveFile, ResumesWhereItStopped) {
  HostileServer server;
  const ScriptedFile whole{.body = random_bytes(3'000'000)};
  server.on("/file", first(2, truncated(whole, 1'000'000), file(whole)));
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  EXPECT_TRUE(received() == whole.body);
  EXPECT_LT(server.bytes_sent(), 3'100'000u) << "what has come is not fetched again";
}

TEST_F(ReceiveFile, ResumesAfterTheLinkWasCut) {
  const NginxServer server({.bytes_per_second = 10'000'000});
  const std::string content = random_bytes(30'000'000);
  write_file(server.root() / "file", content);
  Relay relay(server.port());
  const std::string access = connector_.keep_json({{"url", relay.url("/file")}});
  Process process(connector_.command({"receive-file", access, target_}), directory_ / "log");
  ASSERT_TRUE(eventually([&] { return relay.bytes_to_client() > 5'000'000; }));
  relay.refuse();
  EXPECT_FALSE(process.wait(std::chrono::seconds(2)));
  relay.recover();
  EXPECT_EQ(process.wait(std::chrono::seconds(30)), 0) << read_file(directory_ / "log");
  EXPECT_TRUE(received() == content);
}

TEST_F(ReceiveFile, NeverMixesTwoVersions) {
  HostileServer server;
  const ScriptedFile old_file{.body = random_bytes(2'000'000, 1), .etag = "\"old\""};
  const ScriptedFile new_file{.body = random_bytes(2'000'000, 2),
                              .etag = "\"new\"",
                              .last_modified = "Tue, 02 Jan 2024 12:00:00 GMT"};
  server.on("/file", first(1, reset_after(old_file, 1'000'000), file(new_file)));
  const Outcome outcome = receive(server.url("/file"));
  if (outcome.exit_code == 0) {
    EXPECT_TRUE(received() == new_file.body);
  } else {
    EXPECT_THAT(outcome, FailedWith(exit_code::kChangedRemotely));
    expect_nothing_left();
  }
}

TEST_F(ReceiveFile, NoticesAVersionThatChangesBetweenTheRangesOfABigFile) {
  HostileServer server;
  server.on("/file", changing_etag({.body = random_bytes(40'000'000)}));
  const Outcome outcome = receive(server.url("/file"));
  // One connection that never breaks is a success as well.
  if (outcome.exit_code == 0) {
    EXPECT_TRUE(received() == random_bytes(40'000'000));
  } else {
    EXPECT_THAT(outcome, FailedWith(exit_code::kChangedRemotely));
    expect_nothing_left();
  }
}

TEST_F(ReceiveFile, ResumesAfterAReset) {
  HostileServer server;
  const ScriptedFile whole{.body = random_bytes(3'000'000)};
  server.on("/file", first(2, reset_after(whole, 1'000'000), file(whole)));
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  EXPECT_TRUE(received() == whole.body);
}

TEST_F(ReceiveFile, StartsAgainWhereTheServerIgnoresRanges) {
  HostileServer server;
  const ScriptedFile whole{.body = random_bytes(2'000'000), .ranges = false};
  server.on("/file", first(1, reset_after(whole, 1'000'000), file(whole)));
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  EXPECT_TRUE(received() == whole.body);
}

TEST_F(ReceiveFile, BelievesNoWrongContentRange) {
  HostileServer server;
  const ScriptedFile whole{.body = random_bytes(2'000'000)};
  server.on("/file", first(1, reset_after(whole, 1'000'000), wrong_content_range(whole, 7)));
  EXPECT_THAT(receive(server.url("/file")), Failed());
  expect_nothing_left();
}

TEST_F(ReceiveFile, TakesABodyShorterThanAnnouncedForAnError) {
  HostileServer server;
  server.on("/file", truncated({.body = random_bytes(100'000), .ranges = false}, 50'000));
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 15'000);
  expect_nothing_left();
}

// --- Trouble
// --------------------------------------------------------------------------------------

TEST_F(ReceiveFile, ComesBackWhenABusyServerAsksForIt) {
  HostileServer server;
  server.on("/file", first(2, status(503, {{"Retry-After", "1"}}), file({.body = "content"})));
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_GE(outcome.duration.count(), 1900);
  EXPECT_EQ(received(), "content");
}

TEST_F(ReceiveFile, GivesUpOnABusyServerAfterThreeTriesWithinEightSeconds) {
  for (const int code : {429, 502, 503, 504}) {
    HostileServer server;
    server.on("/file", status(code));
    const Outcome outcome = receive(server.url("/file"));
    EXPECT_THAT(outcome, FailedWith(exit_code::kUnavailable));
    EXPECT_THAT(outcome.errors, HasSubstr("HTTP " + std::to_string(code)));
    EXPECT_LE(server.requests().size(), 3u);
    EXPECT_GE(server.requests().size(), 2u);
    EXPECT_LT(outcome.duration.count(), 9000);
  }
}

TEST_F(ReceiveFile, DoesNotWaitForAServerThatIsBusyForLong) {
  HostileServer server;
  server.on("/file", status(503, {{"Retry-After", "3600"}}));
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, FailedWith(exit_code::kUnavailable));
  EXPECT_LT(outcome.duration.count(), 9000);
}

TEST_F(ReceiveFile, TakesOtherStatusesForFinal) {
  HostileServer server;
  for (const int code : {400, 403, 404, 410, 500, 501}) {
    const std::string path = "/" + std::to_string(code);
    server.on(path, status(code));
    EXPECT_THAT(receive(server.url(path)), Failed());
    EXPECT_EQ(server.requests_for(path).size(), 1u) << code;
  }
  expect_nothing_left();
}

TEST_F(ReceiveFile, TriesAgainAfterAResetAndARefusal) {
  HostileServer server;
  server.on("/file", first(1, reset(), file({.body = "content"})));
  EXPECT_THAT(receive(server.url("/file")), Succeeded());

  Relay relay(server.port());
  relay.refuse();
  const Outcome refused = receive(relay.url("/file"));
  EXPECT_THAT(refused, FailedWith(exit_code::kNetwork));
  EXPECT_LT(refused.duration.count(), 9000);
}

TEST_F(ReceiveFile, EndsOnAHeadWithoutEnd) {
  HostileServer server;
  server.on("/file", endless_head());
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 15'000);
  EXPECT_LT(server.bytes_sent(), 100'000'000u);
}

TEST_F(ReceiveFile, TakesTwentySecondsWithoutAByteForAStall) {
  HostileServer server;
  server.on("/file", stall_after({.body = random_bytes(100'000), .ranges = false}, 50'000));
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_GE(outcome.duration.count(), 19'000);
  EXPECT_LT(outcome.duration.count(), 55'000);
  expect_nothing_left();
}

// --- The local side
// -------------------------------------------------------------------------------

TEST_F(ReceiveFile, TellsWhatIsWrongWithTheTarget) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  target_ = directory_ / "no/such/directory/file";
  const Outcome missing = receive(server.url("/file"));
  EXPECT_THAT(missing, FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(missing.errors, HasSubstr("no/such/directory"));
  target_ = directory_.path();
  EXPECT_THAT(receive(server.url("/file")), FailedWith(exit_code::kLocalIo));
  expect_nothing_left();
}

TEST_F(ReceiveFile, TellsWhenTheDiskIsFull) {
  if (::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "needs the right to mount a small disk";
  }
  const NginxServer server;
  write_file(server.root() / "file", random_bytes(5'000'000));
  const Outcome outcome = receive(server.url("/file"));
  EXPECT_THAT(outcome, FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(outcome.errors, HasSubstr("No space left"));
  expect_nothing_left();
}

TEST_F(ReceiveFile, LeavesNothingWhenItIsInterrupted) {
  HostileServer server;
  server.on("/file", stall_after({.body = random_bytes(1'000'000)}, 500'000));
  const TemporaryDirectory other;
  for (const int number : {SIGINT, SIGTERM}) {
    const std::string access = connector_.keep_json({{"url", server.url("/file")}});
    Process process(connector_.command({"receive-file", access, target_}), other / "log");
    ASSERT_TRUE(server.wait_for_stalled(1));
    process.signal(number);
    const auto exit_code = process.wait(std::chrono::seconds(5));
    ASSERT_TRUE(exit_code);
    EXPECT_NE(*exit_code, 0);
    expect_nothing_left();
    ASSERT_TRUE(eventually([&] { return !server.wait_for_stalled(1, {}); }));
  }
}

TEST_F(ReceiveFile, IsMadeWithTheModeOfTheUmask) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  EXPECT_THAT(receive(server.url("/file")), Succeeded());
  EXPECT_EQ(std::filesystem::status(target_).permissions(), std::filesystem::perms(0644));
}

}  // namespace
}  // namespace red::testing
