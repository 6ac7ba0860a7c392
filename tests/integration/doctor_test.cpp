// What `doctor` finds out about this machine and about servers of every kind, good and bad.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>

#include "tests/integration/connector.h"
#include "tests/integration/xnat_access.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/servers/ssh_access.h"
#include "tests/support/file_tree.h"
#include "tests/support/network.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

struct Row {
  std::string status;
  std::string finding;
};

/// The table by the names in its second column.
class Table {
 public:
  explicit Table(const std::string& output) {
    std::istringstream lines(output);
    std::string last;
    for (std::string line; std::getline(lines, line);) {
      if (line.size() < kWhat) continue;
      line.resize(std::max(line.size(), kFinding), ' ');
      if (line.front() == ' ') {
        rows_[last].finding += "\n" + line.substr(kFinding);
        continue;
      }
      last = trimmed(line.substr(kWhat, kFinding - kWhat));
      rows_[last] = {trimmed(line.substr(0, kWhat)), line.substr(kFinding)};
    }
  }

  Row operator[](const std::string& what) const {
    const auto found = rows_.find(what);
    return found == rows_.end() ? Row{"no such row", ""} : found->second;
  }
  bool has(const std::string& what) const { return rows_.contains(what); }

 private:
  static constexpr std::size_t kWhat = 9;
  static constexpr std::size_t kFinding = 27;

  static std::string trimmed(std::string text) {
    text.resize(text.find_last_not_of(' ') + 1);
    return text;
  }

  std::map<std::string, Row> rows_;
};

class Doctor : public ::testing::Test {
 protected:
  static constexpr const char* kSecret = "hunter2-is-secret";

