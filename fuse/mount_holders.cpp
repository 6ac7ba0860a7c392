#include "fuse/mount_holders.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "common/unique_fd.h"
#include "fuse/bounded_child.h"

namespace red {
namespace {

namespace fs = std::filesystem;

using Put = std::function<void(const fs::path& path)>;

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code failure;
  for (fs::directory_iterator at(directory, failure), end; !failure && at != end;
       at.increment(failure)) {
    entries.push_back(at->path());
  }
  return entries;
}

void put_target(const fs::path& link, const Put& put) {
  std::error_code failure;
  const fs::path target = fs::read_symlink(link, failure);
  if (!failure) put(target);
}

void put_open_files(const fs::path& process, const MountEntry& mount, const Put& put) {
  for (const fs::path& fdinfo : entries_of(process / "fdinfo")) {
    if (mount_id_in(fdinfo) == mount.id) put_target(process / "fd" / fdinfo.filename(), put);
  }
}

void put_directories(const fs::path& process, const MountEntry& mount, const Put& put) {
  for (const char* const name : {"cwd", "root"}) {
    const UniqueFd fd(::open((process / name).c_str(), O_PATH | O_CLOEXEC));
    if (fd && mount_id_in("/proc/self/fdinfo/" + std::to_string(fd.get())) == mount.id) {
      put_target(process / name, put);
    }
  }
}

/// The program is among the mapped files. Lines: range, permissions, offset, device in hexadecimal,
/// inode, path.
void put_mapped_files(const fs::path& process, const MountEntry& mount, const Put& put) {
  std::array<char, 24> device{};
  std::snprintf(device.data(), device.size(), "%02x:%02x", mount.device.major, mount.device.minor);
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range, permissions, offset, device_field, inode, path;
    fields >> range >> permissions >> offset >> device_field >> inode >> std::ws;
    if (device_field == device.data() && std::getline(fields, path)) put(path);
  }
}

std::string name_of_process(const fs::path& process) {
  std::string name;
  std::ifstream stream(process / "comm");
  std::getline(stream, name);
  return name;
}

/// This one holds what it inherited, and for a moment only.
bool is_other_process(const fs::path& entry) {
  const std::string name = entry.filename().string();
  return name != std::to_string(::getpid()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Pid, name and path, each with a NUL behind it: what no name can hold.
void write_holders(const MountEntry& mount, const std::function<void(std::string_view)>& write) {
  for (const fs::path& process : entries_of("/proc")) {
    if (!is_other_process(process)) continue;
    const Put put = [&](const fs::path& path) {
      write(process.filename().string() + '\0' + name_of_process(process) + '\0' + path.string() +
            '\0');
    };
    put_open_files(process, mount, put);
    put_directories(process, mount, put);
    put_mapped_files(process, mount, put);
  }
}

std::vector<MountHolder> parse_holders(const std::string& text) {
  std::vector<MountHolder> holders;
  std::istringstream stream(text);
  std::string pid, name, path;
  while (std::getline(stream, pid, '\0') && std::getline(stream, name, '\0') &&
         std::getline(stream, path, '\0') && !stream.eof()) {
    MountHolder holder{0, name, path};
    std::from_chars(pid.data(), pid.data() + pid.size(), holder.pid);
    holders.push_back(std::move(holder));
  }
  return holders;
}

}  // namespace

std::vector<MountHolder> find_holders(const MountEntry& mount, std::chrono::milliseconds limit) {
  // Looking into a process can hang while it waits for a page of the mount.
  const BoundedResult result = run_bounded(
      limit,
      [&mount](const std::function<void(std::string_view)>& put) { write_holders(mount, put); });
  std::vector<MountHolder> holders = parse_holders(result.output);
  std::sort(holders.begin(), holders.end());
  holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
  return holders;
}

}  // namespace red
