// receive-dir: discovering trees on every kind of server, listings, and pages that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <set>
#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/servers/server_kinds.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReceiveDir : public ::testing::Test {
 protected:
  Outcome receive(const std::string& url) {
    return connector_.call("receive-dir", {{"url", url}}, {target_});
  }
  Outcome receive(const std::string& url, const std::string& listing) {
    const std::string file = connector_.keep_json(Json::parse(listing));
    return connector_.call("receive-dir", {{"url", url}}, {target_, "--listing", file});
  }
  FileTree received() const { return read_tree(target_); }

  Connector connector_;
  TemporaryDirectory directory_;
  std::filesystem::path target_ = directory_ / "target";
};

class ReceiveDirFrom : public ReceiveDir, public ::testing::WithParamInterface<ServerKind> {
 protected:
  std::unique_ptr<ServerProcess> server_ = GetParam().make();
};

TEST_P(ReceiveDirFrom, KeepsEveryNameAndByte) {
  FileTree tree = nasty_tree(nasty_names());
  write_tree(server_->root(), tree);
  EXPECT_THAT(receive(server_->url()), Succeeded()) << server_->log();
  EXPECT_EQ(differences(received(), tree), "");
}

TEST_P(ReceiveDirFrom, KeepsNamesWithALeadingDotWhereTheServerShowsThem) {
  if (!GetParam().lists_dot_names) GTEST_SKIP() << "this server hides them from its index";
  const FileTree tree = nasty_tree(dot_names());
  write_tree(server_->root(), tree);
  EXPECT_THAT(receive(server_->url()), Succeeded()) << server_->log();
  EXPECT_EQ(differences(received(), tree), "");
}

TEST_P(ReceiveDirFrom, KeepsNamesWithALeadingDotThatAListingNames) {
  write_tree(server_->root(), {{".hidden", "content"}});
  EXPECT_THAT(receive(server_->url(), R"([{"class": "File", "basename": ".hidden"}])"), Succeeded())
      << server_->log();
  EXPECT_EQ(differences(received(), {{".hidden", "content"}}), "");
}

TEST_P(ReceiveDirFrom, StartsAnywhereInTheTreeWithOrWithoutATrailingSlash) {
  write_tree(server_->root(), {{"outside", "x"},
                               {"a b#c/one/two/deep.txt", "deep"},
                               {"a b#c/empty/", ""},
                               {"a b#c/zero", ""}});
  const FileTree tree = {{"one/two/deep.txt", "deep"}, {"empty/", ""}, {"zero", ""}};
  for (const char* path : {"/a%20b%23c/", "/a%20b%23c"}) {
    std::filesystem::remove_all(target_);
    EXPECT_THAT(receive(server_->url(path)), Succeeded()) << server_->log();
    EXPECT_EQ(differences(received(), tree), "") << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, ReceiveDirFrom, ::testing::ValuesIn(server_kinds()),
                         kNameOfServerKind);

TEST_F(ReceiveDir, MakesTheTargetButNotItsParent) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  EXPECT_THAT(receive(server.url()), Succeeded());
  target_ = directory_ / "no/parent";
  EXPECT_THAT(receive(server.url()), FailedWith(exit_code::kLocalIo));
}

TEST_F(ReceiveDir, TakesAnEmptyDirectoryThatIsThere) {
  const NginxServer server;
  std::filesystem::create_directory(target_);
  EXPECT_THAT(receive(server.url()), Succeeded());
  EXPECT_THAT(names_in(target_), IsEmpty());
}

TEST_F(ReceiveDir, ReplacesFilesOfTheSameNameAndLeavesOthers) {
  const NginxServer server;
  write_tree(server.root(), {{"same", "new"}, {"sub/same", "new"}});
  write_tree(target_, {{"same", "old and longer"}, {"other", "mine"}, {"sub/other", "mine"}});
  EXPECT_THAT(receive(server.url()), Succeeded());
  EXPECT_EQ(
      differences(received(),
                  {{"same", "new"}, {"sub/same", "new"}, {"other", "mine"}, {"sub/other", "mine"}}),
      "");
}

TEST_F(ReceiveDir, MissesADirectoryThatIsNotThere) {
  const NginxServer server;
  const Outcome outcome = receive(server.url("/missing/"));
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("HTTP 404"));
}

TEST_F(ReceiveDir, SaysWhenWhatIsThereIsNoDirectory) {
  const NginxServer server;
  write_tree(server.root(), {{"file", "content"}, {"page.html", "<p>no index</p>"}});
  EXPECT_THAT(receive(server.url("/file")), Failed());
  EXPECT_THAT(receive(server.url("/page.html")), Failed());
}

