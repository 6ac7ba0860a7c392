#include "fuse/process_rights.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>

#include "common/unique_fd.h"

namespace red {
namespace {

bool holds_sys_admin(std::ifstream& status) {
  std::uint64_t capabilities = 0;
  return status >> std::hex >> capabilities && (capabilities >> CAP_SYS_ADMIN & 1) != 0;
}

bool are_same(int first, int second) {
  struct stat a = {};
  struct stat b = {};
  return ::fstat(first, &a) == 0 && ::fstat(second, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

}  // namespace

ProcessRights read_process_rights(const std::filesystem::path& path) {
  ProcessRights rights;
  std::ifstream status(path);
  std::string word;
  while (status >> word) {
    if (word == "CapEff:") rights.can_mount = holds_sys_admin(status);
    if (word == "CapBnd:") rights.may_gain_mount = holds_sys_admin(status);
    if (word == "NoNewPrivs:") status >> rights.no_new_privileges;
  }
  return rights;
}

bool owns_mount_namespace() {
  const UniqueFd mounts(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  const UniqueFd user(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  // A kernel without user namespaces has one owner for everything.
  if (!mounts || !user) return true;
  // ioctl_ns(2): EPERM means that the owner is above us; ENOTTY, a kernel before 4.9.
  const UniqueFd owner(::ioctl(mounts.get(), NS_GET_USERNS));
  return owner ? are_same(owner.get(), user.get()) : errno == ENOTTY;
}

bool is_in_initial_user_namespace(const std::filesystem::path& path) {
  std::ifstream map(path);
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  if (!(map >> inside >> outside >> count)) return true;
  constexpr std::uint64_t kAll = 4'294'967'295;
  return inside == 0 && outside == 0 && count == kAll;
}

}  // namespace red
