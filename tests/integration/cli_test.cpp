// The command line: subcommands, argument orders, exit codes, what goes to which stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

const std::vector<std::string> kNames = {"red-connector",
                                         "red-connector-http",
                                         "red-connector-http-json",
                                         "red-connector-http-archive",
                                         "red-connector-http-mock-send",
                                         "red-connector-ssh",
                                         "red-connector-xnat-http"};

TEST(Cli, VersionOfTheInterfaceIsOneForEveryName) {
  for (const std::string& name : kNames) {
    const Outcome outcome = Connector(name).run({"cli-version"});
    EXPECT_THAT(outcome, Succeeded()) << name;
    EXPECT_EQ(outcome.output, "1\n") << name;
    EXPECT_THAT(outcome.errors, IsEmpty()) << name;
  }
}

TEST(Cli, TellsItsOwnVersion) {
  const Outcome outcome = Connector().run({"--version"});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.output, MatchesRegex("[^\n]*[0-9]+\\.[0-9]+[^\n]*\n"));
}

TEST(Cli, HelpTeachesWithExamples) {
  const Connector connector;
  const Outcome outcome = connector.run({"--help"});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.errors, IsEmpty());
  for (const char* subcommand :
       {"receive-file", "receive-dir", "mount-dir", "umount-dir", "send-file", "send-dir",
        "receive-file-validate", "cli-version", "mounts"}) {
    EXPECT_THAT(outcome.output, HasSubstr(subcommand));
  }
  EXPECT_THAT(outcome.output,
              ::testing::ContainsRegex("red-connector[a-z-]* [a-z]+-[a-z]+ [a-z./]+json"));
}

TEST(Cli, EverySubcommandHasHelp) {
  const Connector connector;
  for (const char* subcommand :
       {"receive-file", "receive-file-validate", "receive-dir", "receive-dir-validate", "mount-dir",
        "mount-dir-validate", "umount-dir", "send-file", "send-file-validate", "send-dir",
        "send-dir-validate", "cli-version", "mounts"}) {
    const Outcome outcome = connector.run({subcommand, "--help"});
    EXPECT_THAT(outcome, Succeeded()) << subcommand;
    EXPECT_THAT(outcome.output, HasSubstr(subcommand));
  }
}

TEST(Cli, WrongCommandLinesAreUsageErrors) {
  const Connector connector;
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"no-such-subcommand"},
      {"receive-file"},
      {"receive-file", "access.json"},
      {"receive-file", "access.json", "target", "too", "many"},
      {"receive-file", "--no-such-option", "access.json", "target"},
      {"umount-dir"},
      {"receive"},
  };
  for (const auto& arguments : wrong) {
    EXPECT_THAT(connector.run(arguments), FailedWith(exit_code::kUsage))
        << ::testing::PrintToString(arguments);
  }
}

TEST(Cli, AMissingAccessFileIsNamed) {
  const Outcome outcome = Connector().run({"receive-file", "/no/such/access.json", "/tmp/x"});
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("/no/such/access.json"));
}

class ListingArgument : public ::testing::Test {
 protected:
  ListingArgument() {
    write_tree(server_.root(), {{"wanted.txt", "wanted"}, {"other.txt", "other"}});
    access_ = connector_.keep_json({{"url", server_.url()}});
    listing_ =
        connector_.keep_json(Json::parse(R"([{"class": "File", "basename": "wanted.txt"}])"));
  }

  void expect_only_wanted_from(const std::vector<std::string>& arguments) {
    std::filesystem::remove_all(target_);
    EXPECT_THAT(connector_.run(arguments), Succeeded()) << ::testing::PrintToString(arguments);
    EXPECT_EQ(differences(read_tree(target_), {{"wanted.txt", "wanted"}}), "");
  }

  NginxServer server_;
  Connector connector_;
  TemporaryDirectory directory_;
  std::string access_;
  std::string listing_;
  std::filesystem::path target_ = directory_ / "target";
};

