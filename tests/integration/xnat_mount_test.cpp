// An XNAT site as a mounted directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/integration/xnat_access.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kSession = "projects/P/subjects/S/experiments/E";
constexpr const char* kScan = "projects/P/subjects/S/experiments/E/scans/1/resources/DICOM";

class XnatMount : public MountFixture {
 protected:
  XnatMount() : MountFixture("red-connector-xnat-http") {}

  Outcome mount_at(const Json& where) {
    Json whole = where;
    whole["project"] = "P";
    return mount(access_to(server_, whole));
  }
  int requests() const { return static_cast<int>(server_.requests().size()); }

  XnatServer server_;
};

TEST_F(XnatMount, ShowsTheHierarchyAndItsFiles) {
  server_.add(kSession, {.xsi_type = "xnat:mrSessionData"});
  server_.add_file("projects/P/resources/R", "p", "project");
  server_.add_file(kScan, "sub/f 1.dcm", "scan");
  server_.add_file(kScan, "empty", "");
  ASSERT_THAT(mount_at(Json::object()), Succeeded());
  EXPECT_THAT(names_in(mount_), ElementsAre("resources", "subjects"));
  EXPECT_THAT(names_in(mount_ / "subjects/S/experiments/E"),
              ElementsAre("assessors", "reconstructions", "resources", "scans"));
  const fs::path scan = mount_ / "subjects/S/experiments/E/scans/1/resources/DICOM";
  EXPECT_EQ(fs::file_size(scan / "sub/f 1.dcm"), 4U);
  EXPECT_EQ(read_file(scan / "sub/f 1.dcm"), "scan");
  EXPECT_EQ(read_file(scan / "empty"), "");
  EXPECT_EQ(read_file(mount_ / "resources/R/p"), "project");
  EXPECT_FALSE(fs::exists(scan / "none"));
  EXPECT_FALSE(fs::exists(mount_ / "none"));
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_TRUE(daemon_ends());
  EXPECT_EQ(server_.counters().logins, 1);
  EXPECT_EQ(server_.counters().logouts, 1);
}

TEST_F(XnatMount, StartsAtEveryLevel) {
  server_.add_file(kScan, "f", "x");
  const Json scans = {{"session", "E"}, {"containerType", "scans"}};
  const auto at = [&](Json where, const Json& more) {
    where.update(more);
    return where;
  };
  for (const auto& [where, path] :
       {std::pair{Json{{"subject", "S"}}, "experiments/E/scans/1/resources/DICOM/f"},
        std::pair{Json{{"subject", "S"}, {"session", "E"}}, "scans/1/resources/DICOM/f"},
        std::pair{scans, "1/resources/DICOM/f"},
        std::pair{at(scans, {{"container", "1"}}), "resources/DICOM/f"},
        std::pair{at(scans, {{"container", "1"}, {"resource", "DICOM"}}), "f"}}) {
    ASSERT_THAT(mount_at(where), Succeeded()) << where;
    EXPECT_EQ(read_file(mount_ / path), "x") << where;
    ASSERT_THAT(umount(), Succeeded());
  }
}

TEST_F(XnatMount, IsReadyAfterFewRequestsAndWalkedWithOnePerCatalog) {
  constexpr int kScans = 20;
  for (int scan = 1; scan <= kScans; ++scan) {
    server_.add_files(std::string(kSession) + "/scans/" + std::to_string(scan) + "/resources/DICOM",
                      "{}.dcm", 10, 1000);
  }
  ASSERT_THAT(mount_at({{"subject", "S"}, {"session", "E"}}), Succeeded());
  EXPECT_LE(requests(), 4);  // and one round trip for the connection
  const Outcome found = run({.arguments = {"/usr/bin/find", mount_, "-type", "f", "-size", "+0"}});
  EXPECT_EQ(lines_in(found.output), kScans * 10U);
  EXPECT_EQ(server_.counters().requests["files"], kScans);
  EXPECT_LE(server_.counters().requests["list"], 6);
  const int before = requests();
  run({.arguments = {"/usr/bin/find", mount_, "-type", "f", "-size", "+0"}});
  EXPECT_EQ(requests(), before);
}

TEST_F(XnatMount, MountsADeepResourceWithFourRequests) {
  server_.add_file(kScan, "f", "x");
  ASSERT_THAT(mount_at({{"subject", "S"},
                        {"session", "E"},
                        {"containerType", "scans"},
                        {"container", "1"},
                        {"resource", "DICOM"}}),
              Succeeded());
  EXPECT_LE(requests(), 4);
}

