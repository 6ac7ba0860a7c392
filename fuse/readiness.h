#pragma once

#include <chrono>
#include <optional>

#include "common/error.h"
#include "common/unique_fd.h"

namespace red {

/// Between the command that starts a daemon and the daemon, until the mount is ready: the daemon
/// reports "ready" or what went wrong, the command confirms. A daemon goes on alone only when it
/// was confirmed, so that none is left behind by a command that was killed.
struct ReadinessChannel {
  UniqueFd command_end;
  UniqueFd daemon_end;  ///< number 3 or above: not in the way of the standard streams
};

/// Throws Error{LocalIo}.
ReadinessChannel make_readiness_channel();

/// The daemon's end. Not thread-safe.
class CommandLink {
 public:
  explicit CommandLink(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const noexcept { return fd_.get(); }  ///< readable: confirmed, or the command has gone
  void report_ready() noexcept;
  /// False if nobody listens any more.
  bool report_failure(const Error& error) noexcept;
  /// When fd() is readable: whether the daemon may go on alone.
  bool is_confirmed() noexcept;

 private:
  UniqueFd fd_;
};

/// What a command learned of its daemon.
struct DaemonReport {
  enum class Outcome { Ready, Failed, Died, Silent };
  Outcome outcome = Outcome::Silent;
  std::optional<Error> error;  ///< of Failed
};

DaemonReport await_report(int command_end, std::chrono::milliseconds limit);

/// False if the daemon has gone.
bool confirm(int command_end) noexcept;

}  // namespace red
