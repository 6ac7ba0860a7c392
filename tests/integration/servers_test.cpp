// The servers that the other tests lean on: does each do what its name promises, seen with curl?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>

#include "tests/servers/apache_server.h"
#include "tests/servers/lighttpd_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/python_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/servers/server_kinds.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Outcome curl(std::vector<std::string> arguments) {
  std::vector<std::string> all{"/usr/bin/curl", "--noproxy", "*", "-sS", "-m", "20"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run({.arguments = all});
}

std::string status_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"-o", "/dev/null", "-w", "%{http_code}"});
  return curl(std::move(arguments)).output;
}

class RealServer : public ::testing::TestWithParam<ServerKind> {
 protected:
  const std::unique_ptr<ServerProcess> server_ = GetParam().make();
};

TEST_P(RealServer, ServesFilesAndAnIndexOfThem) {
  write_tree(server_->root(), {{"a.txt", "content"}, {"sub/b.txt", "more"}});
  EXPECT_EQ(curl({server_->url("/a.txt")}).output, "content");
  const bool dav = GetParam().name.ends_with("Dav");
  const std::string method = dav ? "PROPFIND" : "GET";
  EXPECT_THAT(curl({"-X", method, "-H", "Depth: 1", server_->url("/")}).output, HasSubstr("a.txt"));
  EXPECT_THAT(curl({"-X", method, "-H", "Depth: 1", server_->url("/sub/")}).output,
              HasSubstr("b.txt"));
  EXPECT_EQ(status_of({server_->url("/missing")}), "404");
}

TEST_P(RealServer, ComesBackOnTheSamePort) {
  write_file(server_->root() / "a.txt", "content");
  server_->stop();
  EXPECT_EQ(status_of({server_->url("/a.txt")}), "000");
  server_->start();
  EXPECT_EQ(curl({server_->url("/a.txt")}).output, "content");
}

INSTANTIATE_TEST_SUITE_P(Every, RealServer, ::testing::ValuesIn(server_kinds()), kNameOfServerKind);

TEST(Nginx, SpeaksHttp2OverTlsWithItsOwnAuthority) {
  const NginxServer server({.tls = true, .http2 = true});
  write_file(server.root() / "a.txt", "content");
  EXPECT_EQ(curl({"--cacert", server.authority(), server.url("/a.txt")}).output, "content");
  EXPECT_NE(curl({server.url("/a.txt")}).exit_code, 0);
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests()[0].protocol, "HTTP/2.0");
}

TEST(Nginx, AsksForCredentials) {
  const NginxServer server({.username = "user", .password = "secret"});
  EXPECT_EQ(status_of({server.url()}), "401");
  EXPECT_EQ(status_of({"-u", "user:secret", server.url()}), "200");
}

TEST(Nginx, LimitsTheRateOfRequests) {
  const NginxServer server({.requests_per_second = 1});
  std::string statuses;
  for (int i = 0; i < 5; ++i) statuses += status_of({server.url()}) + " ";
  EXPECT_THAT(statuses, HasSubstr("429"));
}

TEST(Nginx, TakesFilesAndCollections) {
  const NginxServer server({.dav = true});
  EXPECT_EQ(status_of({"-X", "MKCOL", server.url("/new/")}), "201");
  EXPECT_EQ(status_of({"-X", "MKCOL", server.url("/new/")}), "405");
  EXPECT_EQ(status_of({"-T", "/etc/hostname", server.url("/new/file")}), "201");
  EXPECT_EQ(read_file(server.root() / "new/file"), read_file("/etc/hostname"));
}

TEST(Nginx, RefusesUploadsWithoutDav) {
  const NginxServer server;
  EXPECT_EQ(status_of({"-T", "/etc/hostname", server.url("/file")}), "405");
}

TEST(Apache, SpeaksWebDav) {
  const ApacheServer server({.dav = true});
  EXPECT_EQ(status_of({"-X", "MKCOL", server.url("/new/")}), "201") << server.log();
  EXPECT_EQ(status_of({"-T", "/etc/hostname", server.url("/new/file")}), "201") << server.log();
  EXPECT_THAT(curl({"-X", "PROPFIND", "-H", "Depth: 1", server.url("/new/")}).output,
              HasSubstr("/new/file"));
}

TEST(Apache, AsksForDigestCredentials) {
  const ApacheServer server({.authentication = ApacheOptions::Authentication::Digest,
                             .username = "user",
                             .password = "secret"});
  EXPECT_EQ(status_of({server.url()}), "401");
  EXPECT_EQ(status_of({"--basic", "-u", "user:secret", server.url()}), "401");
  EXPECT_EQ(status_of({"--digest", "-u", "user:secret", server.url()}), "200") << server.log();
}

