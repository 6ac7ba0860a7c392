#pragma once

#include <filesystem>

namespace red {

/// What the kernel lets this process do about mounts.
struct ProcessRights {
  bool can_mount = false;          ///< CAP_SYS_ADMIN is effective
  bool may_gain_mount = false;     ///< it is in the bounding set: set-user-ID root can give it
  bool no_new_privileges = false;  ///< set-user-ID is ignored (PR_SET_NO_NEW_PRIVS)
};

/// Reads /proc/self/status (proc(5)), or the file that a test gives.
ProcessRights read_process_rights(const std::filesystem::path& status = "/proc/self/status");

/// Whether the capabilities of this process count for the mounts that it sees: they belong to a
/// user namespace, and so does the mount namespace.
bool owns_mount_namespace();

/// Whether it is in the user namespace that the system has started with, as far as can be told.
bool is_in_initial_user_namespace(const std::filesystem::path& uid_map = "/proc/self/uid_map");

}  // namespace red