TEST_F(ListingArgument, MayStandAnywhere) {
  expect_only_wanted_from({"receive-dir", access_, target_, "--listing", listing_});
  expect_only_wanted_from({"receive-dir", "--listing", listing_, access_, target_});
  expect_only_wanted_from({"--listing", listing_, "receive-dir", access_, target_});
  expect_only_wanted_from({"receive-dir", access_, "--listing", listing_, target_});
  expect_only_wanted_from({"receive-dir", access_, target_, "--listing=" + listing_});
  expect_only_wanted_from({"--listing=" + listing_, "receive-dir", access_, target_});
}

TEST_F(ListingArgument, IsTakenByEveryValidationOfADirectory) {
  for (const char* subcommand : {"receive-dir-validate", "send-dir-validate"}) {
    EXPECT_THAT(connector_.run({subcommand, access_, "--listing", listing_}), Succeeded());
    EXPECT_THAT(connector_.run({subcommand, "--listing", listing_, access_}), Succeeded());
    EXPECT_THAT(connector_.run({"--listing", listing_, subcommand, access_}), Succeeded());
  }
}

TEST(Cli, ErrorsAreOneLineOnStderrWithTheStatus) {
  const NginxServer server;
  const TemporaryDirectory directory;
  const Outcome outcome =
      Connector().call("receive-file", {{"url", server.url("/missing")}}, {directory / "target"});
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_EQ(lines_in(outcome.errors), 1u);
  EXPECT_THAT(outcome.errors, HasSubstr("HTTP 404"));
  EXPECT_THAT(outcome.errors, HasSubstr("/missing"));
}

TEST(Cli, ExitCodesTellTheKindsApart) {
  HostileServer server;
  server.on("/401", status(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
  server.on("/403", status(403));
  server.on("/404", status(404));
  server.on("/410", status(410));
  server.on("/500", status(500));
  server.on("/503", status(503));
  const Connector connector;
  const TemporaryDirectory directory;
  const auto exit_code_for = [&](const std::string& path) {
    const Outcome outcome =
        connector.call("receive-file", {{"url", server.url(path)}}, {directory / "target"});
    if (path != "/") {
      EXPECT_THAT(outcome.errors, HasSubstr("HTTP " + path.substr(1)));
    }
    return outcome.exit_code;
  };
  EXPECT_EQ(exit_code_for("/401"), exit_code::kAuthentication);
  EXPECT_EQ(exit_code_for("/403"), exit_code::kPermissionDenied);
  EXPECT_EQ(exit_code_for("/404"), exit_code::kNotFound);
  EXPECT_EQ(exit_code_for("/410"), exit_code::kNotFound);
  EXPECT_EQ(exit_code_for("/500"), exit_code::kRemote);
  EXPECT_EQ(exit_code_for("/503"), exit_code::kUnavailable);
}

TEST(Cli, SuccessIsSilentWithoutATerminal) {
  const NginxServer server;
  write_tree(server.root(), {{"a", std::string(1'000'000, 'a')}, {"b", "b"}});
  const TemporaryDirectory directory;
  const Connector connector;
  for (const Outcome& outcome :
       {connector.call("receive-file", {{"url", server.url("/a")}}, {directory / "a"}),
        connector.call("receive-dir", {{"url", server.url()}}, {directory / "all"}),
        connector.call("receive-dir-validate", {{"url", server.url()}})}) {
    EXPECT_THAT(outcome, Succeeded());
    EXPECT_EQ(outcome.output + outcome.errors, "");
  }
}

TEST(Cli, TransfersShowProgressOnATerminal) {
  const NginxServer server({.bytes_per_second = 1'000'000});
  write_file(server.root() / "a", std::string(3'000'000, 'a'));
  const TemporaryDirectory directory;
  Connector connector;
  connector.set_environment("TERM", "xterm");
  const std::string access = connector.keep_json({{"url", server.url("/a")}});
  const Outcome shown =
      run_on_terminal(connector.command({"receive-file", access, directory / "a"}), 80);
  EXPECT_THAT(shown, Succeeded());
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("[0-9]+ ?%"));
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("/s"));

  const Outcome quiet =
      run_on_terminal(connector.command({"--quiet", "receive-file", access, directory / "a"}), 80);
  EXPECT_THAT(quiet, Succeeded());
  EXPECT_EQ(quiet.output, "");
}

