#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace red {

/// The file system type under which the kernel shows our mounts.
inline constexpr std::string_view kMountType = "fuse.red-connector";

/// Device number of a mounted file system.
struct DeviceNumber {
  unsigned major = 0;
  unsigned minor = 0;

  bool operator==(const DeviceNumber&) const = default;
};

/// "major:minor", as the kernel writes it.
std::string to_string(const DeviceNumber& device);
/// The inverse; nothing if the text is no device number.
std::optional<DeviceNumber> parse_device_number(std::string_view text);

/// One line of /proc/self/mountinfo, see proc(5).
struct MountEntry {
  int id = 0;
  int parent_id = 0;
  DeviceNumber device;
  std::filesystem::path mount_point;
  std::string type;
  std::string source;
  std::optional<uid_t> owner;  ///< who mounted it; FUSE only

  bool is_ours() const { return type == kMountType; }
};

using MountTable = std::vector<MountEntry>;

/// Lines that cannot be understood are left out.
MountTable parse_mount_table(std::string_view mountinfo);

/// The mounts that this process sees. Touches no mounted file system. Throws Error{Mount}.
MountTable read_mount_table();

/// The mount that covers all others at `mount_point`; null if nothing is mounted there.
const MountEntry* find_top_mount(const MountTable& table, const std::filesystem::path& mount_point);

/// Whether what is seen at `mount_point` is the mount with this device.
bool is_mounted(const MountTable& table, const std::filesystem::path& mount_point,
                const DeviceNumber& device);

/// A directory found without asking the file system that is mounted there, which may be stalled or
/// dead.
struct LocatedDirectory {
  std::filesystem::path real_path;
  int mount_id = 0;  ///< MountEntry::id of the mount that it belongs to
};

/// The mount that the open file belongs to whose /proc/PID/fdinfo/FD is given; nothing if it is
/// gone or may not be read.
std::optional<int> mount_id_in(const std::filesystem::path& fdinfo);

/// Follows symbolic links. Throws Error{LocalIo} with the errno of open(2) if it is no directory.
LocatedDirectory locate_directory(const std::filesystem::path& path);

}  // namespace red
