// The self-contained package, on this machine; container_test.cpp has it in other images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/integration/packages.h"
#include "tests/servers/nginx_server.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

/// The libraries that a command loads, as the dynamic loader tells.
std::vector<std::string> libraries_of(const std::vector<std::string>& command) {
  const Outcome outcome = run({.arguments = command, .environment = {{"LD_DEBUG", "libs"}}});
  std::istringstream lines(outcome.errors);
  std::vector<std::string> libraries;
  constexpr std::string_view kInit = "calling init: ";
  for (std::string line; std::getline(lines, line);) {
    const auto at = line.find(kInit);
    if (at != std::string::npos) libraries.push_back(line.substr(at + kInit.size()));
  }
  return libraries;
}

TEST(Bundle, RunsFromAnyFolderWithNothingButItsOwnLibraries) {
  if (!makes_packages()) GTEST_SKIP() << "this build makes no packages";
  const TemporaryDirectory directory;
  const fs::path unpacked = unpack_bundle(directory.path());
  const fs::path moved = directory / "a folder: moved";
  fs::rename(unpacked, moved);
  const std::string linked = directory / "linked";
  fs::create_symlink(moved / "bin/red-connector-http", linked);

  EXPECT_EQ(run({.arguments = {linked, "cli-version"}}).output, "1\n");
  const auto libraries = libraries_of({linked, "cli-version"});
  EXPECT_THAT(libraries, Not(IsEmpty()));
  EXPECT_THAT(libraries, Each(StartsWith(moved.string() + "/lib/")));

  const NginxServer server;
  write_file(server.root() / "file", "content");
  write_file(directory / "access.json", Json{{"url", server.url("/file")}}.dump());
  const Outcome outcome =
      run({.arguments = {moved / "bin/red-connector-http", "receive-file",
                         directory / "access.json", directory / "file"},
           .environment = {{"LD_PRELOAD", "/missing.so"}, {"no_proxy", "127.0.0.1"}}});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.errors, IsEmpty());
  EXPECT_EQ(read_file(directory / "file"), "content");
}

}  // namespace
}  // namespace red::testing
