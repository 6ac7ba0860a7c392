#include "cli/doctor/doctor.h"

#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cli/connectors.h"
#include "cli/doctor/finding_table.h"
#include "cli/doctor/machine_checks.h"
#include "cli/doctor/mount_checks.h"
#include "cli/doctor/server_checks.h"
#include "cli/stop_on_signals.h"
#include "common/cache/memory_limit.h"
#include "common/error.h"
#include "common/json/text_file.h"

namespace red {
namespace {

namespace fs = std::filesystem;

/// The most telling first: what can be mounted can be received.
constexpr std::array kPurposes{Purpose::MountDir, Purpose::ReceiveDir, Purpose::ReceiveFile,
                               Purpose::SendFile, Purpose::SendDir};

/// Access data, and what it is complete for.
struct Subject {
  Remote remote;  ///< for the first purpose
  std::vector<Purpose> purposes;
};

/// Nobody says what the access data is for: it is tried for everything. Where nothing fits, the
/// shortest list of problems comes from the closest fit.
Subject read_subject(std::string_view connector, const fs::path& file, const SiteOptions& site) {
  const JsonDocument document =
      parse_json(read_text_file(file, kMaxAccessBytes), "access data " + file.string());
  std::optional<Subject> subject;
  std::optional<Error> closest;
  for (const Purpose purpose : kPurposes) {
    if (!has_function(connector, purpose)) continue;
    try {
      Remote remote = prepare_remote(connector, document, purpose, site);
      if (!subject) subject = Subject{std::move(remote), {}};
      subject->purposes.push_back(purpose);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::InvalidAccess && error.kind() != ErrorKind::Unsupported) throw;
      if (!closest || error.message().size() < closest->message().size()) closest = error;
    }
  }
  if (!subject) throw Error(*closest);
  return std::move(*subject);
}

/// Shows rows and remembers which of them are bad.
class Report {
 public:
  void show(const FindingRow& row) {
    if (!has_head_) print(table_head(look_));
    has_head_ = true;
    print(table_row(row, look_));
    const bool is_bad =
        row.finding.status == FindingStatus::Missing || row.finding.status == FindingStatus::Failed;
    if (is_bad) bad_.push_back(row);
  }

  /// Throws Error{NotReady} if something that is needed is bad.
  void conclude(bool needs_mounts) const {
    std::string names;
    for (const FindingRow& row : bad_) {
      if (row.is_about_mounting && !needs_mounts) continue;
      names += (names.empty() ? "" : ", ") + row.what;
    }
    if (!names.empty()) throw Error(ErrorKind::NotReady, "not all is well: " + names);
  }

 private:
  static void print(const std::string& text) {
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
      throw Error::local_io(errno, "cannot write to the standard output");
    }
  }

  const TableLook look_ = look_of_stdout();
  bool has_head_ = false;
  std::vector<FindingRow> bad_;
};

/// What the site file and the environment say, and the access data on top of it.
CacheOptions cache_options(const SiteOptions& site, const Subject* subject) {
  if (subject) return subject->remote.options.cache;
  return to_access_options({}, site, {}).cache;
}

void show_limits(const CacheOptions& cache, Report& report) {
  const auto limit = container_memory_limit();
  report.show(check_memory(limit, cache.memory.value_or(default_cache_memory(limit))));
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  report.show(check_open_files(files.rlim_cur, files.rlim_max));
}

void show_machine(const SiteFileCheck& site_file, const Subject* subject, Report& report) {
  for (const FindingRow& row : judge(find_mount_facts())) report.show(row);
  const SiteOptions& site = site_file.site;
  const CacheOptions cache = cache_options(site, subject);
  report.show(site_file.row);
  report.show(check_ca_store(find_ca_store(), site.web.ca_certificate));
  report.show(check_proxies(proxy_variables(), site.web.proxy));
  report.show(check_clock(std::chrono::system_clock::now(), build_day()));
  report.show(check_cache_directory(cache.directory));
  show_limits(cache, report);
}

/// Whether it is about what can be mounted, as far as is known.
bool show_server(const Subject& subject, Report& report) {
  const StopOnSignals signals;
  const auto store = subject.remote.open();
  const ServerVerdict verdict =
      check_server(*store, {subject.purposes, subject.remote.archive.has_value()}, signals.token(),
                   [&report](const FindingRow& row) { report.show(row); });
  return !verdict.is_file && subject.purposes.front() == Purpose::MountDir;
}

}  // namespace

void run_doctor(std::string_view connector, const std::optional<fs::path>& access) {
  const SiteFileCheck site_file = check_site_file();
  std::optional<Subject> subject;
  if (access) subject = read_subject(connector, *access, site_file.site);
  Report report;
  show_machine(site_file, subject ? &*subject : nullptr, report);
  const bool needs_mounts =
      subject ? show_server(*subject, report) : has_function(connector, Purpose::MountDir);
  report.conclude(needs_mounts);
}

}  // namespace red