TEST_F(ReceiveDir, TakesManySmallFilesOverFewHttp2Connections) {
  const NginxServer server({.autoindex_format = "json", .tls = true, .http2 = true});
  FileTree tree;
  for (int i = 0; i < 400; ++i) tree["file-" + std::to_string(i)] = "content " + std::to_string(i);
  write_tree(server.root(), tree);
  EXPECT_THAT(
      connector_.call("receive-dir", {{"url", server.url()}, {"caCertificate", server.authority()}},
                      {target_}),
      Succeeded());
  EXPECT_EQ(differences(received(), tree), "");
  std::set<std::string> connections;
  for (const LoggedRequest& request : server.requests()) {
    EXPECT_EQ(request.protocol, "HTTP/2.0") << request.method << " " << request.target;
    connections.insert(request.connection);
  }
  EXPECT_LE(connections.size(), 8u);
}

TEST_F(ReceiveDir, TakesThousandsOfSmallFilesQuickly) {
  const NginxServer server;
  FileTree tree;
  for (int i = 0; i < 3000; ++i) {
    tree["dir-" + std::to_string(i % 30) + "/file-" + std::to_string(i)] = std::to_string(i);
  }
  write_tree(server.root(), tree);
  const Outcome outcome = receive(server.url());
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(received(), tree), "");
  EXPECT_LT(outcome.duration.count(), 20'000);
}

TEST_F(ReceiveDir, AsksAGentleServerAgain) {
  const NginxServer server({.requests_per_second = 20});
  FileTree tree;
  for (int i = 0; i < 60; ++i) tree["file-" + std::to_string(i)] = std::to_string(i);
  write_tree(server.root(), tree);
  const Outcome outcome = receive(server.url());
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(received(), tree), "");
}

// --- Listings
// -------------------------------------------------------------------------------------

// SHA-1 of "content".
constexpr const char* kSha1OfContent = "040f06fd774092478d450774f5ba30c5da78acc8";

TEST_F(ReceiveDir, TransfersExactlyWhatTheListingNames) {
  HostileServer server;
  server.on("/data/a%20b", file({.body = "content"}));
  server.on("/data/sub/c", file({.body = "inner"}));
  server.on("/data/more", file({.body = "not named"}));
  EXPECT_THAT(receive(server.url("/data"), R"([
      {"class": "File", "basename": "a b", "size": 7,
       "checksum": "sha1$040f06fd774092478d450774f5ba30c5da78acc8"},
      {"class": "Directory", "basename": "sub", "listing": [{"class": "File", "basename": "c"}]},
      {"class": "Directory", "basename": "empty"}])"),
              Succeeded());
  EXPECT_EQ(differences(received(), {{"a b", "content"}, {"sub/c", "inner"}, {"empty/", ""}}), "");
  EXPECT_THAT(server.requests_for("/data/more"), IsEmpty());
  EXPECT_THAT(server.requests_for("/data/"), IsEmpty()) << "no index is needed";
}

TEST_F(ReceiveDir, ChecksTheSizesOfTheListing) {
  const NginxServer server;
  write_tree(server.root(), {{"good", "content"}, {"bad", "content"}});
  const Outcome outcome = receive(server.url(), R"([
      {"class": "File", "basename": "good", "size": 7},
      {"class": "File", "basename": "bad", "size": 8}])");
  EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(outcome.errors, HasSubstr("bad"));
  EXPECT_FALSE(std::filesystem::exists(target_ / "bad"));
}

TEST_F(ReceiveDir, ChecksTheChecksumsOfTheListing) {
  const NginxServer server;
  write_tree(server.root(), {{"file", "CONTENT"}});
  const std::string listing = R"([{"class": "File", "basename": "file", "checksum": "sha1$)" +
                              std::string(kSha1OfContent) + "\"}]";
  const Outcome outcome = receive(server.url(), listing);
  EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(outcome.errors, HasSubstr("file"));
  EXPECT_FALSE(std::filesystem::exists(target_ / "file"));
  write_file(server.root() / "file", "content");
  EXPECT_THAT(receive(server.url(), listing), Succeeded());
}

TEST_F(ReceiveDir, MissesAFileOfTheListing) {
  const NginxServer server;
  const Outcome outcome = receive(server.url(), R"([{"class": "File", "basename": "missing"}])");
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("missing"));
}

TEST_F(ReceiveDir, NeverLeavesTheTargetWhateverTheListingSays) {
  HostileServer server;
  server.otherwise(file({.body = "content"}));
  for (const char* name : {"..", "../outside", "/etc/outside", ".", ""}) {
    EXPECT_THAT(receive(server.url(),
                        "[{\"class\": \"File\", \"basename\": \"" + std::string(name) + "\"}]"),
                FailedWith(exit_code::kInvalidAccess))
        << name;
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "outside"));
  EXPECT_EQ(server.connections(), 0);
}

// --- Servers that lie or break
// --------------------------------------------------------------------

