#include "fuse/mount_point.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/unique_fd.h"
#include "fuse/mount_table.h"
#include "fuse/process_rights.h"
#include "fuse/unmount.h"

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDevice = "/dev/fuse";
constexpr std::string_view kContainerHint =
    " (a container needs the device /dev/fuse and the capability CAP_SYS_ADMIN; receive-dir works "
    "without them)";

std::string text_of(int error_number, std::string_view what) {
  return Error::local_io(error_number, what).message();
}

[[noreturn]] void fail(const fs::path& mount_point, std::string_view why) {
  throw Error(ErrorKind::Mount,
              "cannot mount at " + mount_point.string() + ": " + std::string(why));
}

/// The place of a directory that may be missing.
fs::path resolve(const fs::path& wanted) {
  try {
    return locate_directory(wanted).real_path;
  } catch (const Error& error) {
    if (error.error_number() == ENOTDIR) fail(wanted, "it is not a directory");
    if (error.error_number() != ENOENT) fail(wanted, error.message());
  }
  fs::path missing = fs::absolute(wanted);
  if (!missing.has_filename()) missing = missing.parent_path();
  std::error_code failure;
  const fs::path parent = fs::canonical(missing.parent_path(), failure);
  if (failure) fail(wanted, text_of(failure.value(), missing.parent_path().string()));
  return parent / missing.filename();
}

bool make_directory(const fs::path& path) {
  constexpr mode_t kMode = 0755;
  if (::mkdir(path.c_str(), kMode) == 0) return true;
  if (errno != EEXIST) fail(path, text_of(errno, "it does not exist and cannot be made"));
  return false;
}

void refuse_mount_of_ours(const fs::path& path, const MountRegistry& registry) {
  const MountTable table = read_mount_table();
  const MountEntry* top = find_top_mount(table, path);
  if (top == nullptr || !top->is_ours()) return;
  const auto registered = registry.find(path);
  if (registered && registered->daemon_alive) {
    fail(path, "it is already a mount of ours, served by process " +
                   std::to_string(registered->record.pid));
  }
  fail(path, "a mount is there that was left by a daemon that was killed; umount-dir removes it");
}

void refuse_entries(const fs::path& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) {
    if (errno == ENOTDIR) fail(path, "it is not a directory");
    fail(path, text_of(errno, "it cannot be listed"));
  }
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") fail(path, "the directory is not empty");
  }
}

}  // namespace

void check_that_mounting_works() {
  const UniqueFd device(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!device) {
    throw Error(ErrorKind::Mount, text_of(errno, "cannot mount: cannot open /dev/fuse") +
                                      std::string(kContainerHint));
  }
  if (read_process_rights().can_mount) return;
  if (::geteuid() == 0) {
    throw Error(ErrorKind::Mount, "cannot mount: root lacks the capability CAP_SYS_ADMIN" +
                                      std::string(kContainerHint));
  }
  if (!find_fusermount()) {
    throw Error(ErrorKind::Mount,
                "cannot mount: a user other than root needs fusermount3, which is not installed "
                "(Debian package fuse3; receive-dir works without it)");
  }
}

MountPoint prepare_mount_point(const fs::path& wanted, const MountRegistry& registry) {
  const fs::path path = resolve(wanted);
  registry.settle(path);
  const bool made_directory = make_directory(path);
  if (!made_directory) {
    refuse_mount_of_ours(path, registry);
    refuse_entries(path);
  }
  return {path, made_directory};
}

}  // namespace red
