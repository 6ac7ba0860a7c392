#include "common/access/shared_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "common/json/json_document.h"

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr ProtocolDefaults kDefaults{.connections = 32,
                                     .connect_timeout = std::chrono::seconds(10)};

/// What the access data and the site say together; the message of an error instead.
class SharedFields : public ::testing::Test {
 protected:
  SharedFields() {
    std::string pattern = (fs::temp_directory_path() / "red_shared_fields_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    ::unsetenv("RED_CONNECTOR_CACHE_DIR");
  }
  ~SharedFields() override {
    ::unsetenv("RED_CONNECTOR_CACHE_DIR");
    fs::remove_all(directory_);
  }

  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
    return directory_ / name;
  }
  AccessOptions options(const std::string& access, const std::string& site = "{}") {
    JsonDocument document = parse_json(access, "access data a");
    SharedForm form;
    shared_fields(kDefaults).read(document.root, JsonPlace(), form, document.problems);
    document.problems.throw_if_any(document.name);
    return to_access_options(form, read_site_options(write("site.json", site)), kDefaults);
  }
  std::string message(const std::string& access, const std::string& site = "{}") {
    try {
      options(access, site);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
      return error.message();
    }
    return "no error";
  }

  fs::path directory_;
};

TEST_F(SharedFields, HaveDefaults) {
  const AccessOptions result = options("{}");
  EXPECT_EQ(result.connections, 32);
  EXPECT_EQ(result.connect_timeout, std::chrono::seconds(10));
  EXPECT_TRUE(result.cache.enabled);
  EXPECT_EQ(result.cache.memory, std::nullopt);
  EXPECT_FALSE(result.allow_other);
  EXPECT_FALSE(result.listing);
  EXPECT_FALSE(result.report);
}

TEST_F(SharedFields, AreAllTaken) {
  const AccessOptions result = options(
      R"({"connections": 4, "timeout": 0.25, "allowOther": true, "report": "/r/report.json",
          "listing": [{"class": "File", "basename": "ä"}],
          "cache": {"dir": "/c", "size": "2 GiB", "memory": 4096}})");
  EXPECT_EQ(result.connections, 4);
  EXPECT_EQ(result.connect_timeout, std::chrono::milliseconds(250));
  EXPECT_TRUE(result.allow_other);
  EXPECT_EQ(result.report, "/r/report.json");
  ASSERT_TRUE(result.listing);
  ASSERT_EQ(result.listing->size(), 1u);
  EXPECT_EQ(result.listing->front().basename, "ä");
  EXPECT_EQ(result.cache.directory, "/c");
  EXPECT_EQ(result.cache.size, 2 * kGiB);
  EXPECT_EQ(result.cache.memory, 4096u);
}

TEST_F(SharedFields, CacheMayBeSwitchedOffAndOn) {
  EXPECT_FALSE(options(R"({"cache": false})").cache.enabled);
  EXPECT_TRUE(options(R"({"cache": true})").cache.enabled);
}

TEST_F(SharedFields, PathsBecomeAbsoluteBecauseADaemonLeavesTheDirectory) {
  const AccessOptions result = options(R"({"cache": {"dir": "c"}, "report": "r"})");
  EXPECT_EQ(result.cache.directory, fs::current_path() / "c");
  EXPECT_EQ(result.report, fs::current_path() / "r");
}

TEST_F(SharedFields, ListingFileIsReadAtOnce) {
  const fs::path file = write("listing.json", R"([{"class": "File", "basename": "f"}])");
  const AccessOptions result = options(R"({"listing": ")" + file.string() + "\"}");
  fs::remove(file);
  ASSERT_TRUE(result.listing);
  ASSERT_EQ(result.listing->size(), 1u);
  EXPECT_EQ(result.listing->front().basename, "f");
}

TEST_F(SharedFields, ReportEverythingThatIsWrong) {
  EXPECT_EQ(message(R"({"connections": 0, "timeout": 0, "allowOther": 1, "report": "",
                        "listing": 3, "cache": {"dir": 1, "size": 0, "memory": "lots", "sice": 1}})"),
            "access data a is invalid: 9 problems\n"
            "/connections: must be an integer of at least 1\n"
            "/timeout: must be a number above 0 and at most 86400\n"
            "/allowOther: must be a boolean, not an integer\n"
            "/report: must be a string that is not empty\n"
            "/listing: must be an array or the path of a JSON file, not an integer\n"
            "/cache/dir: must be a string that is not empty, not an integer\n"
            "/cache/size: must be a number of bytes or a size such as \"2 GiB\"\n"
            "/cache/memory: must be a number of bytes or a size such as \"2 GiB\"\n"
            "/cache/sice: unknown key; did you mean \"size\"?");
  EXPECT_EQ(message(R"({"cache": "yes"})"),
            "access data a is invalid: 1 problem\n"
            "/cache: must be a boolean or an object, not a string");
}

