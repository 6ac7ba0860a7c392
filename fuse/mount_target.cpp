#include "fuse/mount_target.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_as_foreign(const fs::path& path, std::string_view verb,
                                  const std::string& why = "") {
  throw Error(ErrorKind::Mount, "cannot " + std::string(verb) + " " + path.string() +
                                    ": it is no mount of ours" +
                                    (why.empty() ? "" : " (" + why + ")"));
}

MountEntry find_mount(const fs::path& path, std::string_view verb) {
  LocatedDirectory located;
  try {
    located = locate_directory(path);
  } catch (const Error& error) {
    fail_as_foreign(path, verb, error.message());
  }
  for (const MountEntry& entry : read_mount_table()) {
    const bool matches = entry.id == located.mount_id && entry.mount_point == located.real_path;
    if (matches && entry.is_ours()) return entry;
  }
  fail_as_foreign(path, verb);
}

}  // namespace

/// A record is a file of the mount's owner: root must not be led by it to a process of somebody
/// else.
MountTarget find_mount_target(const fs::path& path, std::string_view verb) {
  MountTarget target{find_mount(path, verb), {}, {}, {}};
  const uid_t owner = target.mount.owner.value_or(::geteuid());
  target.registry = MountRegistry::find_of(owner);
  if (!target.registry) return target;
  const auto registered = target.registry->find(target.mount.mount_point);
  if (!registered ||
      registered->record.device.value_or(target.mount.device) != target.mount.device) {
    return target;
  }
  target.record = registered->record;
  auto daemon = ProcessHandle::find(registered->record.pid, registered->record.start_ticks);
  if (registered->daemon_alive && daemon && daemon->user() == owner) {
    target.daemon = std::move(daemon);
  }
  return target;
}

}  // namespace red
