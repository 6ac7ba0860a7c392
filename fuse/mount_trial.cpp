#include "fuse/mount_trial.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>

#include "common/error.h"
#include "fuse/bounded_child.h"

namespace red {
namespace {

constexpr std::chrono::seconds kLimit{5};
constexpr std::string_view kMounted = "mounted";
constexpr std::string_view kRefused = "refused ";

using Put = std::function<void(std::string_view)>;

void put_failure(const Put& put, std::string_view what) {
  put(Error::local_io(errno, what).message());
}

/// Nothing is written to the device: the kernel's first request stays unanswered.
void mount_in_private(const Put& put) {
  if (::unshare(CLONE_NEWNS) != 0) return put_failure(put, "unshare");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return put_failure(put, "cannot keep a mount to itself");
  }
  const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return put_failure(put, "cannot open /dev/fuse");
  const std::string options = "fd=" + std::to_string(device) +
                              ",rootmode=40000,user_id=" + std::to_string(::geteuid()) +
                              ",group_id=" + std::to_string(::getegid());
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_RDONLY;
  if (::mount("red-connector-trial", "/", "fuse", kFlags, options.c_str()) == 0) {
    return put(kMounted);
  }
  const int failure = errno;
  put(kRefused);
  errno = failure;
  put_failure(put, "mount");
}

}  // namespace

MountTrial try_to_mount() {
  const BoundedResult result = run_bounded(kLimit, mount_in_private);
  using Outcome = MountTrial::Outcome;
  if (result.output == kMounted) return {Outcome::Mounted, {}};
  if (result.output.starts_with(kRefused)) {
    return {Outcome::Refused, result.output.substr(kRefused.size())};
  }
  return {Outcome::NotTried, result.output.empty() ? "no answer" : result.output};
}

}  // namespace red