  /// With access data; what it prints is kept for later.
  Table examine(const Json& access, const std::string& connector = "red-connector") {
    const Connector own(connector);
    outcome_ = own.call("doctor", access);
    EXPECT_FALSE(outcome_.timed_out);
    EXPECT_LT(outcome_.duration.count(), 60'000);
    EXPECT_THAT(outcome_.output + outcome_.errors, Not(HasSubstr(kSecret)));
    return Table(outcome_.output);
  }
  /// Behind shell commands that change mounts for it alone.
  Outcome run_in_mount_namespace(const std::vector<std::string>& arguments,
                                 const std::string& preparation) const {
    Command command = connector_.command(arguments);
    const std::vector<std::string> before{
        "/usr/bin/unshare", "-m", "/bin/sh", "-ec", preparation + "; exec \"$@\"", "sh"};
    command.arguments.insert(command.arguments.begin(), before.begin(), before.end());
    command.user.reset();
    return run(command);
  }
  bool succeeded() const { return outcome_.exit_code == 0 && outcome_.errors.empty(); }
  /// With a line that names the rows.
  void expect_not_ready(const std::string& row) const {
    EXPECT_EQ(outcome_.exit_code, exit_code::kNotReady) << outcome_.output << outcome_.errors;
    EXPECT_THAT(outcome_.errors, AllOf(HasSubstr("doctor: not all is well: "), HasSubstr(row)));
    EXPECT_EQ(lines_in(outcome_.errors), 1u);
  }

  Connector connector_;
  TemporaryDirectory directory_;
  Outcome outcome_;
};

constexpr const char* kHideDevice =
    "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9";

// --- The machine ---------------------------------------------------------------------------------

TEST_F(Doctor, FindsThisMachineFitForRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  outcome_ = connector_.run({"doctor"});
  const Table table(outcome_.output);
  for (const char* what : {"/dev/fuse", "capabilities", "fusermount3", "trial mount",
                           "user_allow_other", "CA store", "clock", "memory", "open files"}) {
    EXPECT_EQ(table[what].status, "ok") << what << ": " << table[what].finding;
  }
  EXPECT_FALSE(table.has("connection"));
  EXPECT_TRUE(succeeded()) << outcome_.errors;
}

TEST_F(Doctor, FindsThisMachineFitForAnOrdinaryUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  struct stat helper {};
  if (::stat("/usr/bin/fusermount3", &helper) != 0 || (helper.st_mode & S_ISUID) == 0) {
    GTEST_SKIP() << "needs fusermount3 (package fuse3)";
  }
  // A node that everybody may open stands in for the device.
  const std::string node = directory_ / "fuse";
  connector_.run_as(12345);
  outcome_ = run_in_mount_namespace(
      {"doctor"},
      "mknod -m 666 " + node + " c 10 229; mount --bind " + node +
          " /dev/fuse; set -- setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"");
  const Table table(outcome_.output);
  EXPECT_EQ(table["/dev/fuse"].status, "ok") << table["/dev/fuse"].finding;
  EXPECT_EQ(table["capabilities"].status, "note");
  EXPECT_EQ(table["fusermount3"].status, "ok") << table["fusermount3"].finding;
  EXPECT_EQ(table["trial mount"].status, "skipped");
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
}

TEST_F(Doctor, MissesADeviceThatIsNotThere) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to hide it";
  outcome_ = run_in_mount_namespace({"doctor"}, kHideDevice);
  const Table table(outcome_.output);
  EXPECT_EQ(table["/dev/fuse"].status, "MISSING") << outcome_.output << outcome_.errors;
  EXPECT_THAT(table["/dev/fuse"].finding, HasSubstr("--device /dev/fuse --cap-add SYS_ADMIN"));
  EXPECT_EQ(table["trial mount"].status, "skipped");
  expect_not_ready("/dev/fuse");
}

TEST_F(Doctor, HidesTheCredentialsOfProxies) {
  connector_.set_environment("https_proxy",
                             std::string("http://me:") + kSecret + "@proxy.invalid:3128");
  outcome_ = connector_.run({"doctor"});
  EXPECT_THAT(Table(outcome_.output)["proxies"].finding, HasSubstr("***@proxy.invalid:3128"));
  EXPECT_THAT(outcome_.output + outcome_.errors, Not(HasSubstr(kSecret)));
}

TEST_F(Doctor, LooksAtTheCacheDirectoryAndLeavesNothingThere) {
  const TemporaryDirectory cache;
  connector_.set_environment("RED_CONNECTOR_CACHE_DIR", cache.path());
  outcome_ = connector_.run({"doctor"});
  EXPECT_THAT(Table(outcome_.output)["cache directory"].finding,
              AllOf(HasSubstr(cache.path().string()), HasSubstr("free")));
  EXPECT_THAT(names_in(cache.path()), IsEmpty());
}

TEST_F(Doctor, ColoursAndWrapsOnATerminalOnly) {
  EXPECT_THAT(connector_.run({"doctor"}).output, Not(HasSubstr("\x1b")));
  connector_.set_environment("TERM", "xterm");
  const Outcome shown = run_on_terminal(connector_.command({"doctor"}), 60);
  EXPECT_THAT(shown.output, HasSubstr("\x1b[32mok"));
  connector_.set_environment("NO_COLOR", "1");
  const Outcome plain = run_on_terminal(connector_.command({"doctor"}), 60);
  EXPECT_THAT(plain.output, Not(HasSubstr("\x1b")));
  std::istringstream lines(plain.output);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 61u) << line;
}

// --- Access data ---------------------------------------------------------------------------------

TEST_F(Doctor, RefusesWrongAccessDataAsEverybodyDoes) {
  outcome_ = connector_.call("doctor", {{"url", "http://127.0.0.1:1/"}, {"methd", "GET"}});
  EXPECT_THAT(outcome_, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome_.errors, AllOf(HasSubstr("/methd"), HasSubstr("\"method\"")));
  EXPECT_THAT(connector_.run({"doctor", "/no/such/file"}), FailedWith(exit_code::kLocalIo));
}