TEST_F(ReceiveDir, BelievesNoLinkThatLeadsOutOfTheDirectory) {
  HostileServer server;
  server.on("/data/", page(R"html(<html><head><title>Index of /data/</title></head><body>
      <a href="?C=N;O=D">Name</a> <a href="?C=S&amp;O=A">Size</a>
      <a href="../">../</a> <a href="/">root</a> <a href="/data">self</a> <a href="/data/">self</a>
      <a href="./">self</a> <a href="../up">up</a> <a href="../../up">up</a>
      <a href="/etc/passwd">absolute</a> <a href="/data2/sibling">sibling</a>
      <a href="http://127.0.0.1:1/data/other">other host</a> <a href="//127.0.0.1:1/x">other</a>
      <a href="%2e%2e/up">up</a> <a href="..%2fup">up</a> <a href="%2e%2e%2fup">up</a>
      <a href="%2e%2e">dots</a> <a href="%2e">dot</a> <a href="a%00b">nul</a>
      <a href="sub%2fslash">slash</a> <a href="/data/%2fetc%2fpasswd">slash</a>
      <a href="mailto:a@b">mail</a> <a href="javascript:alert(1)">script</a> <a href="#top">top</a>
      <a href="file:///etc/passwd">file</a> <a href="deep/er">deeper</a> <a href="">empty</a>
      <a href="good.txt">good.txt</a> <a href="/data/also%20good">also good</a>
      </body></html>)html"));
  server.on("/data/good.txt", file({.body = "good"}));
  server.on("/data/also%20good", file({.body = "good too"}));
  server.otherwise(file({.body = "must not be asked for"}));
  EXPECT_THAT(receive(server.url("/data/")), Succeeded());
  EXPECT_EQ(differences(received(), {{"good.txt", "good"}, {"also good", "good too"}}), "");
  EXPECT_THAT(names_in(directory_.path()), ElementsAre("target"));
}

TEST_F(ReceiveDir, EndsOnATreeWithoutEnd) {
  HostileServer server;
  server.otherwise([](const Request& request, Reply& reply) {
    page("<title>Index of " + request.target + "</title><a href=\"a/\">a/</a>")(request, reply);
  });
  const Outcome outcome = receive(server.url("/data/"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 30'000);
}

TEST_F(ReceiveDir, EndsOnAnIndexWithoutEnd) {
  HostileServer server;
  server.on("/data/", endless_body());
  const Outcome outcome = receive(server.url("/data/"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.max_resident_kib, 1'000'000);
}

TEST_F(ReceiveDir, LeavesOnlyWholeFilesAfterAFailure) {
  HostileServer server;
  const std::string body = random_bytes(200'000);
  server.on("/data/", page(R"(<title>Index of /data/</title><a href="a">a</a>
      <a href="broken">broken</a> <a href="c">c</a>)"));
  server.on("/data/a", file({.body = body}));
  server.on("/data/c", file({.body = body}));
  server.on("/data/broken", for_method("HEAD", file({.body = body}),
                                       truncated({.body = body, .ranges = false}, 100'000)));
  const Outcome outcome = receive(server.url("/data/"));
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("broken"));
  // What it made for nothing is gone.
  const FileTree left = std::filesystem::exists(target_) ? received() : FileTree{};
  for (const auto& [name, content] : left) {
    EXPECT_TRUE(name == "a" || name == "c") << name;
    EXPECT_TRUE(content == body) << name;
  }
}

TEST_F(ReceiveDir, LeavesOnlyWholeFilesWhenItIsInterrupted) {
  HostileServer server;
  server.on("/data/", page(R"(<title>Index of /data/</title><a href="a">a</a>
      <a href="slow">slow</a>)"));
  server.on("/data/a", file({.body = "whole"}));
  server.on("/data/slow", stall_after({.body = random_bytes(200'000)}, 100'000));
  const std::string access = connector_.keep_json({{"url", server.url("/data/")}});
  Process process(connector_.command({"receive-dir", access, target_}), directory_ / "log");
  ASSERT_TRUE(server.wait_for_stalled(1));
  // A directory in which nothing has arrived goes away.
  ASSERT_TRUE(eventually([this] { return std::filesystem::exists(target_ / "a"); }));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.wait(std::chrono::seconds(5)));
  const FileTree left = received();
  for (const auto& [name, content] : left) {
    EXPECT_EQ(name, "a");
    EXPECT_EQ(content, "whole");
  }
}

TEST_F(ReceiveDir, FollowsRedirectedDirectoriesAndFiles) {
  HostileServer server;
  server.on("/old", redirect("/new/", 301));
  server.on("/old/", redirect("/new/", 301));
  server.on("/new/", page(R"(<title>Index of /new/</title><a href="file">file</a>)"));
  server.on("/new/file", redirect("/store/4711"));
  server.on("/store/4711", file({.body = "content"}));
  EXPECT_THAT(receive(server.url("/old")), Succeeded());
  EXPECT_EQ(differences(received(), {{"file", "content"}}), "");
}

}  // namespace
}  // namespace red::testing
