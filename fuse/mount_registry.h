#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/unique_fd.h"
#include "fuse/mount_table.h"

namespace red {

/// What is written down about one mount. Holds no secret.
struct MountRecord {
  std::filesystem::path mount_point;  ///< real path
  std::string source;
  pid_t pid = 0;                       ///< the daemon
  std::uint64_t start_ticks = 0;       ///< see start_ticks_of()
  std::optional<DeviceNumber> device;  ///< once it is mounted
  bool made_directory = false;         ///< mount-dir made the mount point
  std::chrono::sys_seconds since;
  std::uint64_t mount_namespace = 0;  ///< inode of /proc/self/ns/mnt

  bool operator==(const MountRecord&) const = default;
};

/// The record of a mount that the calling process is about to serve.
MountRecord record_for_this_process(const std::filesystem::path& mount_point,
                                    const std::string& source, bool made_directory);

/// One "key=value" line a field; control characters and '%' become %XX.
std::string format_record(const MountRecord& record);
/// Nothing if a field is missing or no such value can be: the file was cut short or is not ours.
std::optional<MountRecord> parse_record(std::string_view text);

struct RegisteredMount {
  MountRecord record;
  bool daemon_alive = false;
};

class MountRegistry;

/// A daemon's hold on its record: alive as long as this object, or the process, lives. Not
/// thread-safe.
class MountClaim {
 public:
  /// Releases.
  ~MountClaim();
  MountClaim(MountClaim&& other) noexcept;
  MountClaim& operator=(MountClaim&&) = delete;

  const MountRecord& record() const noexcept { return record_; }
  /// Writes down that it is mounted now. Throws Error{Mount}.
  void set_device(const DeviceNumber& device);

  /// Files of this daemon alone, in the private directory; removed with the claim.
  std::filesystem::path log_path() const;
  std::filesystem::path losses_path() const;
  std::filesystem::path socket_path() const;

  /// Removes the record, and the mount point if mount-dir made it, it is empty and nobody else has
  /// taken the record over. Idempotent.
  void release() noexcept;

 private:
  friend class MountRegistry;
  MountClaim(const MountRegistry& registry, MountRecord record);

  void write();

  std::filesystem::path directory_;
  UniqueFd directory_fd_;
  MountRecord record_;
  UniqueFd locked_file_;  ///< its lock is the proof that the daemon lives
};

/// Which daemon serves which directory: a private directory per user, with one file for each mount.
/// The place depends on the user alone, so that every command finds it whatever its environment.
/// Changes are made under a lock on the directory; safe between processes, not between threads.
class MountRegistry {
 public:
  /// The calling user's registry; made if it does not exist. Throws Error{Mount} if there is no
  /// place for it.
  static MountRegistry open();
  /// The registry of any user, for root; nothing if there is none that can be trusted.
  static std::optional<MountRegistry> find_of(uid_t user);
  /// Nothing if the directory does not exist, is not private to `user`, or cannot be written.
  static std::optional<MountRegistry> find_at(const std::filesystem::path& directory, uid_t user);
  /// Makes the directory (its parent exists) if needed; the same check.
  static std::optional<MountRegistry> make_at(const std::filesystem::path& directory);

  /// Takes the record's mount point for the calling process. Throws Error{Mount} if a living daemon
  /// has it. Sweeps what dead daemons left.
  MountClaim claim(MountRecord record) const;

  /// The record of a mount point of this mount namespace.
  std::optional<RegisteredMount> find(const std::filesystem::path& mount_point) const;
  std::vector<RegisteredMount> list() const;

  /// Waits, at most 2 s, for a daemon at `mount_point` that is mounting or ending, and forgets one
  /// that only serves the open files of a mount that was detached: afterwards the mount point can
  /// be claimed, or is in use.
  void settle(const std::filesystem::path& mount_point) const;

  /// Ends the registration of exactly this mount on behalf of its daemon, living or dead: removes
  /// the record, and the mount point if mount-dir made it. Does nothing if the record is gone.
  void retire(const MountRecord& record) const;

  /// Leaves no empty directory behind; whoever has it open makes it anew with the next claim.
  void remove_if_unused() const noexcept;

  std::filesystem::path socket_path(const MountRecord& record) const;
  std::filesystem::path losses_path(const MountRecord& record) const;

 private:
  friend class MountClaim;
  MountRegistry(std::filesystem::path directory, UniqueFd directory_fd)
      : directory_(std::move(directory)), directory_fd_(std::move(directory_fd)) {}

  void remove(const MountRecord& record, bool with_mount_point) const;
  std::optional<RegisteredMount> read(const std::string& name) const;
  std::vector<std::string> names() const;
  void sweep() const;

  std::filesystem::path directory_;
  UniqueFd directory_fd_;
};

}  // namespace red
