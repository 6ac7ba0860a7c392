#include "cli/doctor/mount_checks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "common/error.h"
#include "common/unique_fd.h"
#include "fuse/unmount.h"

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kContainerHint =
    "a container needs --device /dev/fuse --cap-add SYS_ADMIN";

Finding ok(std::string text) { return {FindingStatus::Ok, std::move(text)}; }
Finding note(std::string text) { return {FindingStatus::Note, std::move(text)}; }
Finding missing(std::string text) { return {FindingStatus::Missing, std::move(text)}; }
Finding failed(std::string text) { return {FindingStatus::Failed, std::move(text)}; }

int error_of_opening(const fs::path& device) {
  const UniqueFd opened(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  return opened ? 0 : errno;
}

/// fuse.conf: one option a line; '#' begins a comment.
bool has_line(const fs::path& file, std::string_view wanted) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const auto begin = line.find_first_not_of(" \t");
    const auto end = line.find_last_not_of(" \t\r");
    if (begin != std::string::npos && line.substr(begin, end - begin + 1) == wanted) return true;
  }
  return false;
}

void look_at_fusermount(MountFacts& facts) {
  struct stat file = {};
  struct statvfs system = {};
  const std::string path = facts.fusermount->string();
  facts.fusermount_is_setuid_root =
      ::stat(path.c_str(), &file) == 0 && file.st_uid == 0 && (file.st_mode & S_ISUID) != 0;
  facts.fusermount_may_be_setuid =
      ::statvfs(path.c_str(), &system) == 0 && (system.f_flag & ST_NOSUID) == 0;
}

/// Whether mount(2) is this process' own way.
bool mounts_by_itself(const MountFacts& facts) {
  return facts.rights.can_mount && facts.owns_mounts;
}

Finding judge_device(const MountFacts& facts) {
  const std::string hint(kContainerHint);
  switch (facts.device_error) {
    case 0:
      return ok("can be opened");
    case ENOENT:
      return missing("does not exist: " + hint + ", any other machine modprobe fuse");
    case ENODEV:
    case ENXIO:
      return missing("the kernel has no FUSE: modprobe fuse (on the host)");
    default:
      return failed(Error::local_io(facts.device_error, "cannot be opened").message() + ": " +
                    hint + ", any other machine chmod 666 /dev/fuse");
  }
}

Finding judge_capabilities(const MountFacts& facts) {
  if (mounts_by_itself(facts)) {
    return ok(facts.is_in_initial_user_namespace
                  ? "CAP_SYS_ADMIN is effective, in the initial user namespace"
                  : "CAP_SYS_ADMIN is effective, in a user namespace that owns the mounts here");
  }
  if (!facts.owns_mounts) {
    return missing(
        "the mounts here do not belong to this user namespace, in which no CAP_SYS_ADMIN counts, "
        "fusermount3's neither: give it a mount namespace of its own (unshare -rm)");
  }
  if (facts.is_root) {
    return missing("root lacks CAP_SYS_ADMIN: " + std::string(kContainerHint));
  }
  return note("CAP_SYS_ADMIN is not effective: fusermount3 is needed to mount");
}

/// Why fusermount3 cannot do for this process what it is there for; empty if nothing is known.
std::string weakness_of_fusermount(const MountFacts& facts) {
  const std::string path = facts.fusermount->string();
  if (!facts.fusermount_is_setuid_root) {
    return path + " is not set-user-ID root: chown root " + path + "; chmod u+s " + path;
  }
  if (!facts.fusermount_may_be_setuid) {
    return path + " lies on a file system that is mounted nosuid";
  }
  if (facts.rights.no_new_privileges) {
    return path +
           " gains nothing: no_new_privs is set for this process (container: leave out "
           "--security-opt no-new-privileges)";
  }
  if (!facts.rights.may_gain_mount) {
    return path +
           " may not mount, CAP_SYS_ADMIN is out of bounds here: " + std::string(kContainerHint);
  }
  return {};
}

/// It gives root nothing that root lacks, and helps nobody in another user namespace.
bool needs_fusermount(const MountFacts& facts) {
  return !facts.rights.can_mount && !facts.is_root && facts.owns_mounts;
}

Finding judge_fusermount(const MountFacts& facts) {
  const bool is_needed = needs_fusermount(facts);
  if (!facts.fusermount) {
    return is_needed ? missing("is not installed (Debian: apt-get install fuse3)")
                     : ok("is not installed, and not needed here");
  }
  if (!is_needed) return ok(facts.fusermount->string() + ", not needed here");
  const std::string weakness = weakness_of_fusermount(facts);
  return weakness.empty() ? ok(facts.fusermount->string() + ", set-user-ID root")
                          : failed(weakness);
}

Finding judge_trial(const MountFacts& facts) {
  switch (facts.trial.outcome) {
    case MountTrial::Outcome::Mounted:
      return ok("a FUSE file system was mounted, in a mount namespace of its own, and is gone");
    case MountTrial::Outcome::Refused:
      return failed(facts.trial.reason +
                    ": a container's seccomp filter or AppArmor profile may forbid it "
                    "(--security-opt apparmor=unconfined)");
    case MountTrial::Outcome::NotTried:
      break;
  }
  return {FindingStatus::Skipped, facts.trial.reason};
}

Finding judge_allow_other(const MountFacts& facts) {
  if (facts.is_root) return ok("not needed by root");
  if (facts.user_allow_other) return ok("set in /etc/fuse.conf");
  return note("not set in /etc/fuse.conf: \"allowOther\" works for root only");
}

}  // namespace

MountFacts find_mount_facts(const fs::path& root) {
  MountFacts facts;
  facts.device_error = error_of_opening(root / "dev/fuse");
  facts.is_root = ::geteuid() == 0;
  facts.rights = read_process_rights();
  facts.owns_mounts = owns_mount_namespace();
  facts.is_in_initial_user_namespace = is_in_initial_user_namespace();
  facts.fusermount = find_fusermount(root);
  if (facts.fusermount) look_at_fusermount(facts);
  facts.user_allow_other = has_line(root / "etc/fuse.conf", "user_allow_other");
  if (!mounts_by_itself(facts)) {
    facts.trial.reason = "mounting is not this process' own right";
  } else if (facts.device_error != 0) {
    facts.trial.reason = "there is no device to mount";
  } else {
    facts.trial = try_to_mount();
  }
  return facts;
}

std::vector<FindingRow> judge(const MountFacts& facts) {
  std::vector<FindingRow> rows{{"/dev/fuse", judge_device(facts)},
                               {"capabilities", judge_capabilities(facts)},
                               {"fusermount3", judge_fusermount(facts)},
                               {"trial mount", judge_trial(facts)},
                               {"user_allow_other", judge_allow_other(facts)}};
  for (FindingRow& row : rows) row.is_about_mounting = true;
  return rows;
}

}  // namespace red
