#pragma once

#include <filesystem>

#include "fuse/mount_registry.h"

namespace red {

struct MountPoint {
  std::filesystem::path path;   ///< absolute, without symbolic links
  bool made_directory = false;  ///< by prepare_mount_point()
};

/// Throws Error{Mount} with what to do if this process cannot mount anything.
void check_that_mounting_works();

/// Makes sure of an empty directory where nothing of ours is mounted; makes its last component if
/// it is missing. Throws Error{Mount} that names it; then nothing was made.
MountPoint prepare_mount_point(const std::filesystem::path& wanted, const MountRegistry& registry);

}  // namespace red
