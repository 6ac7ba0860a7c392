#include <unistd.h>

#include <chrono>
#include <string>

#include "common/error.h"
#include "fuse/mount_daemon.h"
#include "fuse/mount_target.h"
#include "fuse/status_socket.h"

namespace red {
namespace {

using namespace std::chrono_literals;

constexpr auto kAnswerLimit = 3000ms;

}  // namespace

std::string ask_mount_stats(const std::filesystem::path& mount_point) {
  const MountTarget target = find_mount_target(mount_point, "tell the statistics of");
  const std::string path = target.mount.mount_point.string();
  const uid_t user = ::geteuid();
  if (user != 0 && target.mount.owner.value_or(user) != user) {
    throw Error(ErrorKind::PermissionDenied,
                path + " is a mount of another user (uid " + std::to_string(*target.mount.owner) +
                    "): only that user and root may ask for its statistics");
  }
  if (!target.daemon) {
    throw Error(ErrorKind::Mount, path +
                                      ": the daemon that served this mount has died; umount-dir "
                                      "takes the mount away");
  }
  const auto answer = ask_status(target.registry->socket_path(*target.record),
                                 status_question::kStats, kAnswerLimit);
  if (answer && !answer->empty()) return *answer;
  throw Error(ErrorKind::TimedOut, path + ": the mount daemon (process " +
                                       std::to_string(target.record->pid) +
                                       ") does not answer within 3 s");
}

}  // namespace red