TEST_F(Doctor, NamesTheProblemsOfTheClosestFit) {
  outcome_ = Connector("red-connector-ssh")
                 .call("doctor", {{"host", "h"},
                                  {"filePath", "a"},
                                  {"auth", {{"username", "u"}, {"pasword", "p"}}}});
  EXPECT_THAT(outcome_, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome_.errors, AllOf(HasSubstr("/auth/pasword"), Not(HasSubstr("dirPath"))));
}

// --- HTTP ----------------------------------------------------------------------------------------

TEST_F(Doctor, ExaminesADirectoryBehindTls) {
  const NginxServer server({.tls = true, .username = "ada", .password = kSecret});
  write_tree(server.root(), {{"large", random_bytes(3 << 20)}, {"sub/inner", "inner"}});
  const Table table = examine({{"url", server.url("/")},
                               {"caCertificate", server.authority()},
                               {"auth", {{"username", "ada"}, {"password", kSecret}}}});
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
  EXPECT_THAT(table["name resolution"].finding, HasSubstr("127.0.0.1 (IPv4)"));
  EXPECT_EQ(table["connection"].status, "ok");
  EXPECT_THAT(table["TLS"].finding,
              AllOf(HasSubstr("TLSv1."), HasSubstr("\"localhost\" issued by \"localhost\""),
                    HasSubstr("expires in"), HasSubstr("verified by caCertificate")));
  EXPECT_THAT(table["authentication"].finding,
              AllOf(HasSubstr("Basic as ada: accepted"), HasSubstr("offered: Basic")));
  EXPECT_THAT(table["server"].finding, HasSubstr("nginx"));
  EXPECT_EQ(table["server's clock"].status, "ok");
  EXPECT_THAT(table["path"].finding, HasSubstr("a directory, for mount-dir, receive-dir"));
  EXPECT_THAT(table["listing"].finding, HasSubstr("nginx index (HTML): 2 entries (1 file)"));
  EXPECT_THAT(table["ranges"].finding, HasSubstr("served"));
  EXPECT_THAT(table["round-trip time"].finding, HasSubstr("ms"));
  EXPECT_THAT(table["rate"].finding, AllOf(HasSubstr("/s"), HasSubstr("3.0 MiB in")));
}

TEST_F(Doctor, DoesNotTrustAStrangersCertificate) {
  const NginxServer server({.tls = true});
  const Table table = examine({{"url", server.url("/")}});
  EXPECT_EQ(table["TLS"].status, "FAILED");
  EXPECT_THAT(table["TLS"].finding,
              AllOf(HasSubstr("caCertificate"), HasSubstr("disableSSLVerification"),
                    HasSubstr("\"localhost\" issued by")));
  EXPECT_EQ(table["authentication"].status, "skipped");
  EXPECT_EQ(table["rate"].status, "skipped");
  expect_not_ready("TLS");

  const Table unverified = examine({{"url", server.url("/")}, {"disableSSLVerification", true}});
  EXPECT_EQ(unverified["TLS"].status, "note");
  EXPECT_THAT(unverified["TLS"].finding, HasSubstr("not verified"));
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
}

TEST_F(Doctor, NeedsNoMountForAFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to hide the device";
  const NginxServer server;
  write_file(server.root() / "file", random_bytes(5000));
  const std::string access = connector_.keep_json({{"url", server.url("/file")}});
  outcome_ = run_in_mount_namespace({"doctor", access}, kHideDevice);
  const Table table(outcome_.output);
  EXPECT_EQ(table["/dev/fuse"].status, "MISSING");
  EXPECT_THAT(table["path"].finding, HasSubstr("a file of 4.9 KiB, for receive-file"));
  EXPECT_FALSE(table.has("listing"));
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
}

TEST_F(Doctor, ServesEveryConnector) {
  const NginxServer server;
  write_file(server.root() / "file", "{}");
  const Json access = {{"url", server.url("/file")}};
  EXPECT_THAT(examine(access, "red-connector-http-json")["path"].finding,
              HasSubstr("a file of 2 B, for receive-file, send-file"));
  Json archive = access;
  archive["archiveFormat"] = "zip";
  EXPECT_THAT(examine(archive, "red-connector-http-archive")["path"].finding,
              HasSubstr("a file of 2 B, for receive-dir"));
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
  EXPECT_EQ(examine(access, "red-connector-http-mock-send")["ranges"].status, "ok");
}

