// The stand-in for XNAT itself: what tests of the connector rely on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/servers/xnat_server.h"
#include "tests/support/process.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kResource =
    "projects/P/subjects/S/experiments/E/scans/1/resources/DICOM";

TEST(XnatServerTest, ServesWhatItWasGiven) {
  XnatServer server;
  server.add_file(kResource, "sub/b c.txt", "content");
  const Outcome outcome =
      run({.arguments = {"/usr/bin/curl", "-sS", "-u", server.username() + ":" + server.password(),
                         server.base_url() + "/data/" + kResource + "/files/sub/b%20c.txt"}});
  EXPECT_EQ(outcome.output, "content") << outcome.errors << server.log();
  server.add_files(kResource, "x{}", 2, 3'000'000, 7);
  const FileTree files = server.files(kResource);
  EXPECT_EQ(files.at("x00001"), XnatServer::generated_content(8, 3'000'000));
  EXPECT_EQ(server.counters().logins, 1);
}

}  // namespace
}  // namespace red::testing
