#include "cli/doctor/machine_checks.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/cache/cache_directory.h"
#include "common/error.h"
#include "common/net/certificate.h"
#include "fuse/bounded_child.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// A file system that does not answer within this time is of no use as a cache.
constexpr std::chrono::seconds kFileSystemLimit{5};
// Longer than anybody uses one build; certificates seem to have expired to a clock that is ahead.
constexpr std::chrono::years kLongestUse{10};
constexpr std::uint64_t kFewOpenFiles = 256;
constexpr std::uint64_t kNoMemoryLimit = std::uint64_t{1} << 60;
constexpr std::uint64_t kLittleMemory = 64 << 20;
constexpr std::uint64_t kLittleSpace = 1 << 30;

FindingRow row(std::string what, FindingStatus status, std::string text) {
  return {std::move(what), {status, std::move(text)}};
}

std::string with_count(std::size_t count, std::string_view thing) {
  return std::to_string(count) + " " + std::string(thing) + (count == 1 ? "" : "s");
}

/// Nothing if it cannot be read.
std::optional<std::string> read_all(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) return std::nullopt;
  return text.str();
}

// --- The trust store -----------------------------------------------------------------------------

constexpr std::string_view kInstallCertificates =
    ": HTTPS servers cannot be verified; install ca-certificates, or give caCertificate";

FindingRow trust_row(const std::string& place, std::size_t count) {
  if (count == 0) {
    return row("CA store", FindingStatus::Missing,
               place + " holds no certificate" + std::string(kInstallCertificates));
  }
  return row("CA store", FindingStatus::Ok, place + ", " + with_count(count, "certificate"));
}

/// OpenSSL finds a certificate by the hash of its subject: "9d66eef0.0".
bool is_hash_name(const std::string& name) {
  constexpr std::size_t kDigits = 8;
  return name.size() > kDigits + 1 && name[kDigits] == '.' &&
         name.find_first_not_of("0123456789abcdef") == kDigits;
}

std::size_t certificates_in_directory(const fs::path& directory) {
  std::size_t count = 0;
  std::error_code failure;
  for (fs::directory_iterator entry(directory, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const auto text = is_hash_name(entry->path().filename().string())
                          ? read_all(entry->path())
                          : std::optional<std::string>();
    if (text && holds_certificate(*text)) ++count;
  }
  return count;
}

std::string_view words_for(CaStore::Origin origin) {
  switch (origin) {
    case CaStore::Origin::Environment:
      return " (SSL_CERT_FILE)";
    case CaStore::Origin::System:
      return "";
    case CaStore::Origin::OwnCopy:
      return " (came with the program)";
  }
  return "";
}

// --- The cache directory -------------------------------------------------------------------------

// The local ones that a cache is likely to be put on (linux/magic.h, statfs(2)).
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 7> kFileSystems{{
    {EXT4_SUPER_MAGIC, "ext4"},
    {XFS_SUPER_MAGIC, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"},
    {0x2FC12FC1, "zfs"},
    {F2FS_SUPER_MAGIC, "f2fs"},
    {OVERLAYFS_SUPER_MAGIC, "overlay"},
    {TMPFS_MAGIC, "tmpfs, which is memory"},
}};

std::string_view name_of_file_system(const fs::path& directory) {
  struct statfs system = {};
  if (::statfs(directory.c_str(), &system) == 0) {
    for (const auto& [magic, name] : kFileSystems) {
      if (magic == static_cast<std::uint32_t>(system.f_type)) return name;
    }
  }
  return "a file system of another kind";
}

/// With a file that has no name and is gone when it is closed (open(2), O_TMPFILE).
int error_of_writing(const fs::path& directory) {
  const int file = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) {
    ::close(file);
    return 0;
  }
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return errno;
  return ::access(directory.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
}

/// The directory, or the nearest above it that exists: a cache makes what is missing.
fs::path existing_part(fs::path directory) {
  std::error_code failure;
  while (!fs::exists(directory, failure) && directory.has_relative_path()) {
    directory = directory.parent_path();
  }
  return directory;
}

/// Throws what stands in the way of a cache. May hang with its file system.
Finding look_at_cache_directory(const fs::path& directory) {
  const fs::path existing = existing_part(directory);
  const bool exists = existing == directory;
  if (exists) CacheDirectory::check(directory);
  if (const int error = error_of_writing(existing); error != 0) {
    throw Error::local_io(error, existing.string() + " cannot be written");
  }
  struct statvfs space = {};
  if (::statvfs(existing.c_str(), &space) != 0) throw Error::local_io(errno, existing.string());
  const std::uint64_t free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  return {free < kLittleSpace ? FindingStatus::Note : FindingStatus::Ok,
          directory.string() + (exists ? ", writable, " : ", made when it is needed, ") +
              bytes_text(free) + " free, " + std::string(name_of_file_system(existing))};
}

/// The same for one that cannot be: everything works without.
Finding judge_cache_directory(const fs::path& directory) {
  try {
    return look_at_cache_directory(directory);
  } catch (const Error& error) {
    return {FindingStatus::Note, error.message() + ": what is read is kept in memory only"};
  }
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (amount >= 1024 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit > 0 && amount < 100 ? "%.1f %s" : "%.0f %s", amount,
                kUnits[unit]);
  return text.data();
}

SiteFileCheck check_site_file(const fs::path& file) {
  constexpr const char* kWhat = "site file";
  std::error_code ignored;
  const bool exists = fs::exists(file, ignored);
  try {
    SiteOptions site = read_site_options(file);
    return {row(kWhat, FindingStatus::Ok,
                file.string() + (exists ? " is valid" : " does not exist, and need not")),
            std::move(site)};
  } catch (const Error& error) {
    return {row(kWhat, FindingStatus::Failed,
                error.message() + "\nevery command fails until it is mended"),
            {}};
  }
}

FindingRow check_ca_store(const std::optional<CaStore>& store,
                          const std::optional<std::string>& ca_certificate) {
  if (ca_certificate) {
    return trust_row("caCertificate of the site file", count_certificates(*ca_certificate));
  }
  if (!store) {
    return row("CA store", FindingStatus::Missing,
               "there is none" + std::string(kInstallCertificates));
  }
  const std::string path = store->path.string();
  if (store->is_directory) return trust_row(path, certificates_in_directory(path));
  const auto text = read_all(path);
  if (text)
    return trust_row(path + std::string(words_for(store->origin)), count_certificates(*text));
  return row("CA store", FindingStatus::Missing,
             path + " cannot be read" + std::string(kInstallCertificates));
}

FindingRow check_proxies(const std::vector<ProxyVariable>& variables,
                         const std::optional<std::string>& site_proxy) {
  std::string text;
  if (site_proxy) text = "of the site file: " + without_credentials(*site_proxy);
  for (const ProxyVariable& each : variables) {
    text += (text.empty() ? "" : "\n") + std::string(each.name) + "=" + each.value;
  }
  if (text.empty()) return row("proxies", FindingStatus::Ok, "none");
  return row("proxies", FindingStatus::Note, text);
}

std::chrono::sys_days build_day() {
  constexpr std::string_view kDay = RED_BUILD_DAY;  // "2025-06-30"
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  std::sscanf(kDay.data(), "%d-%u-%u", &year, &month, &day);
  return std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) /
                               std::chrono::day(day));
}