TEST_F(Doctor, TellsARefusedConnection) {
  const ReservedPort port;
  const Table table = examine({{"url", "http://127.0.0.1:" + std::to_string(port.number()) + "/"}});
  EXPECT_EQ(table["name resolution"].status, "ok");
  EXPECT_EQ(table["connection"].status, "FAILED");
  EXPECT_THAT(table["connection"].finding, HasSubstr("Connection refused"));
  EXPECT_EQ(table["path"].status, "skipped");
  expect_not_ready("connection");
}

TEST_F(Doctor, TellsAnUnknownHost) {
  for (const Json& access : {Json{{"url", "https://no-such-host.invalid/"}},
                             Json{{"host", "no-such-host.invalid"},
                                  {"dirPath", "."},
                                  {"auth", {{"username", "u"}, {"password", kSecret}}}}}) {
    const Table table = examine(access);
    EXPECT_EQ(table["name resolution"].status, "FAILED") << outcome_.output;
    EXPECT_THAT(table["name resolution"].finding, HasSubstr("/etc/resolv.conf"));
    EXPECT_EQ(table["connection"].status, "skipped");
    expect_not_ready("name resolution");
  }
}

TEST_F(Doctor, TellsCredentialsThatAreRefused) {
  const ApacheServer server({.authentication = ApacheOptions::Authentication::Digest,
                             .username = "ada",
                             .password = "right"});
  const Table table =
      examine({{"url", server.url("/")}, {"auth", {{"username", "ada"}, {"password", kSecret}}}});
  EXPECT_EQ(table["authentication"].status, "FAILED");
  EXPECT_THAT(table["authentication"].finding,
              AllOf(HasSubstr("HTTP 401"), HasSubstr("offered: Digest")));
  expect_not_ready("authentication");
}

TEST_F(Doctor, TellsAMissingPath) {
  const NginxServer server;
  const Table table = examine({{"url", server.url("/missing")}});
  EXPECT_EQ(table["authentication"].status, "ok");
  EXPECT_EQ(table["path"].status, "FAILED");
  EXPECT_THAT(table["path"].finding, HasSubstr("404"));
  EXPECT_EQ(table["listing"].status, "skipped");
  expect_not_ready("path");
}

TEST_F(Doctor, TakesAMissingPathForATarget) {
  const NginxServer server;
  const Table table = examine({{"url", server.url("/missing")}, {"method", "PUT"}});
  EXPECT_EQ(table["path"].status, "note");
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
}

TEST_F(Doctor, TellsADirectoryThatIsNotListed) {
  const NginxServer server({.autoindex = false});
  std::filesystem::create_directory(server.root() / "directory");
  const Table table = examine({{"url", server.url("/directory/")}});
  EXPECT_EQ(table["listing"].status, "FAILED");
  EXPECT_THAT(table["listing"].finding, AllOf(HasSubstr("HTTP 403"), HasSubstr("--listing")));
  EXPECT_EQ(table["round-trip time"].status, "ok");
  expect_not_ready("listing");
}

