#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/request_context.h"

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
class SocketWaiter {
 public:
  virtual ~SocketWaiter() = default;

  /// Returns when one of the sockets is ready (its `revents` says so), at the time, or earlier for
  /// no reason. Throws Error{Cancelled} when the thread is to end.
  virtual void wait(std::span<pollfd> sockets, TimePoint until) = 0;
};

/// Waits as long as a context allows, and does nothing else. Throws Error{TimedOut} after its
/// deadline.
class ContextWaiter final : public SocketWaiter {
 public:
  explicit ContextWaiter(RequestContext context);

  void wait(std::span<pollfd> sockets, TimePoint until) override;

 private:
  const RequestContext context_;
  const OwnedDescriptor stopped_;
};

/// Where a host can be reached by TCP.
struct TcpAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  bool is_ipv6() const noexcept { return storage.ss_family == AF_INET6; }
  /// "192.0.2.1" or "2001:db8::1".
  std::string text() const;
};

/// "host:port" for messages; brackets around an IPv6 address.
std::string authority_of(std::string_view host, std::uint16_t port);

/// The addresses of a host, in the order in which they are to be tried. Throws Error{Network} if
/// there is none, or Error{TimedOut}.
std::vector<TcpAddress> resolve_host(const std::string& host, std::uint16_t port,
                                     std::chrono::milliseconds timeout, SocketWaiter& waiter);

struct TcpConnection {
  OwnedDescriptor socket;  ///< connected, non-blocking
  TcpAddress peer;
};

/// Several addresses are tried in turn, a new one whenever the ones before have failed or take
/// long, and the first that answers is taken (RFC 8305). `authority` is for messages; the timeout
/// counts from `start` on. Throws Error{Network} or Error{TimedOut}.
TcpConnection connect_tcp(std::vector<TcpAddress> addresses, const std::string& authority,
                          TimePoint start, std::chrono::milliseconds timeout, SocketWaiter& waiter);

}  // namespace red
