#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/logging.h"
#include "common/remote/counting_store.h"
#include "common/remote/remote_store.h"
#include "fuse/mount_stats.h"

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
  bool is_known_tree = false;  ///< what the store lists is the truth, and stays it
  /// Called in the process that serves the mount, never before the fork. May start threads.
  std::function<std::unique_ptr<RemoteStore>()> open_store;
  /// Counts what that store is asked for, if there is one.
  const RemoteCounters* remote_counters = nullptr;
  /// How the daemon tells its statistics; see ask_mount_stats().
  std::function<std::string(const MountStats&)> format_stats;
  /// Called when a mount that was ready has ended, unless the process had to be ended by force.
  std::function<void(const MountStats&)> on_end;
};

/// Mounts and, unless in the foreground, returns when the directory can be listed; the daemon goes
/// on in a process of its own. In the foreground: returns when the mount has ended. Throws what
/// went wrong; then there is no mount, no process and no directory that this call made.
void mount_dir(const MountRequest& request);

/// Ends the mount at `mount_point` within 10 s; removes the directory if mount_dir made it. Files
/// that are still open after 2 s: the mount is detached, and their holders are named on stderr.
void umount_dir(const std::filesystem::path& mount_point);

/// What the daemon of the mount answers: its statistics as its MountRequest formats them. Throws
/// Error{Mount} if there is no mount of ours, or its daemon is dead, Error{PermissionDenied} for
/// the mount of another user, Error{TimedOut} if the daemon does not answer within 3 s.
std::string ask_mount_stats(const std::filesystem::path& mount_point);

/// Prints the table of this user's mounts (path, source, pid, age, cache use) to stdout.
void print_mounts();

}  // namespace red