TEST_F(Doctor, NotesAServerWithoutRangesAndAClockThatDiffers) {
  HostileServer server;
  server.on("/file", [](const Request&, Reply& reply) {
    reply.answer(200, std::string(100'000, 'x'), {{"Date", "Mon, 01 Jan 2001 00:00:00 GMT"}});
  });
  const Table table = examine({{"url", server.url("/file")}});
  EXPECT_EQ(table["ranges"].status, "note");
  EXPECT_THAT(table["ranges"].finding, HasSubstr("not served"));
  EXPECT_EQ(table["server's clock"].status, "note");
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
}

TEST_F(Doctor, NotesARedirectToAnotherHost) {
  HostileServer server;
  HostileServer other;
  server.on("/file", redirect("http://localhost:" + std::to_string(other.port()) + "/elsewhere"));
  other.on("/elsewhere", file({.body = "content"}));
  const Table table = examine({{"url", server.url("/file")}});
  EXPECT_THAT(table["redirect"].finding, AllOf(HasSubstr("/elsewhere"), HasSubstr("another host")));
}

TEST_F(Doctor, NeverPostsNorPutsNorDeletes) {
  HostileServer server;
  server.on("/file", file({.body = std::string(10'000, 'x')}));
  for (const char* method : {"GET", "PUT", "POST"}) {
    examine({{"url", server.url("/file")}, {"method", method}});
  }
  EXPECT_GE(server.requests().size(), 20u);
  for (const Request& request : server.requests()) {
    EXPECT_THAT(request.method, ::testing::AnyOf("GET", "HEAD", "OPTIONS", "PROPFIND"));
  }
}

TEST_F(Doctor, EndsInTimeAtAServerThatSaysNothing) {
  HostileServer server;
  server.otherwise(stall_before_head(status(200)));
  const Table table = examine({{"url", server.url("/file")}});
  EXPECT_EQ(table["connection"].status, "ok");
  EXPECT_EQ(table["authentication"].status, "FAILED");
  EXPECT_LT(outcome_.duration.count(), 25'000);
  expect_not_ready("authentication");
}

TEST_F(Doctor, EndsAtOnceWhenItIsInterrupted) {
  HostileServer server;
  server.otherwise(stall_before_head(status(200)));
  const TemporaryDirectory directory;
  const std::string access = connector_.keep_json({{"url", server.url("/file")}});
  Process doctor(connector_.command({"doctor", access}), directory / "log");
  ASSERT_TRUE(server.wait_for_stalled(1));
  doctor.signal(SIGINT);
  EXPECT_EQ(doctor.wait(std::chrono::seconds(5)), 130);
}

TEST_F(Doctor, ShowsTheProxyThatIsUsed) {
  HostileServer proxy;
  const std::string url = "http://somewhere.invalid/file";
  proxy.otherwise(file({.body = "content"}));
  const Table table = examine({{"url", url},
                               {"proxy", "http://me:" + std::string(kSecret) +
                                             "@127.0.0.1:" + std::to_string(proxy.port())}});
  EXPECT_THAT(table["proxy"].finding, HasSubstr("http://***@127.0.0.1:"));
  EXPECT_THAT(table["name resolution"].finding, HasSubstr("127.0.0.1"));
  EXPECT_EQ(table["connection"].status, "ok") << outcome_.output;
  EXPECT_EQ(table["authentication"].status, "ok") << outcome_.output;
}

// --- SFTP ----------------------------------------------------------------------------------------

TEST_F(Doctor, ExaminesAnSshServer) {
  const OpenSshServer server;
  write_tree(server.root(), {{"large", random_bytes(2 << 20)}, {"sub/inner", "inner"}});
  server.own_root();
  Json access = access_to(server, "dirPath", server.path_of(""));
  const Table table = examine(access);
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
  EXPECT_EQ(table["connection"].status, "ok");
  EXPECT_EQ(table["host key"].status, "note");
  EXPECT_THAT(table["host key"].finding,
              AllOf(HasSubstr(server.fingerprint()), HasSubstr("\"hostKey\"")));
  EXPECT_THAT(table["authentication"].finding,
              AllOf(HasSubstr("publickey"), HasSubstr("as " + server.user())));
  EXPECT_THAT(table["server"].finding,
              AllOf(HasSubstr("OpenSSH"), HasSubstr("posix-rename"), HasSubstr("KiB")));
  EXPECT_THAT(table["listing"].finding, HasSubstr("SFTP: 2 entries"));
  EXPECT_THAT(table["ranges"].finding, HasSubstr("served"));
  EXPECT_THAT(table["rate"].finding, HasSubstr("2.0 MiB in"));

  access["hostKey"] = server.fingerprint();
  EXPECT_EQ(examine(access)["host key"].status, "ok");
}

TEST_F(Doctor, TellsAnotherHostKey) {
  const OpenSshServer server;
  const OpenSshServer other;
  Json access = access_to(server, "dirPath", ".");
  access["hostKey"] = other.fingerprint();
  const Table table = examine(access);
  EXPECT_EQ(table["connection"].status, "ok");
  EXPECT_EQ(table["host key"].status, "FAILED");
  EXPECT_THAT(table["host key"].finding,
              AllOf(HasSubstr(server.fingerprint()), HasSubstr(other.fingerprint())));
  EXPECT_EQ(table["authentication"].status, "skipped");
  expect_not_ready("host key");
}

TEST_F(Doctor, TellsAPasswordThatAnSshServerRefuses) {
  const OpenSshServer server;
  Json access = access_to(server, "filePath", "file");
  access["auth"] = {{"username", server.user()}, {"password", kSecret}};
  const Table table = examine(access);
  EXPECT_EQ(table["host key"].status, "note");
  EXPECT_EQ(table["authentication"].status, "FAILED");
  EXPECT_EQ(table["server"].status, "skipped");
  expect_not_ready("authentication");
}

TEST_F(Doctor, TellsAMissingFileOfAnSshServer) {
  const OpenSshServer server;
  const Table table = examine(access_to(server, "filePath", "missing"));
  EXPECT_EQ(table["path"].status, "FAILED");
  EXPECT_THAT(table["path"].finding, HasSubstr("does not exist"));
  EXPECT_EQ(table["round-trip time"].status, "ok");
  expect_not_ready("path");
}

TEST_F(Doctor, EndsInTimeAtAnSshServerThatSaysNothing) {
  const OpenSshServer server;
  Relay relay(server.port());
  relay.freeze();
  Json access = access_to(server, "dirPath", ".");
  access["port"] = relay.port();
  const Table table = examine(access);
  EXPECT_EQ(table["connection"].status, "ok");
  EXPECT_EQ(table["host key"].status, "FAILED");
  EXPECT_LT(outcome_.duration.count(), 30'000);
  expect_not_ready("host key");
}

// --- XNAT ----------------------------------------------------------------------------------------

TEST_F(Doctor, ExaminesAnXnatSiteAndLogsOut) {
  XnatServer server;
  server.add_file("projects/P/resources/R", "large", random_bytes(2 << 20));
  const Table table = examine(access_to(server, {{"project", "P"}, {"resource", "R"}}));
  EXPECT_TRUE(succeeded()) << outcome_.output << outcome_.errors;
  EXPECT_THAT(table["authentication"].finding, HasSubstr("logged in as admin"));
  EXPECT_THAT(table["server"].finding, AllOf(HasSubstr("XNAT 1.8"), HasSubstr("tar archives")));
  EXPECT_THAT(table["listing"].finding, HasSubstr("1 entry (1 file)"));
  EXPECT_EQ(table["ranges"].status, "ok");
  EXPECT_EQ(server.counters().live_sessions, 0);
  EXPECT_EQ(server.counters().logins, 1);
}

TEST_F(Doctor, TellsAPasswordThatXnatRefuses) {
  XnatServer server;
  const Table table = examine(access_as(server, "admin", kSecret, {{"project", "P"}}));
  EXPECT_EQ(table["authentication"].status, "FAILED");
  EXPECT_THAT(table["authentication"].finding, HasSubstr("HTTP 401"));
  EXPECT_EQ(server.counters().failed_logins, 1);
  expect_not_ready("authentication");
}

TEST_F(Doctor, TellsWhatXnatDoesNotHave) {
  XnatServer server;
  server.add("projects/P");
  const Table table = examine(access_to(server, {{"project", "P"}, {"subject", "NOBODY"}}));
  EXPECT_EQ(table["path"].status, "FAILED");
  EXPECT_THAT(table["path"].finding, HasSubstr("NOBODY"));
  expect_not_ready("path");
}

}  // namespace
}  // namespace red::testing