TEST(Apache, AsksForBasicCredentials) {
  const ApacheServer server({.authentication = ApacheOptions::Authentication::Basic,
                             .username = "user",
                             .password = "secret"});
  EXPECT_EQ(status_of({"-u", "user:wrong", server.url()}), "401");
  EXPECT_EQ(status_of({"-u", "user:secret", server.url()}), "200") << server.log();
}

TEST(Lighttpd, SpeaksWebDav) {
  const LighttpdServer server({.webdav = true});
  EXPECT_EQ(status_of({"-X", "MKCOL", server.url("/new/")}), "201") << server.log();
  EXPECT_EQ(status_of({"-T", "/etc/hostname", server.url("/new/file")}), "201") << server.log();
  EXPECT_THAT(curl({"-X", "PROPFIND", "-H", "Depth: 1", server.url("/new/")}).output,
              HasSubstr("/new/file"));
}

TEST(Python, IgnoresRanges) {
  const PythonServer server;
  write_file(server.root() / "a", "0123456789");
  EXPECT_EQ(curl({"-r", "2-3", server.url("/a")}).output, "0123456789");
}

TEST(Hostile, HonestFileHasRangesAndConditions) {
  HostileServer server;
  server.on("/f", file({.body = "0123456789"}));
  EXPECT_EQ(curl({server.url("/f")}).output, "0123456789");
  EXPECT_EQ(curl({"-r", "2-3", server.url("/f")}).output, "23");
  EXPECT_EQ(curl({"-r", "-3", server.url("/f")}).output, "789");
  EXPECT_EQ(curl({"-r", "2-3", "-H", "If-Range: \"old\"", server.url("/f")}).output, "0123456789");
  EXPECT_EQ(status_of({"-r", "10-", server.url("/f")}), "416");
  EXPECT_EQ(status_of({"-H", "If-None-Match: \"v1\"", server.url("/f")}), "304");
  EXPECT_THAT(curl({"-I", server.url("/f")}).output, HasSubstr("Content-Length: 10"));
  EXPECT_EQ(server.requests_for("/f").size(), 7u);
  EXPECT_EQ(server.requests_for("/f", "HEAD").size(), 1u);
  EXPECT_EQ(server.requests()[1].find("range"), "bytes=2-3");
}

