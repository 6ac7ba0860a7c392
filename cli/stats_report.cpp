#include "cli/stats_report.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <span>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "fuse/printable.h"
#include "transfer/local_files.h"

namespace red {
namespace {

namespace fs = std::filesystem;

/// Changes when a key changes its meaning or goes.
constexpr std::uint64_t kFormatVersion = 1;

JsonValue json(std::uint64_t number) { return JsonValue(number); }
JsonValue json(std::string text) { return JsonValue(std::move(text)); }

/// Whole microseconds.
JsonValue milliseconds(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return JsonValue(static_cast<double>(count) / 1000);
}

std::string time_text(std::chrono::sys_seconds time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

JsonValue json_of(const LatencySummary& waits) {
  return JsonValue(JsonValue::Object{{"p50", milliseconds(waits.p50)},
                                     {"p90", milliseconds(waits.p90)},
                                     {"p99", milliseconds(waits.p99)},
                                     {"max", milliseconds(waits.max)}});
}

JsonValue json_of_reads(const MountStats& stats) {
  const double ratio = static_cast<double>(stats.reads_at_once) / static_cast<double>(stats.reads);
  return JsonValue(JsonValue::Object{
      {"count", json(stats.reads)},
      {"at_once", json(stats.reads_at_once)},
      {"waited", json(stats.read_waits.count)},
      {"hit_ratio", stats.reads == 0 ? JsonValue() : JsonValue(std::round(ratio * 1e4) / 1e4)},
      {"wanted_bytes", json(stats.read_bytes)},
      {"waited_ms", milliseconds(stats.read_waits.total)},
      {"latency_ms", json_of(stats.read_waits)}});
}

JsonValue json_of_metadata(const MountStats& stats) {
  return JsonValue(JsonValue::Object{{"count", json(stats.metadata)},
                                     {"waited", json(stats.metadata_waits.count)},
                                     {"waited_ms", milliseconds(stats.metadata_waits.total)},
                                     {"latency_ms", json_of(stats.metadata_waits)}});
}

JsonValue json_of_network(const MountStats& stats) {
  return JsonValue(JsonValue::Object{{"list_requests", json(stats.list_requests)},
                                     {"stat_requests", json(stats.stat_requests)},
                                     {"read_requests", json(stats.read_requests)},
                                     {"retries", json(stats.retries)},
                                     {"fetched_bytes", json(stats.fetched_bytes)},
                                     {"wasted_bytes", json(stats.wasted_bytes)}});
}

JsonValue json_of_files(const MountStats& stats) {
  return JsonValue(JsonValue::Object{{"opened", json(stats.opened_files)},
                                     {"open", json(stats.open_files)},
                                     {"verified", json(stats.proved_files)},
                                     {"mismatched", json(stats.refuted_files)}});
}

JsonValue json_of_errors(const MountStats& stats) {
  JsonValue::Object errors;
  for (const auto& [kind, count] : stats.errors) {
    errors.push_back({std::string(name_of(kind)), json(count)});
  }
  return JsonValue(std::move(errors));
}

JsonValue json_of_busiest(const MountStats& stats) {
  JsonValue::Array files;
  for (const FileReads& file : stats.busiest_files) {
    files.push_back(JsonValue(JsonValue::Object{{"path", json(printable(file.path))},
                                                {"reads", json(file.reads)},
                                                {"wanted_bytes", json(file.bytes)},
                                                {"waited_ms", milliseconds(file.waited)}}));
  }
  return JsonValue(std::move(files));
}

// --- for people ---

const JsonValue& at(const JsonValue& value, std::initializer_list<std::string_view> path) {
  static const JsonValue kNothing;
  const JsonValue* found = &value;
  for (const std::string_view name : path) {
    found = found->find(name);
    if (found == nullptr) return kNothing;
  }
  return *found;
}

std::uint64_t count_at(const JsonValue& value, std::initializer_list<std::string_view> path) {
  return at(value, path).unsigned_integer().value_or(0);
}

std::string text_at(const JsonValue& value, std::string_view name) {
  const std::string* text = at(value, {name}).string();
  return text == nullptr ? std::string() : *text;
}

std::string fixed(double number, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return text.data();
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double number = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; number >= 1024 && unit + 1 < kUnits.size(); ++unit) number /= 1024;
  return fixed(number, 1) + " " + std::string(kUnits[unit]);
}

std::string time_text(double milliseconds) {
  if (milliseconds < 1000) return fixed(milliseconds, milliseconds < 10 ? 2 : 0) + " ms";
  if (milliseconds < 60'000) return fixed(milliseconds / 1000, 1) + " s";
  const auto minutes = static_cast<std::uint64_t>(milliseconds / 60'000);
  if (minutes < 60) return std::to_string(minutes) + " min";
  return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
}

std::string time_at(const JsonValue& value, std::initializer_list<std::string_view> path) {
  return time_text(at(value, path).number().value_or(0));
}

std::string waits_text(const JsonValue& group) {
  const JsonValue& latency = at(group, {"latency_ms"});
  return std::to_string(count_at(group, {"waited"})) + " for " + time_at(group, {"waited_ms"}) +
         "; half of them up to " + time_at(latency, {"p50"}) + ", 90 % " +
         time_at(latency, {"p90"}) + ", 99 % " + time_at(latency, {"p99"}) + ", all " +
         time_at(latency, {"max"});
}

std::string percent_text(double ratio) { return fixed(ratio * 100, 1) + " %"; }

std::string line(std::string_view label, const std::string& text) {
  std::string padded(label);
  padded.resize(16, ' ');
  return padded + text + "\n";
}

std::string hits_text(const JsonValue& stats) {
  const auto ratio = at(stats, {"reads", "hit_ratio"}).number();
  return ratio ? ", " + percent_text(*ratio) + " answered at once" : std::string();
}

std::string fetched_text(const JsonValue& stats) {
  const std::uint64_t fetched = count_at(stats, {"network", "fetched_bytes"});
  const std::uint64_t wasted = count_at(stats, {"network", "wasted_bytes"});
  if (fetched == 0) return "nothing";
  return size_text(fetched) + ", " + size_text(wasted) + " of it for nothing";
}

std::string requests_text(const JsonValue& stats) {
  const auto number = [&](std::string_view name) {
    return std::to_string(count_at(stats, {"network", name}));
  };
  return number("list_requests") + " listings, " + number("stat_requests") + " names, " +
         number("read_requests") + " reads; " + number("retries") + " tried again";
}

std::string files_text(const JsonValue& stats) {
  const auto number = [&](std::string_view name) {
    return std::to_string(count_at(stats, {"files", name}));
  };
  return number("opened") + " opened, " + number("open") +
         " open; checksums: " + number("verified") + " right, " + number("mismatched") + " wrong";
}

std::string writes_text(const JsonValue& stats) {
  return std::to_string(count_at(stats, {"writes", "count"})) + ", " +
         size_text(count_at(stats, {"writes", "written_bytes"})) + "; " +
         std::to_string(count_at(stats, {"writes", "lost"})) + " lost";
}

std::string errors_text(const JsonValue& stats) {
  std::string text;
  if (const JsonValue::Object* errors = at(stats, {"errors"}).object()) {
    for (const auto& [kind, count] : *errors) {
      text += (text.empty() ? "" : ", ") + kind + " " +
              std::to_string(count.unsigned_integer().value_or(0));
    }
  }
  return text.empty() ? "none" : text;
}

std::string busiest_text(const JsonValue& stats) {
  const JsonValue::Array* files = at(stats, {"busiest_files"}).array();
  if (files == nullptr || files->empty()) return {};
  std::string text = "\n      READ     READS    WAITED  FILE\n";
  for (const JsonValue& file : *files) {
    std::array<char, 64> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "%10s%10s%10s  ",
                  size_text(count_at(file, {"wanted_bytes"})).c_str(),
                  std::to_string(count_at(file, {"reads"})).c_str(),
                  time_at(file, {"waited_ms"}).c_str());
    text += numbers.data() + printable(text_at(file, "path")) + "\n";
  }
  return text;
}

// --- the file ---

/// A name without a directory is one in the working directory.
fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

JsonValue to_json(const MountStats& stats) {
  return JsonValue(JsonValue::Object{
      {"version", json(kFormatVersion)},
      {"mount_point", json(printable(stats.mount_point.string()))},
      {"source", json(printable(stats.source))},
      {"pid", json(static_cast<std::uint64_t>(stats.pid))},
      {"since", json(time_text(stats.since))},
      {"uptime_ms", milliseconds(stats.uptime)},
      {"writable", JsonValue(stats.is_writable)},
      {"reads", json_of_reads(stats)},
      {"metadata", json_of_metadata(stats)},
      {"writes", JsonValue(JsonValue::Object{{"count", json(stats.writes)},
                                             {"written_bytes", json(stats.written_bytes)},
                                             {"lost", json(stats.lost_writes)}})},
      {"files", json_of_files(stats)},
      {"network", json_of_network(stats)},
      {"cache", JsonValue(JsonValue::Object{{"used_bytes", json(stats.cache_used_bytes)},
                                            {"bound_bytes", json(stats.cache_bound_bytes)}})},
      {"errors", json_of_errors(stats)},
      {"busiest_files", json_of_busiest(stats)}});
}

std::string to_readable(const JsonValue& stats) {
  const bool* writable = at(stats, {"writable"}).boolean();
  std::string text =
      line("mount", printable(text_at(stats, "mount_point"))) +
      line("source", printable(text_at(stats, "source"))) +
      line("process", std::to_string(count_at(stats, {"pid"})) + ", since " +
                          text_at(stats, "since") + ", " + time_at(stats, {"uptime_ms"})) +
      line("reads", std::to_string(count_at(stats, {"reads", "count"})) + ", " +
                        size_text(count_at(stats, {"reads", "wanted_bytes"})) + hits_text(stats)) +
      line("reads waited", waits_text(at(stats, {"reads"}))) +
      line("metadata", std::to_string(count_at(stats, {"metadata", "count"}))) +
      line("metadata waited", waits_text(at(stats, {"metadata"})));
  if (writable != nullptr && *writable) text += line("writes", writes_text(stats));
  return text + line("fetched", fetched_text(stats)) + line("requests", requests_text(stats)) +
         line("cache", size_text(count_at(stats, {"cache", "used_bytes"})) + " of " +
                           size_text(count_at(stats, {"cache", "bound_bytes"}))) +
         line("files", files_text(stats)) + line("errors", errors_text(stats)) +
         busiest_text(stats);
}

std::string summary_of(const MountStats& stats) {
  const JsonValue json = to_json(stats);
  return std::to_string(stats.reads) + " reads of " + size_text(stats.read_bytes) +
         hits_text(json) + ", waited " + time_at(json, {"reads", "waited_ms"}) + "; fetched " +
         fetched_text(json) + "; requests: " + requests_text(json) +
         "; errors: " + errors_text(json);
}

void check_report_path(const fs::path& path) {
  const std::string what = "report " + path.string();
  struct stat status {};
  const fs::path directory = directory_of(path);
  if (::stat(directory.c_str(), &status) != 0) throw Error::local_io(errno, what);
  if (!S_ISDIR(status.st_mode)) throw Error::local_io(ENOTDIR, what);
  if (::access(directory.c_str(), W_OK | X_OK) != 0) throw Error::local_io(errno, what);
  if (::stat(path.c_str(), &status) != 0) return;
  if (S_ISDIR(status.st_mode)) throw Error::local_io(EISDIR, what);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::LocalIo, what + ": is no regular file");
}

void write_report(const fs::path& path, const MountStats& stats) {
  const JsonValue json = to_json(stats);
  const std::string text = path.extension() == ".json" ? json.to_text() + "\n" : to_readable(json);
  AtomicFile file(open_directory(directory_of(path)), path.filename().string(), path.string(),
                  Durability::Synced);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace red
