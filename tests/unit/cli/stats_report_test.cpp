#include "cli/stats_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <string>

#include "common/error.h"
#include "common/json/json_document.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

MountStats sample() {
  MountStats stats;
  stats.mount_point = "/mnt/study";
  stats.source = "https://example.com/study/";
  stats.pid = 4711;
  stats.since = std::chrono::sys_seconds(1'700'000'000s);
  stats.uptime = 3'723'456ms;
  stats.reads = 8;
  stats.reads_at_once = 6;
  stats.read_bytes = 3 * 1024 * 1024;
  stats.read_waits = {2, 30ms, 10ms, 20ms, 20ms, 20ms};
  stats.metadata = 5;
  stats.list_requests = 1;
  stats.stat_requests = 2;
  stats.read_requests = 3;
  stats.retries = 4;
  stats.fetched_bytes = 4 * 1024 * 1024;
  stats.wasted_bytes = 1024 * 1024;
  stats.cache_used_bytes = 1024;
  stats.cache_bound_bytes = 2048;
  stats.opened_files = 7;
  stats.open_files = 1;
  stats.proved_files = 5;
  stats.refuted_files = 1;
  stats.errors = {{ErrorKind::TimedOut, 2}, {ErrorKind::Integrity, 1}};
  stats.busiest_files = {{"sub/a\nb", 3, 2048, 5ms}};
  return stats;
}

TEST(StatsReport, JsonHasEveryKeyThatTheManualNames) {
  const JsonValue json = parse_json(to_json(sample()).to_text(), "test").root;
  const auto number = [&](std::string_view group, std::string_view key) {
    const JsonValue* found = json.find(group) ? json.find(group)->find(key) : nullptr;
    return found ? found->number() : std::nullopt;
  };
  EXPECT_EQ(json.find("version")->unsigned_integer(), 1U);
  EXPECT_EQ(*json.find("mount_point")->string(), "/mnt/study");
  EXPECT_EQ(*json.find("source")->string(), "https://example.com/study/");
  EXPECT_EQ(json.find("pid")->unsigned_integer(), 4711U);
  EXPECT_EQ(*json.find("since")->string(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(json.find("uptime_ms")->number(), 3'723'456);
  EXPECT_FALSE(*json.find("writable")->boolean());
  EXPECT_EQ(number("reads", "count"), 8);
  EXPECT_EQ(number("reads", "at_once"), 6);
  EXPECT_EQ(number("reads", "waited"), 2);
  EXPECT_EQ(number("reads", "hit_ratio"), 0.75);
  EXPECT_EQ(number("reads", "wanted_bytes"), 3 * 1024 * 1024);
  EXPECT_EQ(number("reads", "waited_ms"), 30);
  const JsonValue* latency = json.find("reads")->find("latency_ms");
  ASSERT_NE(latency, nullptr);
  EXPECT_EQ(latency->find("p50")->number(), 10);
  EXPECT_EQ(latency->find("p90")->number(), 20);
  EXPECT_EQ(latency->find("p99")->number(), 20);
  EXPECT_EQ(latency->find("max")->number(), 20);
  EXPECT_EQ(number("metadata", "count"), 5);
  EXPECT_EQ(number("metadata", "waited"), 0);
  EXPECT_EQ(number("metadata", "waited_ms"), 0);
  EXPECT_EQ(number("writes", "count"), 0);
  EXPECT_EQ(number("writes", "written_bytes"), 0);
  EXPECT_EQ(number("writes", "lost"), 0);
  EXPECT_EQ(number("files", "opened"), 7);
  EXPECT_EQ(number("files", "open"), 1);
  EXPECT_EQ(number("files", "verified"), 5);
  EXPECT_EQ(number("files", "mismatched"), 1);
  EXPECT_EQ(number("network", "list_requests"), 1);
  EXPECT_EQ(number("network", "stat_requests"), 2);
  EXPECT_EQ(number("network", "read_requests"), 3);
  EXPECT_EQ(number("network", "retries"), 4);
  EXPECT_EQ(number("network", "fetched_bytes"), 4 * 1024 * 1024);
  EXPECT_EQ(number("network", "wasted_bytes"), 1024 * 1024);
  EXPECT_EQ(number("cache", "used_bytes"), 1024);
  EXPECT_EQ(number("cache", "bound_bytes"), 2048);
  EXPECT_EQ(number("errors", "TimedOut"), 2);
  EXPECT_EQ(number("errors", "Integrity"), 1);
  const JsonValue& busiest = json.find("busiest_files")->array()->front();
  EXPECT_EQ(*busiest.find("path")->string(), "sub/a?b");
  EXPECT_EQ(busiest.find("reads")->unsigned_integer(), 3U);
  EXPECT_EQ(busiest.find("wanted_bytes")->unsigned_integer(), 2048U);
  EXPECT_EQ(busiest.find("waited_ms")->number(), 5);
}

TEST(StatsReport, RatioOfNothingIsNull) {
  const JsonValue json = to_json(MountStats{});
  EXPECT_EQ(json.find("reads")->find("hit_ratio")->type(), JsonType::Null);
  EXPECT_THAT(to_readable(json), HasSubstr("errors          none"));
}

TEST(StatsReport, NamesThatAreNoTextStayValidJson) {
  MountStats stats = sample();
  stats.busiest_files[0].path = "\xff\xfe\x01";
  EXPECT_NO_THROW(parse_json(to_json(stats).to_text(), "test"));
}

TEST(StatsReport, TextTellsTheSame) {
  const std::string text = to_readable(to_json(sample()));
  EXPECT_THAT(text, HasSubstr("/mnt/study"));
  EXPECT_THAT(text, HasSubstr("1 h 2 min"));
  EXPECT_THAT(text, HasSubstr("8, 3.0 MiB, 75.0 % answered at once"));
  EXPECT_THAT(text, HasSubstr("2 for 30 ms; half of them up to 10 ms"));
  EXPECT_THAT(text, HasSubstr("4.0 MiB, 1.0 MiB of it for nothing"));
  EXPECT_THAT(text, HasSubstr("1 listings, 2 names, 3 reads; 4 tried again"));
  EXPECT_THAT(text, HasSubstr("TimedOut 2, Integrity 1"));
  EXPECT_THAT(text, HasSubstr("sub/a?b"));
  EXPECT_THAT(text, Not(HasSubstr("writes")));
  MountStats writable = sample();
  writable.is_writable = true;
  EXPECT_THAT(to_readable(to_json(writable)), HasSubstr("writes"));
}

class ReportFile : public ::testing::Test {
 protected:
  static std::string text_of(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(ReportFile, IsJsonIfItsNameSaysSoElseText) {
  write_report(directory_ / "report.json", sample());
  EXPECT_EQ(text_of(directory_ / "report.json"), to_json(sample()).to_text() + "\n");
  write_report(directory_ / "report.txt", sample());
  EXPECT_EQ(text_of(directory_ / "report.txt"), to_readable(to_json(sample())));
}

TEST_F(ReportFile, ReplacesAnExistingOneAndLeavesNothingElse) {
  std::ofstream(directory_ / "report") << "old";
  write_report(directory_ / "report", sample());
  EXPECT_THAT(text_of(directory_ / "report"), HasSubstr("/mnt/study"));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_ / "."), fs::directory_iterator()), 1);
}

TEST_F(ReportFile, PlaceThatCannotTakeItIsRefusedBeforehand) {
  EXPECT_NO_THROW(check_report_path(directory_ / "report"));
  std::ofstream(directory_ / "file") << "old";
  EXPECT_NO_THROW(check_report_path(directory_ / "file"));
  fs::create_directory(directory_ / "directory");
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  for (const fs::path& path : {directory_ / "missing/report", directory_ / "file/report",
                               directory_ / "directory", directory_ / "fifo"}) {
    try {
      check_report_path(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
      EXPECT_THAT(error.message(), HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace red