TEST_F(SharedFields, ReportWhatIsWrongInAListingWithEverythingElse) {
  EXPECT_EQ(
      message(R"({"connections": 0, "timeout": 0, "listing": [
                          {"class": "X", "basename": "..", "sise": 1},
                          {"class": "Directory", "basename": "d", "listing": [7]}]})"),
      "access data a is invalid: 6 problems\n"
      "/connections: must be an integer of at least 1\n"
      "/timeout: must be a number above 0 and at most 86400\n"
      "/listing/0/class: must be File or Directory\n"
      "/listing/0/basename: must be a file name: not empty, \".\" or \"..\", without / and NUL\n"
      "/listing/0/sise: unknown key; did you mean \"size\"?\n"
      "/listing/1/listing/0: must be an object, not an integer");
}

TEST_F(SharedFields, ReportWhatIsWrongInAListingFileWithPlacesInThatFile) {
  const std::string file = write("listing.json", R"([{"class": "File"}, 1])").string();
  EXPECT_EQ(message(R"({"listing": ")" + file + R"(", "report": ""})"),
            "access data a is invalid: 2 problems\n"
            "/listing: listing " +
                file +
                " is invalid: 2 problems\n"
                "  /0/basename: missing\n"
                "  /1: must be an object, not an integer\n"
                "/report: must be a string that is not empty");
  write("listing.json", "[");
  EXPECT_THAT(message(R"({"listing": ")" + file + "\"}"),
              ::testing::StartsWith("access data a is invalid: 1 problem\n/listing: listing " +
                                    file + " is invalid: 1 problem\n  line 1, column "));
}

TEST_F(SharedFields, ListingFileThatIsMissingIsAnError) {
  EXPECT_NE(message(R"({"listing": "/does/not/exist"})").find("/listing: cannot open"),
            std::string::npos);
}

TEST_F(SharedFields, SiteGivesDefaultsAndUpperBounds) {
  const std::string site = R"({"connections": 8, "cache": {"dir": "/site", "memory": "1 GiB"}})";
  EXPECT_EQ(options("{}", site).connections, 8);
  EXPECT_EQ(options(R"({"connections": 4})", site).connections, 4);
  EXPECT_EQ(options(R"({"connections": 99})", site).connections, 8);
  EXPECT_EQ(options("{}", site).cache.memory, kGiB);
  EXPECT_EQ(options(R"({"cache": {"memory": "2 GiB"}})", site).cache.memory, kGiB);
  EXPECT_EQ(options(R"({"cache": {"memory": 5}})", site).cache.memory, 5u);
  EXPECT_EQ(options("{}", site).cache.directory, "/site");
  EXPECT_EQ(options(R"({"cache": {"dir": "/mine"}})", site).cache.directory, "/mine");
}

TEST_F(SharedFields, SiteMayForbidTheCache) {
  EXPECT_FALSE(options(R"({"cache": true})", R"({"cache": false})").cache.enabled);
}

TEST_F(SharedFields, EnvironmentStandsInForTheCacheDirectory) {
  ::setenv("RED_CONNECTOR_CACHE_DIR", "/env", 1);
  EXPECT_EQ(options("{}").cache.directory, "/env");
  EXPECT_EQ(options("{}", R"({"cache": {"dir": "/site"}})").cache.directory, "/env");
  EXPECT_EQ(options(R"({"cache": {"dir": "/mine"}})").cache.directory, "/mine");
  EXPECT_EQ(options("{}", R"({"cache": {"dir": "/site", "memory": 7}})").cache.memory, 7u);
}

TEST_F(SharedFields, EmptyEnvironmentSaysNothing) {
  ::setenv("RED_CONNECTOR_CACHE_DIR", "", 1);
  EXPECT_EQ(options("{}").cache.directory, std::nullopt);
}

