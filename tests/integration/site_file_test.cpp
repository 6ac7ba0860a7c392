// The site file and the environment, through the real executable. Its path is fixed, so that no
// user can put another one in its place: each call runs in a mount namespace of its own, with a
// directory of the test's own for /etc. That needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/servers/hostile_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SiteFile : public ::testing::Test {
 protected:
  SiteFile() {
    std::filesystem::create_directory(etc_);
    // What the C library looks for when a program starts.
    for (const char* name : {"ld.so.cache", "passwd", "group", "hosts", "nsswitch.conf"}) {
      const auto file = std::filesystem::path("/etc") / name;
      if (std::filesystem::exists(file)) std::filesystem::copy_file(file, etc_ / name);
    }
  }
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "a mount namespace needs root";
  }

  void set_site(const Json& site) { write_file(etc_ / "red-connector.json", site.dump()); }

  /// Runs a shell script with the connector as $0 and the arguments as $@.
  Outcome run_script(const std::string& script, const std::vector<std::string>& arguments) {
    Command command = connector_.command(arguments);
    const std::vector<std::string> wrapper{
        "/usr/bin/unshare",
        "--mount",
        "--propagation",
        "private",
        "/bin/sh",
        "-c",
        "mount --bind '" + etc_.string() + "' /etc && " + script};
    command.arguments.insert(command.arguments.begin(), wrapper.begin(), wrapper.end());
    return run(command);
  }
  Outcome call(const std::string& subcommand, const Json& access, const std::string& path = {}) {
    std::vector<std::string> arguments{subcommand, connector_.keep_json(access)};
    if (!path.empty()) arguments.push_back(path);
    return run_script("exec \"$0\" \"$@\"", arguments);
  }

  TemporaryDirectory directory_;
  const std::filesystem::path etc_ = directory_ / "etc";
  Connector connector_{"red-connector"};
};

TEST_F(SiteFile, MissingSaysNothing) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  EXPECT_THAT(call("receive-file-validate", {{"url", server.url("/file")}}), Succeeded());
}

// --- Mistakes ------------------------------------------------------------------------------------

TEST_F(SiteFile, MistakesAreReportedAllAtOnceByEverySubcommandThatTakesAccessData) {
  set_site({{"connection", 2}, {"cache", {{"dir", "relative"}, {"size", "lots"}}}, {"proxy", "p"}});
  for (const char* subcommand :
       {"receive-file-validate", "receive-dir-validate", "mount-dir-validate", "send-file-validate",
        "send-dir-validate", "receive-file", "receive-dir", "mount-dir", "send-file", "send-dir"}) {
    const bool takes_path = !std::string(subcommand).ends_with("-validate");
    const Outcome outcome =
        call(subcommand, {{"url", "http://127.0.0.1:1/"}}, takes_path ? directory_ / "path" : "");
    EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess)) << subcommand;
    EXPECT_THAT(outcome.errors,
                AllOf(HasSubstr("site file /etc/red-connector.json is invalid: 4 problems"),
                      HasSubstr("/connection: unknown key; did you mean \"connections\"?"),
                      HasSubstr("/cache/dir: must be an absolute path"),
                      HasSubstr("/cache/size: must be"), HasSubstr("/proxy: ")))
        << subcommand;
  }
}