FindingRow check_clock(std::chrono::system_clock::time_point now, std::chrono::sys_days built) {
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(now));
  std::array<char, 32> day{};
  std::snprintf(day.data(), day.size(), "%04d-%02u-%02u", static_cast<int>(today.year()),
                static_cast<unsigned>(today.month()), static_cast<unsigned>(today.day()));
  const std::string date(day.data());
  constexpr std::string_view kAdvice = ": set it, or no certificate is valid";
  if (now < built - std::chrono::days(1)) {
    return row("clock", FindingStatus::Failed,
               date + " is before this program was built" + std::string(kAdvice));
  }
  if (now > built + kLongestUse) {
    return row(
        "clock", FindingStatus::Failed,
        date + " is more than ten years after this program was built" + std::string(kAdvice));
  }
  return row("clock", FindingStatus::Ok, date + " (UTC) is plausible");
}

FindingRow check_cache_directory(const std::optional<fs::path>& directory) {
  constexpr const char* kWhat = "cache directory";
  if (!directory) {
    return row(kWhat, FindingStatus::Ok, "none is set: what is read is kept in memory");
  }
  const BoundedResult result = run_bounded(kFileSystemLimit, [&directory](const auto& put) {
    const Finding finding = judge_cache_directory(*directory);
    put(finding.status == FindingStatus::Ok ? "+" : "-");
    put(finding.text);
  });
  if (!result.finished || result.output.empty()) {
    return row(kWhat, FindingStatus::Note, directory->string() + ": no answer within 5 s");
  }
  return row(kWhat, result.output.front() == '+' ? FindingStatus::Ok : FindingStatus::Note,
             result.output.substr(1));
}

FindingRow check_memory(std::optional<std::uint64_t> limit, std::uint64_t cache_bound) {
  // Version 1 of control groups writes no limit as a number that no machine reaches.
  if (limit && *limit >= kNoMemoryLimit) limit.reset();
  const std::string text = (limit ? "limit " + bytes_text(*limit) : std::string("no limit")) +
                           "; the cache of a mount takes up to " + bytes_text(cache_bound);
  const bool is_little = limit && *limit < kLittleMemory;
  return row("memory", is_little ? FindingStatus::Note : FindingStatus::Ok,
             text + (is_little ? ": little for anything else; raise the limit" : ""));
}

FindingRow check_open_files(std::uint64_t soft, std::uint64_t hard) {
  const auto number = [](std::uint64_t limit) {
    return limit == RLIM_INFINITY ? std::string("no limit") : std::to_string(limit);
  };
  const bool is_little = soft < kFewOpenFiles;
  return row("open files", is_little ? FindingStatus::Note : FindingStatus::Ok,
             number(soft) + " per process (at most " + number(hard) + ")" +
                 (is_little ? ": few for many connections; ulimit -n 1024" : ""));
}

}  // namespace red
