#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "fuse/mount_table.h"

namespace red {

/// A process that keeps a mount busy, and by what: an open file, its working or root directory, its
/// program or a mapped file.
struct MountHolder {
  pid_t pid = 0;
  std::string process_name;
  std::filesystem::path path;

  auto operator<=>(const MountHolder&) const = default;
};

/// As many as are found in the time, in order of pid, each path of a process once. Processes that
/// the caller may not look into are left out. Touches nothing inside the mount. The calling process
/// must have one thread only.
std::vector<MountHolder> find_holders(const MountEntry& mount, std::chrono::milliseconds limit);

}  // namespace red