TEST(Cli, VerboseTellsMoreAndTheLogFileKeepsIt) {
  const NginxServer server;
  write_file(server.root() / "a", "a");
  const TemporaryDirectory directory;
  const Connector connector;
  const std::string access = connector.keep_json({{"url", server.url("/a")}});
  const Outcome verbose = connector.run({"--verbose", "receive-file", access, directory / "a"});
  EXPECT_THAT(verbose, Succeeded());
  EXPECT_EQ(verbose.output, "");
  EXPECT_THAT(verbose.errors, Not(IsEmpty()));

  const Outcome logged = connector.run(
      {"--verbose", "--log-file", directory / "log", "receive-file", access, directory / "a"});
  EXPECT_THAT(logged, Succeeded());
  EXPECT_THAT(read_file(directory / "log"), Not(IsEmpty()));
}

TEST(Cli, SecretsAreNeverShown) {
  HostileServer server;
  server.on("/private", status(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}));
  const TemporaryDirectory directory;
  const Connector connector;
  const std::string access =
      connector.keep_json({{"url", server.url("/private?key=Query-Secret")},
                           {"headers", {{"X-Key", "Header-Secret"}}},
                           {"auth", {{"username", "user"}, {"password", "Password-Secret"}}}});
  const Outcome outcome = connector.run(
      {"--verbose", "--log-file", directory / "log", "receive-file", access, directory / "target"});
  EXPECT_THAT(outcome, Failed());
  const std::string all = outcome.errors + outcome.output + read_file(directory / "log");
  EXPECT_THAT(all, Not(HasSubstr("Secret")));
  // "user:Password-Secret" as Basic authentication sends it.
  EXPECT_THAT(all, Not(HasSubstr("dXNlcjpQYXNzd29yZC1TZWNyZXQ")));
}

TEST(Cli, TheBareNameTakesTheProtocolFromTheAccessData) {
  const NginxServer server;
  write_file(server.root() / "a", "content");
  const TemporaryDirectory directory;
  EXPECT_THAT(Connector("red-connector")
                  .call("receive-file", {{"url", server.url("/a")}}, {directory / "a"}),
              Succeeded());
  EXPECT_EQ(read_file(directory / "a"), "content");
}

TEST(Install, PutsTheProgramItsLinksAndTheManualInPlace) {
  const TemporaryDirectory prefix;
  const Outcome outcome = run(
      {.arguments = {"/usr/bin/cmake", "--install", RED_BINARY_DIR, "--prefix", prefix.path()}});
  ASSERT_THAT(outcome, Succeeded());
  for (const std::string& name : kNames) {
    EXPECT_EQ(std::filesystem::canonical(prefix / ("bin/" + name)),
              prefix.path() / "bin/red-connector");
    EXPECT_EQ(run({.arguments = {prefix / ("bin/" + name), "cli-version"}}).output, "1\n");
  }
  EXPECT_TRUE(std::filesystem::exists(prefix / "share/man/man1/red-connector.1.gz"));
}

TEST(Cli, SubcommandsThatAConnectorLacksAreRefused) {
  const TemporaryDirectory directory;
  EXPECT_THAT(Connector("red-connector-http-archive")
                  .call("mount-dir", {{"url", "http://127.0.0.1:1/"}}, {directory / "mount"}),
              Failed());
  EXPECT_FALSE(is_mounted(directory / "mount"));
}

}  // namespace
}  // namespace red::testing
