#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "cli/doctor/finding_table.h"
#include "fuse/mount_trial.h"
#include "fuse/process_rights.h"

namespace red {

/// What mounting depends on.
struct MountFacts {
  int device_error = 0;  ///< errno of opening /dev/fuse for reading and writing; 0: it is open
  bool is_root = false;
  ProcessRights rights = {};
  bool owns_mounts = true;  ///< owns_mount_namespace()
  bool is_in_initial_user_namespace = true;
  std::optional<std::filesystem::path> fusermount = {};
  bool fusermount_is_setuid_root = false;
  bool fusermount_may_be_setuid = false;  ///< its file system is not mounted "nosuid"
  bool user_allow_other = false;          ///< in /etc/fuse.conf
  MountTrial trial = {};
};

/// Collects them for this process; below `root` as far as they are files. One thread only.
MountFacts find_mount_facts(const std::filesystem::path& root = "/");

/// What they mean.
std::vector<FindingRow> judge(const MountFacts& facts);

}  // namespace red