TEST_F(XnatMount, ReadsRangesNeverPastTheEnd) {
  const std::string content = random_bytes(9'000'001);
  server_.add_file(kScan, "big", content);
  server_.set_stall(std::chrono::minutes(10));
  ASSERT_THAT(mount_at({{"session", "E"}, {"containerType", "scans"}}), Succeeded());
  const fs::path file = mount_ / "1/resources/DICOM/big";
  EXPECT_EQ(read_at(file, 8'999'990, 100).bytes, content.substr(8'999'990));
  EXPECT_EQ(read_at(file, 4'000'000, 5000).bytes, content.substr(4'000'000, 5000));
  EXPECT_EQ(read_file(file), content);
}

TEST_F(XnatMount, ReadsFilesWhereRangesAreIgnored) {
  const std::string content = random_bytes(5'000'000);
  server_.add_file(kScan, "big", content);
  server_.set_ranges(XnatRanges::Ignored);
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  const fs::path file = mount_ / "scans/1/resources/DICOM/big";
  EXPECT_EQ(read_at(file, 4'000'000, 5000).bytes, content.substr(4'000'000, 5000));
  EXPECT_EQ(read_file(file), content);
}

TEST_F(XnatMount, ReadsFilesOfWhichTheCatalogHasNoSize) {
  server_.add_file(kScan, "f", "content");
  server_.set_entry(kScan, "f", "", "");
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  const fs::path file = mount_ / "scans/1/resources/DICOM/f";
  EXPECT_EQ(fs::file_size(file), 7U);
  EXPECT_EQ(read_file(file), "content");
}

TEST_F(XnatMount, NeverShowsWrongBytesWhereTheCatalogIsOutOfDate) {
  for (const char* size : {"3", "7000"}) {
    const std::string name = std::string("f") + size;
    server_.add_file(kScan, name, "content");
    server_.set_entry(kScan, name, size, "");
  }
  server_.set_stall(std::chrono::minutes(10));
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  for (const char* name : {"f3", "f7000"}) {
    const fs::path file = mount_ / "scans/1/resources/DICOM" / name;
    const ReadResult first = read_at(file, 0, 10'000);
    EXPECT_TRUE(first.error_number != 0 || first.bytes == "content") << first.bytes;
    EXPECT_EQ(read_at(file, 0, 10'000).bytes, "content") << name;
  }
}

TEST_F(XnatMount, FailsToReadAFileThatIsGoneAndNoOther) {
  server_.add_file(kScan, "gone", "1");
  server_.add_file(kScan, "here", "2");
  server_.lose_file(kScan, "gone");
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  const fs::path scan = mount_ / "scans/1/resources/DICOM";
  EXPECT_NE(read_at(scan / "gone", 0, 10).error_number, 0);
  EXPECT_EQ(read_file(scan / "here"), "2");
}

TEST_F(XnatMount, LogsOutWhenItsDaemonIsEnded) {
  server_.add_file(kScan, "f", "1");
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  ::kill(daemon(), SIGTERM);
  EXPECT_TRUE(daemon_ends());
  EXPECT_EQ(server_.counters().logouts, 1);
  EXPECT_EQ(server_.counters().live_sessions, 0);
}

TEST_F(XnatMount, GoesOnWhenTheSessionHasExpired) {
  server_.add_file(kScan, "a", "1");
  server_.add_file(kScan, "b", "2");
  ASSERT_THAT(mount_at({{"session", "E"}}), Succeeded());
  const fs::path scan = mount_ / "scans/1/resources/DICOM";
  EXPECT_EQ(read_file(scan / "a"), "1");
  server_.expire_sessions();
  EXPECT_EQ(read_file(scan / "b"), "2");
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_TRUE(daemon_ends());
  EXPECT_EQ(server_.counters().logins, 2);
  EXPECT_EQ(server_.counters().live_sessions, 0);
}

TEST_F(XnatMount, TellsWhyItCannotBegin) {
  server_.add(kSession);
  EXPECT_THAT(mount_at({{"session", "NONE"}}), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(mount(access_as(server_, "admin", "wrong", {{"project", "P"}})),
              FailedWith(exit_code::kAuthentication));
  EXPECT_EQ(server_.counters().failed_logins, 1);
  EXPECT_EQ(server_.counters().live_sessions, 0);
}

}  // namespace
}  // namespace red::testing
