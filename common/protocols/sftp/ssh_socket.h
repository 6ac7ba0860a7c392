#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "common/clock.h"

namespace red {

/// Owns a file descriptor.
class OwnedDescriptor {
 public:
  OwnedDescriptor() = default;
  explicit OwnedDescriptor(int number) : number_(number) {}
  OwnedDescriptor(OwnedDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  OwnedDescriptor& operator=(OwnedDescriptor&& other) noexcept;
  ~OwnedDescriptor();

  int number() const noexcept { return number_; }

 private:
  int number_ = -1;
};

/// How a thread waits for its sockets while it does whatever else it is there for.
class SshWaiter {
 public:
  virtual ~SshWaiter() = default;

  /// Returns when one of the sockets is ready (its `revents` says so), at the time, or earlier for
  /// no reason. Throws Error{Cancelled} when the thread is to end.
  virtual void wait(std::span<pollfd> sockets, TimePoint until) = 0;
};

/// A connected, non-blocking TCP socket. A name with several addresses: they are tried in turn, a
/// new one whenever the ones before have failed or take long, and the first that answers is taken
/// (RFC 8305). Throws Error{Network} or Error{TimedOut}.
OwnedDescriptor connect_tcp(const std::string& host, std::uint16_t port,
                            std::chrono::milliseconds timeout, SshWaiter& waiter);

}  // namespace red