TEST(Hostile, TellsNoLength) {
  HostileServer server;
  const std::string body = random_bytes(100'000);
  server.on("/chunked", chunked(body));
  server.on("/closed", close_delimited(body));
  EXPECT_EQ(curl({server.url("/chunked")}).output, body);
  EXPECT_EQ(curl({server.url("/closed")}).output, body);
  EXPECT_THAT(curl({"-I", server.url("/closed")}).output, Not(HasSubstr("Content-Length")));
}

TEST(Hostile, Lies) {
  HostileServer server;
  const ScriptedFile honest{.body = "0123456789"};
  server.on("/range", wrong_content_range(honest, 1));
  server.on("/half", half_of_range(honest));
  server.on("/short", truncated(honest, 4));
  server.on("/long", too_long(honest, "abc"));
  server.on("/etag", changing_etag(honest));
  server.on("/head", lying_head(honest, 99));
  EXPECT_THAT(curl({"-i", "-r", "2-3", server.url("/range")}).output,
              HasSubstr("Content-Range: bytes 3-4/10"));
  EXPECT_EQ(curl({"-r", "2-5", server.url("/half")}).output, "23");
  EXPECT_EQ(curl({server.url("/short")}).exit_code, 18);
  EXPECT_EQ(curl({"--raw", "--ignore-content-length", server.url("/long")}).output,
            "0123456789abc");
  EXPECT_THAT(curl({"-i", server.url("/etag")}).output, HasSubstr("\"version-1\""));
  EXPECT_THAT(curl({"-i", server.url("/etag")}).output, HasSubstr("\"version-2\""));
  EXPECT_THAT(curl({"-I", server.url("/head")}).output, HasSubstr("Content-Length: 99"));
  EXPECT_EQ(curl({server.url("/head")}).output, "0123456789");
}

TEST(Hostile, NeverEnds) {
  HostileServer server;
  server.on("/head", endless_head());
  server.on("/body", endless_body());
  EXPECT_NE(curl({"-m", "1", server.url("/head")}).exit_code, 0);
  EXPECT_EQ(curl({"-m", "1", "-o", "/dev/null", server.url("/body")}).exit_code, 28);
  EXPECT_GT(server.bytes_sent(), 1'000'000u);
}

TEST(Hostile, StallsUntilItIsReleased) {
  HostileServer server;
  server.on("/head", stall_before_head(file({.body = "0123456789"})));
  server.on("/body", stall_after({.body = "0123456789"}, 3));
  const TemporaryDirectory directory;
  Process head({.arguments = {"/usr/bin/curl", "-sS", server.url("/head")}}, directory / "head");
  Process body({.arguments = {"/usr/bin/curl", "-sSN", server.url("/body")}}, directory / "body");
  ASSERT_TRUE(server.wait_for_stalled(2));
  EXPECT_TRUE(eventually([&] { return read_file(directory / "body") == "012"; }));
  EXPECT_EQ(read_file(directory / "head"), "");
  server.release();
  EXPECT_EQ(head.wait(std::chrono::seconds(10)), 0);
  EXPECT_EQ(body.wait(std::chrono::seconds(10)), 0);
  EXPECT_EQ(read_file(directory / "head"), "0123456789");
  EXPECT_EQ(read_file(directory / "body"), "0123456789");
}

TEST(Hostile, BreaksConnections) {
  HostileServer server;
  server.on("/f", first(1, reset_after({.body = "0123456789"}, 3), file({.body = "0123456789"})));
  server.on("/at-once", reset());
  EXPECT_EQ(curl({server.url("/at-once")}).exit_code, 56);
  EXPECT_NE(curl({server.url("/f")}).exit_code, 0);
  EXPECT_EQ(curl({server.url("/f")}).output, "0123456789");
}

TEST(Hostile, RedirectsAndAnswersAtWill) {
  HostileServer server;
  server.on("/from", redirect("/to"));
  server.on("/to", page("<a href=\"../up\">up</a>"));
  server.on("/busy", status(503, {{"Retry-After", "1"}}));
  EXPECT_THAT(curl({"-L", server.url("/from")}).output, HasSubstr("../up"));
  EXPECT_THAT(curl({"-i", server.url("/busy")}).output, HasSubstr("Retry-After: 1"));
  EXPECT_EQ(status_of({server.url("/other")}), "404");
}

TEST(Hostile, RecordsUploads) {
  HostileServer server;
  server.on("/up", for_method("PUT", status(201), status(405)));
  const TemporaryDirectory directory;
  const std::string body = random_bytes(3'000'000);
  write_file(directory / "body", body);
  EXPECT_EQ(status_of({"-T", directory / "body", server.url("/up")}), "201");
  EXPECT_EQ(
      status_of({"-H", "Transfer-Encoding: chunked", "-T", directory / "body", server.url("/up")}),
      "201");
  ASSERT_EQ(server.requests_for("/up", "PUT").size(), 2u);
  EXPECT_TRUE(server.requests()[0].body == body);
  EXPECT_TRUE(server.requests()[1].body == body);
}

std::chrono::milliseconds time_of(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

TEST(RelayLink, DelaysAndCounts) {
  HostileServer server;
  const std::string body = random_bytes(5'000'000);
  server.on("/f", file({.body = body}));
  Relay relay(server.port(), std::chrono::milliseconds(100));
  Outcome outcome;
  const auto duration = time_of([&] { outcome = curl({relay.url("/f")}); });
  EXPECT_TRUE(outcome.output == body);
  EXPECT_GE(duration.count(), 200);
  EXPECT_EQ(relay.connections(), 1);
  EXPECT_GT(relay.bytes_to_client(), body.size());
}

TEST(RelayLink, CutsRefusesAndRecovers) {
  HostileServer server;
  server.on("/f", file({.body = "0123456789"}));
  server.on("/slow", stall_after({.body = "0123456789"}, 3));
  Relay relay(server.port());
  const TemporaryDirectory directory;
  Process slow({.arguments = {"/usr/bin/curl", "-sSN", relay.url("/slow")}}, directory / "out");
  ASSERT_TRUE(server.wait_for_stalled(1));
  relay.cut();
  EXPECT_NE(slow.wait(std::chrono::seconds(10)).value_or(0), 0);
  EXPECT_EQ(curl({relay.url("/f")}).output, "0123456789");
  relay.refuse();
  EXPECT_EQ(curl({relay.url("/f")}).exit_code, 7);
  relay.recover();
  EXPECT_EQ(curl({relay.url("/f")}).output, "0123456789");
}

TEST(RelayLink, FreezesOldAndNewConnections) {
  HostileServer server;
  server.on("/f", file({.body = "0123456789"}));
  Relay relay(server.port());
  relay.freeze();
  EXPECT_EQ(curl({"-m", "1", relay.url("/f")}).exit_code, 28);
  const TemporaryDirectory directory;
  Process frozen({.arguments = {"/usr/bin/curl", "-sS", relay.url("/f")}}, directory / "out");
  ASSERT_TRUE(eventually([&] { return relay.connections() == 2; }));
  relay.recover();
  EXPECT_EQ(frozen.wait(std::chrono::seconds(10)), 0);
  EXPECT_EQ(read_file(directory / "out"), "0123456789");
}

}  // namespace
}  // namespace red::testing
