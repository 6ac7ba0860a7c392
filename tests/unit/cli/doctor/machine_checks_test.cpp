#include "cli/doctor/machine_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::names_in;
using ::testing::Not;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::write_file;

const std::string kCertificate = read_file(RED_TEST_DATA "/common/net/certificate.pem");

TEST(SiteFileCheck, TakesAMissingFileForNothingSaid) {
  const TemporaryDirectory directory;
  const SiteFileCheck check = check_site_file(directory / "none.json");
  EXPECT_EQ(check.row.finding.status, FindingStatus::Ok);
  EXPECT_FALSE(check.site.bounded.connections.has_value());
}

TEST(SiteFileCheck, ReadsWhatIsValid) {
  const TemporaryDirectory directory;
  write_file(directory / "site.json", R"({"connections": 3})");
  const SiteFileCheck check = check_site_file(directory / "site.json");
  EXPECT_EQ(check.row.finding.status, FindingStatus::Ok);
  EXPECT_EQ(check.site.bounded.connections, 3);
}

TEST(SiteFileCheck, NamesEveryProblem) {
  const TemporaryDirectory directory;
  write_file(directory / "site.json", R"({"conections": 3, "proxy": 1})");
  const SiteFileCheck check = check_site_file(directory / "site.json");
  EXPECT_EQ(check.row.finding.status, FindingStatus::Failed);
  EXPECT_THAT(check.row.finding.text, AllOf(HasSubstr("/conections"), HasSubstr("/proxy")));
}

TEST(CaStoreCheck, CountsTheCertificatesOfAFile) {
  const TemporaryDirectory directory;
  write_file(directory / "ca.pem", "# two\n" + kCertificate + "\n" + kCertificate);
  const FindingRow row = check_ca_store(CaStore{.path = directory / "ca.pem"}, {});
  EXPECT_EQ(row.finding.status, FindingStatus::Ok);
  EXPECT_THAT(row.finding.text, AllOf(HasSubstr("ca.pem"), HasSubstr("2 certificates")));
}

TEST(CaStoreCheck, MissesCertificates) {
  const TemporaryDirectory directory;
  write_file(directory / "empty.pem", "");
  write_file(directory / "other.pem", "-----BEGIN CERTIFICATE-----\nbroken\n");
  for (const std::string name : {"empty.pem", "other.pem", "none.pem"}) {
    const FindingRow row = check_ca_store(CaStore{.path = directory / name}, {});
    EXPECT_EQ(row.finding.status, FindingStatus::Missing) << name;
    EXPECT_THAT(row.finding.text, HasSubstr("ca-certificates")) << name;
  }
  EXPECT_EQ(check_ca_store({}, {}).finding.status, FindingStatus::Missing);
}

TEST(CaStoreCheck, CountsWhatHasTheNameOfAHash) {
  const TemporaryDirectory directory;
  write_file(directory / "9d66eef0.0", kCertificate);
  write_file(directory / "some.pem", kCertificate);
  write_file(directory / "README", "text");
  const CaStore store{.path = directory.path(), .is_directory = true};
  EXPECT_THAT(check_ca_store(store, {}).finding.text, HasSubstr(", 1 certificate"));
}

TEST(CaStoreCheck, TakesTheSitesCertificatesInstead) {
  const FindingRow row = check_ca_store(CaStore{.path = "/none"}, kCertificate);
  EXPECT_EQ(row.finding.status, FindingStatus::Ok);
  EXPECT_THAT(row.finding.text, HasSubstr("site file, 1 certificate"));
}

TEST(ProxiesCheck, ShowsAllWithoutCredentials) {
  EXPECT_EQ(check_proxies({}, {}).finding.status, FindingStatus::Ok);
  const FindingRow row = check_proxies({{"http_proxy", without_credentials("http://u:pw1@p:1")}},
                                       "http://u:pw2@site:3128");
  EXPECT_EQ(row.finding.status, FindingStatus::Note);
  EXPECT_EQ(row.finding.text, "of the site file: http://***@site:3128\nhttp_proxy=http://***@p:1");
}

TEST(ClockCheck, BelievesNoTimeBeforeTheBuildAndNoneFarBehindIt) {
  const std::chrono::sys_days built = std::chrono::year(2025) / 6 / 30;
  const auto status_at = [&](std::chrono::system_clock::time_point now) {
    return check_clock(now, built).finding.status;
  };
  EXPECT_EQ(status_at(built), FindingStatus::Ok);
  EXPECT_EQ(status_at(built - 23h), FindingStatus::Ok);
  EXPECT_EQ(status_at(built - 25h), FindingStatus::Failed);
  EXPECT_EQ(status_at(std::chrono::sys_days(std::chrono::year(1970) / 1 / 1)),
            FindingStatus::Failed);
  EXPECT_EQ(status_at(built + std::chrono::years(9)), FindingStatus::Ok);
  EXPECT_EQ(status_at(built + std::chrono::years(11)), FindingStatus::Failed);
}

TEST(ClockCheck, KnowsTheDayOfThisBuild) {
  EXPECT_GT(build_day(), std::chrono::sys_days(std::chrono::year(2025) / 1 / 1));
  EXPECT_EQ(check_clock(std::chrono::system_clock::now(), build_day()).finding.status,
            FindingStatus::Ok);
}

TEST(CacheDirectoryCheck, LeavesNothingInADirectoryThatCanBeWritten) {
  const TemporaryDirectory directory;
  const FindingRow row = check_cache_directory(directory.path());
  EXPECT_THAT(row.finding.text, AllOf(HasSubstr(directory.path().string()), HasSubstr("writable"),
                                      HasSubstr("free")));
  EXPECT_THAT(names_in(directory.path()), IsEmpty());
}

TEST(CacheDirectoryCheck, KnowsThatACacheMakesItsDirectory) {
  const TemporaryDirectory directory;
  EXPECT_THAT(check_cache_directory(directory / "new/and/deep").finding.text,
              HasSubstr("new/and/deep, made when it is needed"));
  EXPECT_THAT(names_in(directory.path()), IsEmpty());
}

TEST(CacheDirectoryCheck, NotesWhereACacheCannotBe) {
  const TemporaryDirectory directory;
  write_file(directory / "file", "");
  std::filesystem::create_directory(directory / "open");
  std::filesystem::permissions(directory / "open", std::filesystem::perms::all);
  for (const std::string name : {"file", "file/below", "open"}) {
    const FindingRow row = check_cache_directory(directory / name);
    EXPECT_EQ(row.finding.status, FindingStatus::Note) << name;
    EXPECT_THAT(row.finding.text, HasSubstr("kept in memory only")) << name;
  }
  EXPECT_EQ(check_cache_directory(std::nullopt).finding.status, FindingStatus::Ok);
}

TEST(LimitChecks, NoteWhatIsLittle) {
  EXPECT_EQ(check_memory({}, 256 << 20).finding.text,
            "no limit; the cache of a mount takes up to 256 MiB");
  EXPECT_THAT(check_memory(0x7FFFFFFFFFFFF000, 256 << 20).finding.text, HasSubstr("no limit"));
  EXPECT_EQ(check_memory(32 << 20, 8 << 20).finding.status, FindingStatus::Note);
  EXPECT_EQ(check_open_files(1024, RLIM_INFINITY).finding.text,
            "1024 per process (at most no limit)");
  EXPECT_EQ(check_open_files(64, 64).finding.status, FindingStatus::Note);
}

}  // namespace
}  // namespace red
