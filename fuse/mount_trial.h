#pragma once

#include <string>

namespace red {

/// How a trial has ended.
struct MountTrial {
  enum class Outcome {
    Mounted,
    Refused,   ///< mount(2) fails
    NotTried,  ///< there is no way to try without a trace
  };
  Outcome outcome = Outcome::NotTried;
  std::string reason;  ///< if it is not Mounted
};

/// Mounts a FUSE file system in a child process that has a mount namespace of its own, where nobody
/// sees it; all of it is gone with the child. Takes 5 s at most. The calling process must have one
/// thread only, and CAP_SYS_ADMIN. Throws Error{LocalIo} if no process can be started.
MountTrial try_to_mount();

}  // namespace red
