#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <thread>

#include "common/error.h"
#include "fuse/mount_daemon.h"
#include "fuse/mount_holders.h"
#include "fuse/mount_registry.h"
#include "fuse/mount_table.h"
#include "fuse/mount_target.h"
#include "fuse/printable.h"
#include "fuse/process_handle.h"
#include "fuse/unmount.h"
#include "fuse/write_losses.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Together with one slow call of fusermount3 each (2 s) they stay below the 10 s that were
// promised.
constexpr auto kBusyLimit = 2000ms;
constexpr auto kBusyPause = 50ms;
constexpr auto kHolderSearchLimit = 1500ms;
constexpr auto kEndsByItselfLimit = 3000ms;  // it may have writes to send
constexpr auto kEndsBySignalLimit = 3000ms;
constexpr auto kDiesLimit = 1000ms;

/// The kernel tells nobody when the last file is closed: try again.
UnmountResult unmount_patiently(const fs::path& mount_point) {
  const auto deadline = std::chrono::steady_clock::now() + kBusyLimit;
  while (true) {
    const UnmountResult result = unmount(mount_point);
    if (result != UnmountResult::Busy || std::chrono::steady_clock::now() > deadline) return result;
    std::this_thread::sleep_for(kBusyPause);
  }
}

void end_daemon(const ProcessHandle& daemon) {
  if (daemon.wait_until_ended(kEndsByItselfLimit)) return;
  daemon.signal(SIGTERM);
  if (daemon.wait_until_ended(kEndsBySignalLimit)) return;
  daemon.signal(SIGKILL);
  daemon.wait_until_ended(kDiesLimit);
}

void print_holders(const MountEntry& mount, const std::vector<MountHolder>& holders) {
  std::cerr << "red-connector: warning: " << printable(mount.mount_point.string())
            << " was in use: it is unmounted, and its files end when they are closed\n";
  for (const MountHolder& holder : holders) {
    std::cerr << "still open: pid " << holder.pid << " (" << printable(holder.process_name) << ") "
              << printable(holder.path.string()) << "\n";
  }
  if (holders.empty()) std::cerr << "still open: by processes that cannot be looked into\n";
  std::cerr << std::flush;
}

/// The daemon goes on for those who hold the mount, and ends when they let go.
void detach_from_holders(const MountEntry& mount) {
  const auto holders = find_holders(mount, kHolderSearchLimit);
  if (detach(mount.mount_point) == UnmountResult::Done) print_holders(mount, holders);
}

}  // namespace

void umount_dir(const fs::path& mount_point) {
  const MountTarget target = find_mount_target(mount_point, "unmount");
  std::optional<WriteLossesReader> losses;
  if (target.record) losses.emplace(target.registry->losses_path(*target.record));
  if (unmount_patiently(target.mount.mount_point) == UnmountResult::Busy) {
    detach_from_holders(target.mount);
  } else if (target.daemon) {
    end_daemon(*target.daemon);
  }
  if (target.record) target.registry->retire(*target.record);
  const std::string lost = losses ? losses->read() : "";
  if (lost.empty()) return;
  throw Error(ErrorKind::Integrity, "unmounted " + mount_point.string() +
                                        ", but this could not be written to the server:\n" +
                                        lost.substr(0, lost.size() - 1));
}

}  // namespace red
