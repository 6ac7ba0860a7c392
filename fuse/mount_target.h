#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "fuse/mount_registry.h"
#include "fuse/mount_table.h"
#include "fuse/process_handle.h"

namespace red {

/// A mount of ours that a command was pointed to, and who serves it, as far as it was recorded.
struct MountTarget {
  MountEntry mount;
  std::optional<MountRegistry> registry;
  std::optional<MountRecord> record;
  std::optional<ProcessHandle> daemon;  ///< if it lives
};

/// Touches nothing inside the mount. Throws Error{Mount}, "cannot VERB PATH: …", if there is no
/// mount of ours.
MountTarget find_mount_target(const std::filesystem::path& path, std::string_view verb);

}  // namespace red