TEST_F(SharedFields, SiteFileThatIsWrongIsNamed) {
  const std::string text = message("{}", R"({"connection": 8, "timeout": 3})");
  EXPECT_EQ(
      text,
      "site file " + (directory_ / "site.json").string() +
          " is invalid: 2 problems\n"
          "/connection: unknown key; did you mean \"connections\"?\n"
          "/timeout: unknown key; the keys here are: connections, cache, caCertificate, proxy");
}

TEST_F(SharedFields, BytesBeyondEveryFileAreNoMistake) {
  EXPECT_EQ(options(R"({"cache": {"size": 1e30}})").cache.size, std::uint64_t{1} << 62);
}

TEST_F(SharedFields, SitesBoundsHoldWhereTheEnvironmentGivesTheDirectory) {
  ::setenv("RED_CONNECTOR_CACHE_DIR", "/env", 1);
  EXPECT_EQ(options(R"({"cache": {"size": "2 GiB"}})", R"({"cache": {"size": 9}})").cache.size, 9u);
  EXPECT_FALSE(options("{}", R"({"cache": false})").cache.enabled);
  EXPECT_FALSE(options(R"({"cache": {"dir": "/mine"}})", R"({"cache": false})").cache.enabled);
  EXPECT_FALSE(options(R"({"cache": false})").cache.enabled);
}

TEST_F(SharedFields, PathsOfTheSiteAreAbsolute) {
  EXPECT_EQ(message("{}", R"({"cache": {"dir": "c"}, "caCertificate": "ca.pem"})"),
            "site file " + (directory_ / "site.json").string() +
                " is invalid: 2 problems\n"
                "/cache/dir: must be an absolute path\n"
                "/caCertificate: must be an absolute path");
}

TEST_F(SharedFields, SiteFileThatIsNoJsonIsNamed) {
  const std::string name = "site file " + (directory_ / "site.json").string();
  EXPECT_TRUE(message("{}", "{").starts_with(name));
  EXPECT_TRUE(message("{}", "").starts_with(name));
  EXPECT_TRUE(message("{}", "[]").starts_with(name));
}

TEST_F(SharedFields, SiteFileThatCannotBeReadIsAnErrorAndNamed) {
  fs::create_directory(directory_ / "d");
  fs::create_symlink("loop", directory_ / "loop");
  for (const char* name : {"d", "loop"}) {
    try {
      read_site_options(directory_ / name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
      EXPECT_TRUE(error.message().starts_with("reading the site file: ")) << error.message();
      EXPECT_NE(error.message().find(directory_ / name), std::string::npos) << error.message();
    }
  }
}

TEST_F(SharedFields, SiteFileThatIsMissingSaysNothing) {
  const SiteOptions site = read_site_options(directory_ / "missing.json");
  EXPECT_FALSE(site.bounded.connections);
  EXPECT_FALSE(site.bounded.cache);
  EXPECT_FALSE(site.web.proxy);
}

TEST(ByteCount, TakesPlainNumbersAndUnits) {
  EXPECT_EQ(parse_byte_count("4096"), 4096u);
  EXPECT_EQ(parse_byte_count("2 GiB"), 2 * kGiB);
  EXPECT_EQ(parse_byte_count("256MiB"), kGiB / 4);
  EXPECT_EQ(parse_byte_count("1.5GB"), 1'500'000'000u);
  EXPECT_EQ(parse_byte_count("10 B"), 10u);
  EXPECT_EQ(parse_byte_count("0.5 KiB"), 512u);
}

TEST(ByteCount, RoundsUpAndEndsWhereFilesEnd) {
  EXPECT_EQ(parse_byte_count("0.001"), 1u);
  EXPECT_EQ(parse_byte_count("0." + std::string(400, '0') + "1"), 1u);
  EXPECT_EQ(parse_byte_count("1.1 kB"), 1100u);
  EXPECT_EQ(parse_byte_count("99999999 TiB"), std::uint64_t{1} << 62);
  EXPECT_EQ(parse_byte_count(std::string(400, '9')), std::uint64_t{1} << 62);
}

TEST(ByteCount, RefusesEverythingElse) {
  for (const std::string_view text :
       {"", "GiB", "-1 GiB", "0", "0.0 GiB", "1 gib", "1  GiB", "1 GiB ", "1 ", "nan", "inf", "1e3",
        "1 G", "0x10", " 1", "1.", ".5", "1.5.5", "+1"}) {
    EXPECT_THROW(parse_byte_count(text), Error) << text;
  }
}

}  // namespace
}  // namespace red
