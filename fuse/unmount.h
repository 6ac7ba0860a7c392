#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "fuse/mount_table.h"

namespace red {

enum class UnmountResult {
  Done,
  Busy,        ///< somebody has a file or directory of it open
  NotMounted,  ///< nothing of ours is mounted there (any more)
};

/// Takes the mount off the tree if nobody uses it. Uses fusermount3 where the process may not do it
/// itself. Touches nothing inside the mount; takes no longer than 2 s. Throws Error{Mount}.
UnmountResult unmount(const std::filesystem::path& mount_point);

/// Takes the mount off the tree at once; it lives on for those who have something of it open.
/// Otherwise the same. Never Busy.
UnmountResult detach(const std::filesystem::path& mount_point);

/// Where fusermount3 is; nothing if it is not installed. The parameter is for tests.
std::optional<std::filesystem::path> find_fusermount(const std::filesystem::path& root = "/");

}  // namespace red
