#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/logging.h"
#include "common/remote/remote_store.h"

namespace red {

struct MountRequest {
  std::filesystem::path mount_point;
  std::string source;  ///< shown in the mount table; no credentials, no query
  std::uint64_t cache_bytes = 0;
  bool keep_cache = true;  ///< false: nothing is kept between reads
  bool allow_other = false;
  bool foreground = false;
  bool debug = false;
  LogLevel log_level = LogLevel::Info;
  std::optional<std::filesystem::path> log_file;
  /// Called in the process that serves the mount, never before the fork. May start threads.
  std::function<std::unique_ptr<RemoteStore>()> open_store;
};

/// Mounts and, unless in the foreground, returns when the directory can be listed; the daemon goes
/// on in a process of its own. In the foreground: returns when the mount has ended. Throws what
/// went wrong; then there is no mount, no process and no directory that this call made.
void mount_dir(const MountRequest& request);

/// Ends the mount at `mount_point` within 10 s; removes the directory if mount_dir made it. Files
/// that are still open after 2 s: the mount is detached, and their holders are named on stderr.
void umount_dir(const std::filesystem::path& mount_point);

/// Prints the table of this user's mounts (path, source, pid, age, cache use) to stdout.
void print_mounts();

}  // namespace red
