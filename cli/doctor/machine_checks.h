#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/doctor/finding_table.h"
#include "common/access/shared_fields.h"
#include "common/net/ca_store.h"
#include "common/net/proxy.h"

namespace red {

// What transferring needs of the machine, a row each. None of them prints a secret.

/// The site file, and what it says; an empty one if it is wrong.
struct SiteFileCheck {
  FindingRow row;
  SiteOptions site;
};
SiteFileCheck check_site_file(const std::filesystem::path& file = kSiteFile);

/// `ca_certificate` is what the site file gives instead of the store; PEM.
FindingRow check_ca_store(const std::optional<CaStore>& store,
                          const std::optional<std::string>& ca_certificate);

FindingRow check_proxies(const std::vector<ProxyVariable>& variables,
                         const std::optional<std::string>& site_proxy);

/// The day this program was built on (UTC).
std::chrono::sys_days build_day();
FindingRow check_clock(std::chrono::system_clock::time_point now, std::chrono::sys_days built);

/// Looks at the file system in a child process, because a server that is gone lets every look at it
/// hang. One thread only.
FindingRow check_cache_directory(const std::optional<std::filesystem::path>& directory);

FindingRow check_memory(std::optional<std::uint64_t> limit, std::uint64_t cache_bound);

/// `soft` and `hard` as getrlimit(2) gives them.
FindingRow check_open_files(std::uint64_t soft, std::uint64_t hard);

/// "1.5 GiB", "512 B".
std::string bytes_text(std::uint64_t bytes);

}  // namespace red