TEST_F(SiteFile, ThatIsNoJsonIsAnError) {
  write_file(etc_ / "red-connector.json", "{\"connections\": 2");
  const Outcome outcome = call("receive-file-validate", {{"url", "http://127.0.0.1:1/"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors,
              AllOf(HasSubstr("site file /etc/red-connector.json"), HasSubstr("line 1")));
}

TEST_F(SiteFile, ThatCannotBeReadIsAnErrorAndNotAMissingOne) {
  std::filesystem::create_directory(etc_ / "red-connector.json");
  const Outcome outcome = call("receive-file-validate", {{"url", "http://127.0.0.1:1/"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(outcome.errors, HasSubstr("reading the site file: cannot read "
                                        "/etc/red-connector.json: Is a directory"));
}

TEST_F(SiteFile, DoesNotMatterToWhatTakesNoAccessData) {
  set_site({{"connection", 2}});
  for (const char* subcommand : {"cli-version", "mounts"}) {
    EXPECT_THAT(run_script("exec \"$0\" \"$@\"", {subcommand}), Succeeded()) << subcommand;
  }
  EXPECT_THAT(run_script("exec \"$0\" \"$@\"", {"schema", "mount-dir"}), Succeeded());
}

// --- Connections ---------------------------------------------------------------------------------

/// A directory of files that are answered after the server's release().
class SiteConnections : public SiteFile {
 protected:
  SiteConnections() {
    std::string index =
        "<html><head><title>Index of /</title></head><body><h1>Index of /</h1><pre>";
    for (int i = 0; i < kFiles; ++i) {
      const std::string name = "f" + std::to_string(i);
      index += "<a href=\"" + name + "\">" + name + "</a>\n";
      server_.on("/" + name, [](const Request&, Reply& reply) {
        reply.stall();
        reply.answer(200, "content");
      });
    }
    server_.on("/", page(index + "</pre></body></html>"));
  }

  /// How many connections the server saw.
  int connections_with(Json access) {
    access["url"] = server_.url("/");
    const int before = server_.connections();
    EXPECT_THAT(call("receive-dir", access, directory_ / "target"), Succeeded());
    EXPECT_EQ(names_in(directory_ / "target").size(), std::size_t{kFiles});
    return server_.connections() - before;
  }

  static constexpr int kFiles = 12;
  HostileServer server_;
};

TEST_F(SiteConnections, AreNotMoreThanTheSiteAllows) {
  const Json asks_for_many = {{"connections", 16}};
  auto without_site =
      std::async(std::launch::async, [&] { return connections_with(asks_for_many); });
  EXPECT_TRUE(server_.wait_for_stalled(3));
  server_.release();
  EXPECT_GE(without_site.get(), 3);

  set_site({{"connections", 2}});
  EXPECT_LE(connections_with(asks_for_many), 2);
  EXPECT_LE(connections_with(Json::object()), 2);
  EXPECT_EQ(connections_with({{"connections", 1}}), 1);
}

// --- Certificates and proxies --------------------------------------------------------------------

TEST_F(SiteFile, GivesTheCertificatesToTrustUnlessTheAccessDataDoes) {
  const NginxServer server({.tls = true});
  const NginxServer other({.tls = true});
  write_file(server.root() / "file", "content");
  const Json access = {{"url", server.url("/file")}};
  EXPECT_THAT(call("receive-file-validate", access), FailedWith(exit_code::kTls));
  set_site({{"caCertificate", server.authority()}});
  EXPECT_THAT(call("receive-file-validate", access), Succeeded());
  set_site({{"caCertificate", read_file(server.authority())}});
  EXPECT_THAT(call("receive-file-validate", access), Succeeded());

  set_site({{"caCertificate", other.authority()}});
  EXPECT_THAT(call("receive-file-validate", access), FailedWith(exit_code::kTls));
  Json own = access;
  own["caCertificate"] = server.authority();
  EXPECT_THAT(call("receive-file-validate", own), Succeeded());
}

TEST_F(SiteFile, GivesTheProxyUnlessTheAccessDataDoes) {
  HostileServer site_proxy, own_proxy, environment_proxy;
  for (HostileServer* proxy : {&site_proxy, &own_proxy, &environment_proxy}) {
    proxy->otherwise(file({.body = "content"}));
  }
  set_site({{"proxy", site_proxy.url("")}});
  connector_.set_environment("http_proxy", environment_proxy.url(""));
  const Json access = {{"url", "http://data.invalid/file"}};
  EXPECT_THAT(call("receive-file", access, directory_ / "file"), Succeeded());
  EXPECT_THAT(site_proxy.requests(), Not(IsEmpty()));
  EXPECT_THAT(environment_proxy.requests(), IsEmpty());

  site_proxy.forget_requests();
  Json own = access;
  own["proxy"] = own_proxy.url("");
  EXPECT_THAT(call("receive-file", own, directory_ / "file"), Succeeded());
  EXPECT_THAT(own_proxy.requests(), Not(IsEmpty()));
  EXPECT_THAT(site_proxy.requests(), IsEmpty());
}

TEST_F(SiteFile, ItsProxyIsNotForHostsThatNoProxyNames) {
  HostileServer proxy, server;
  proxy.otherwise(file({.body = "of the proxy"}));
  server.otherwise(file({.body = "of the server"}));
  set_site({{"proxy", proxy.url("")}});
  // The connector runs with no_proxy for loopback.
  EXPECT_THAT(call("receive-file", {{"url", server.url("/file")}}, directory_ / "file"),
              Succeeded());
  EXPECT_EQ(read_file(directory_ / "file"), "of the server");
  EXPECT_THAT(proxy.requests(), IsEmpty());
  // A proxy that the access data names is meant for its one host.
  EXPECT_THAT(call("receive-file", {{"url", server.url("/file")}, {"proxy", proxy.url("")}},
                   directory_ / "file"),
              Succeeded());
  EXPECT_EQ(read_file(directory_ / "file"), "of the proxy");
}

// --- Cache ---------------------------------------------------------------------------------------

class SiteCache : public SiteFile {
 protected:
  SiteCache() { write_tree(server_.root(), {{"directory/file", "content"}}); }

  /// Reads a file of a mount. Which of the directories the cache was put into; "" for none.
  std::string cache_of_mount(const Json& more = Json::object()) {
    Json access = {{"url", server_.url("/directory/")}};
    access.update(more);
    const std::string script =
        "\"$0\" mount-dir \"$1\" \"$2\" && cat \"$2/file\" && \"$0\" umount-dir \"$2\"";
    const Outcome outcome =
        run_script(script, {connector_.keep_json(access), directory_ / "mount"});
    EXPECT_THAT(outcome, Succeeded());
    EXPECT_EQ(outcome.output, "content");
    std::string used;
    for (const char* name : {"site", "environment", "own"}) {
      if (std::filesystem::exists(directory_ / name)) used += name;
      std::filesystem::remove_all(directory_ / name);
    }
    return used;
  }
  Json cache_in(const std::string& name) { return {{"cache", {{"dir", directory_ / name}}}}; }

  NginxServer server_;
};

TEST_F(SiteCache, DirectoryIsThatOfTheAccessDataThenTheEnvironmentThenTheSite) {
  EXPECT_EQ(cache_of_mount(), "");
  set_site(cache_in("site"));
  EXPECT_EQ(cache_of_mount(), "site");
  connector_.set_environment("RED_CONNECTOR_CACHE_DIR", directory_ / "environment");
  EXPECT_EQ(cache_of_mount(), "environment");
  EXPECT_EQ(cache_of_mount(cache_in("own")), "own");
}

TEST_F(SiteCache, IsOffWhereTheSiteSaysSo) {
  set_site({{"cache", false}});
  connector_.set_environment("RED_CONNECTOR_CACHE_DIR", directory_ / "environment");
  EXPECT_EQ(cache_of_mount(), "");
  EXPECT_EQ(cache_of_mount({{"cache", true}}), "");
  EXPECT_EQ(cache_of_mount(cache_in("own")), "");
}

}  // namespace
}  // namespace red::testing
