// red-connector-http-archive: archives of real programs, servers that break off, and what is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/archive_builder.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HttpArchive : public ::testing::Test {
 protected:
  Outcome receive(const std::string& url, const std::string& format,
                  const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{target_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return connector_.call("receive-dir", {{"url", url}, {"archiveFormat", format}}, arguments);
  }
  void make(std::vector<std::string> command) {
    command.insert(command.begin(), {"/usr/bin/env", "PATH=/usr/bin:/bin"});
    ASSERT_THAT(run({.arguments = command}), Succeeded());
  }
  void expect_nothing_left() const {
    EXPECT_FALSE(std::filesystem::exists(target_)) << ::testing::PrintToString(names_in(target_));
  }

  Connector connector_{"red-connector-http-archive"};
  TemporaryDirectory directory_;
  std::filesystem::path source_ = directory_ / "source";
  std::filesystem::path target_ = directory_ / "target";
};

TEST_F(HttpArchive, UnpacksWhatRealProgramsPack) {
  const NginxServer server;
  FileTree tree = nasty_tree(hard_names());
  tree["large"] = random_bytes(500'000);
  tree["script"] = "#!/bin/sh\n";
  write_tree(source_, tree);
  std::filesystem::permissions(source_ / "script", std::filesystem::perms(0751));
  const std::vector<std::pair<std::string, std::vector<std::string>>> packers{
      {"tar", {"--format=gnu", "-cf"}},    {"tar", {"--format=pax", "-cf"}},
      {"gztar", {"--format=gnu", "-czf"}}, {"bztar", {"--format=pax", "-cjf"}},
      {"xztar", {"--format=gnu", "-cJf"}},
  };
  for (const auto& [format, options] : packers) {
    std::vector<std::string> command{"tar", "-C", source_};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {server.root() / "archive", "."});
    make(command);
    EXPECT_THAT(receive(server.url("/archive"), format), Succeeded()) << format;
    EXPECT_EQ(differences(read_tree(target_), tree), "") << format;
    struct stat status {};
    ASSERT_EQ(::stat((target_ / "script").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0751U);
    std::filesystem::remove_all(target_);
  }
}

TEST_F(HttpArchive, UnpacksWhatPythonPacks) {
  const NginxServer server;
  FileTree tree = nasty_tree(nasty_names());
  tree["large"] = random_bytes(500'000) + std::string(500'000, 'x');
  write_tree(source_, tree);
  for (const char* format : {"zip", "tar", "gztar", "bztar", "xztar"}) {
    make({"python3", "-c",
          "import os, shutil, sys\n"
          "os.rename(shutil.make_archive(sys.argv[1], sys.argv[2], sys.argv[3]), sys.argv[1])",
          server.root() / "archive", format, source_});
    EXPECT_THAT(receive(server.url("/archive"), format), Succeeded()) << format;
    EXPECT_EQ(differences(read_tree(target_), tree), "") << format;
    std::filesystem::remove_all(target_);
  }
}

TEST_F(HttpArchive, KeepsHoles) {
  const NginxServer server;
  write_tree(source_, {{"sparse", "begin"}});
  std::filesystem::resize_file(source_ / "sparse", 500 << 20);
  make({"tar", "-C", source_, "-Szcf", server.root() / "archive", "."});
  EXPECT_THAT(receive(server.url("/archive"), "gztar"), Succeeded());
  struct stat status {};
  ASSERT_EQ(::stat((target_ / "sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 500 << 20);
  EXPECT_LT(status.st_blocks, 10'000);
}

TEST_F(HttpArchive, ServesAnOrdinaryUserWhateverTheModesAre) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs to become another user";
  HostileServer server;
  const TarBuilder tar = TarBuilder()
                             .directory("locked", 0)
                             .directory("locked/in", 0555)
                             .file("locked/in/f", "content", 0)
                             .directory("read-only", 0555)
                             .file("read-only/f", "content", 0444);
  server.on("/a", file({.body = tar.archive()}));
  std::filesystem::create_directory(target_);
  constexpr uid_t kUser = 65534;
  ASSERT_EQ(::chown(target_.c_str(), kUser, kUser), 0);
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  connector_.run_as(kUser);
  const std::string access =
      connector_.keep_json({{"url", server.url("/a")}, {"archiveFormat", "tar"}});
  EXPECT_THAT(connector_.run({"receive-dir", access, target_}), Succeeded());
  EXPECT_EQ(names_in(target_), (std::vector<std::string>{"locked", "read-only"}));
  const auto mode_of = [&](const char* path) {
    struct stat status {};
    EXPECT_EQ(::stat((target_ / path).c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
  };
  EXPECT_EQ(mode_of("locked"), 0U);
  EXPECT_EQ(mode_of("locked/in"), 0555U);
  EXPECT_EQ(mode_of("locked/in/f"), 0U);
  EXPECT_EQ(mode_of("read-only"), 0555U);

  // Once more, into directories that cannot be written: nothing of it appears.
  server.on("/a", file({.body = TarBuilder()
                                    .file("new")
                                    .directory("read-only")
                                    .file("read-only/f", "other")
                                    .archive(),
                        .etag = "\"v2\""}));
  EXPECT_THAT(connector_.run({"receive-dir", access, target_}), FailedWith(exit_code::kLocalIo));
  EXPECT_EQ(names_in(target_), (std::vector<std::string>{"locked", "read-only"}));
  EXPECT_EQ(read_file(target_ / "read-only/f"), "content");
}

TEST_F(HttpArchive, NeedsTheFormat) {
  HostileServer server;
  for (const char* subcommand : {"receive-dir", "receive-dir-validate"}) {
    std::vector<std::string> more;
    if (std::string(subcommand) == "receive-dir") more.push_back(target_);
    const Outcome outcome = connector_.call(subcommand, {{"url", server.url("/a")}}, more);
    EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
    EXPECT_THAT(outcome.errors, HasSubstr("/archiveFormat: missing"));
  }
  EXPECT_EQ(server.connections(), 0);
  expect_nothing_left();
}

TEST_F(HttpArchive, SaysWhichMemberIsRefused) {
  HostileServer server;
  server.on("/a", file({.body = TarBuilder().file("a").file("../\x1b[31mout").archive()}));
  const Outcome outcome = receive(server.url("/a"), "tar");
  EXPECT_THAT(outcome, FailedWith(exit_code::kProtocol));
  EXPECT_THAT(outcome.errors, HasSubstr("\"../\\x1b[31mout\": has \"..\" in its name"));
  EXPECT_EQ(lines_in(outcome.errors), 1u);
  expect_nothing_left();
  EXPECT_THAT(names_in(directory_.path()), IsEmpty());
}

TEST_F(HttpArchive, VerifiesWhatAListingNames) {
  HostileServer server;
  server.on("/a",
            file({.body = compressed(ArchiveFormat::Gztar,
                                     TarBuilder().file("a").file("d/b").file("more").archive())}));
  const auto with_listing = [&](const std::string& text) {
    const std::string listing = connector_.keep_json(Json::parse(text));
    return receive(server.url("/a"), "gztar", {"--listing", listing});
  };
  const Outcome wrong = with_listing(R"([{"class": "File", "basename": "a"},
      {"class": "Directory", "basename": "d", "listing": [
        {"class": "File", "basename": "b", "checksum":
         "sha1$0000000000000000000000000000000000000000"}]}])");
  EXPECT_THAT(wrong, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(wrong.errors, HasSubstr("d/b: its SHA-1 is"));
  expect_nothing_left();
  EXPECT_THAT(with_listing(R"([{"class": "File", "basename": "missing"}])"),
              FailedWith(exit_code::kIntegrity));
  expect_nothing_left();
  EXPECT_THAT(with_listing(R"([{"class": "Directory", "basename": "d", "listing": [
        {"class": "File", "basename": "b", "size": 7, "checksum":
         "sha1$040f06fd774092478d450774f5ba30c5da78acc8"}]}])"),
              Succeeded());
  EXPECT_EQ(names_in(target_), (std::vector<std::string>{"a", "d", "more"}));
}

TEST_F(HttpArchive, GoesOnWhereTheServerBrokeOff) {
  HostileServer server;
  const FileTree tree{{"a", random_bytes(3'000'000)}, {"b", "b"}};
  const std::string tar = TarBuilder().file("a", tree.at("a")).file("b", "b").archive();
  for (const auto& [format, archive] :
       {std::pair("gztar", compressed(ArchiveFormat::Gztar, tar)), std::pair("tar", tar),
        std::pair("zip", zip_of({{"a", tree.at("a")}, {"b", "b"}}))}) {
    const ScriptedFile served{.body = archive};
    server.on("/a", first(1, reset_after(served, 1'500'000), file(served)));
    EXPECT_THAT(receive(server.url("/a"), format), Succeeded()) << format;
    EXPECT_EQ(differences(read_tree(target_), tree), "") << format;
    std::filesystem::remove_all(target_);
  }
}

TEST_F(HttpArchive, LeavesNothingOfAnArchiveThatIsCutOff) {
  HostileServer server;
  const std::string tar = TarBuilder().file("a").file("b", random_bytes(200'000)).archive();
  for (const auto& [format, archive] :
       {std::pair("gztar", compressed(ArchiveFormat::Gztar, tar)), std::pair("tar", tar),
        std::pair("zip", zip_of({{"a"}, {"b", random_bytes(200'000)}}))}) {
    server.on("/a", close_delimited(archive.substr(0, archive.size() / 2)));
    EXPECT_THAT(receive(server.url("/a"), format), FailedWith(exit_code::kProtocol)) << format;
    expect_nothing_left();
  }
}

TEST_F(HttpArchive, EndsOnAnArchiveWithoutEnd) {
  HostileServer server;
  server.on("/a", [](const Request&, Reply& reply) {
    reply.head(200, {{"Transfer-Encoding", "chunked"}});
    reply.chunk(TarBuilder().file("a").archive());
    for (;;) reply.chunk(std::string(1 << 16, '\0'));
  });
  const Outcome outcome = receive(server.url("/a"), "tar");
  EXPECT_THAT(outcome, FailedWith(exit_code::kProtocol));
  EXPECT_LT(outcome.duration.count(), 30'000);
  expect_nothing_left();
}

TEST_F(HttpArchive, LeavesNothingWhenItIsInterrupted) {
  HostileServer server;
  const std::string tar = TarBuilder().file("a").file("b", random_bytes(200'000)).archive();
  for (const auto& [format, archive] :
       {std::pair("gztar", compressed(ArchiveFormat::Gztar, tar)), std::pair("tar", tar),
        std::pair("zip", zip_of({{"a"}, {"b", random_bytes(200'000)}}))}) {
    server.hold();
    server.on("/a", stall_after({.body = archive}, 100'000));
    const std::string access =
        connector_.keep_json({{"url", server.url("/a")}, {"archiveFormat", format}});
    Process process(connector_.command({"receive-dir", access, target_}), directory_ / "log");
    ASSERT_TRUE(server.wait_for_stalled(1));
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(std::chrono::seconds(5)), 128 + SIGTERM)
        << read_file(directory_ / "log");
    expect_nothing_left();
    EXPECT_THAT(connector_.processes(), IsEmpty());
    server.release();
  }
}

TEST_F(HttpArchive, ValidatesByAskingForTheArchiveAsAFile) {
  HostileServer server;
  server.on("/a", file({.body = "whatever it is"}));
  const auto validate = [&](const std::string& path, const std::vector<std::string>& more = {}) {
    return connector_.call("receive-dir-validate",
                           {{"url", server.url(path)}, {"archiveFormat", "tar"}}, more);
  };
  EXPECT_THAT(validate("/a"), Succeeded());
  const std::string listing =
      connector_.keep_json(Json::parse(R"([{"class": "File", "basename": "x"}])"));
  EXPECT_THAT(validate("/a", {"--listing", listing}), Succeeded());
  for (const Request& request : server.requests()) {
    EXPECT_EQ(request.method, "HEAD");
    EXPECT_EQ(request.target, "/a");
  }
  EXPECT_THAT(validate("/missing"), FailedWith(exit_code::kNotFound));
  const std::string wrong = connector_.keep_json(Json::parse(R"([{"class": "File"}])"));
  EXPECT_THAT(validate("/a", {"--listing", wrong}), FailedWith(exit_code::kInvalidAccess));
}

TEST_F(HttpArchive, ShowsProgressOnATerminal) {
  const NginxServer server({.bytes_per_second = 1'000'000});
  write_file(server.root() / "a", TarBuilder().file("f", random_bytes(2'000'000)).archive());
  connector_.set_environment("TERM", "xterm");
  const std::string access =
      connector_.keep_json({{"url", server.url("/a")}, {"archiveFormat", "tar"}});
  const Outcome shown = run_on_terminal(connector_.command({"receive-dir", access, target_}), 80);
  EXPECT_THAT(shown, Succeeded());
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("[0-9]+ ?%"));
}

TEST_F(HttpArchive, NeedsNoMemoryInProportion) {
  const NginxServer server;
  write_file(server.root() / "a", TarBuilder().file("f", random_bytes(100'000'000)).archive());
  const Outcome outcome = receive(server.url("/a"), "tar");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_LT(outcome.max_resident_kib, 80'000);
  EXPECT_EQ(std::filesystem::file_size(target_ / "f"), 100'000'000u);
}

}  // namespace
}  // namespace red::testing
