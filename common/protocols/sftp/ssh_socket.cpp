#include "common/protocols/sftp/ssh_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/protocols/sftp/sftp_error.h"

namespace red {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// RFC 8305 section 5: when to try the next address beside those that have not answered yet.
constexpr milliseconds kNextAddressAfter{250};

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

std::vector<Address> to_addresses(const addrinfo* first) {
  std::vector<Address> addresses;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    if (each->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

/// The system's order, but the families take turns (RFC 8305 section 4).
std::vector<Address> alternate_families(std::vector<Address> addresses) {
  if (addresses.empty()) return addresses;
  const auto family = addresses.front().storage.ss_family;
  const auto others = std::stable_partition(
      addresses.begin(), addresses.end(),
      [family](const Address& address) { return address.storage.ss_family == family; });
  std::vector<Address> result;
  auto first = addresses.begin();
  auto second = others;
  while (first != others || second != addresses.end()) {
    if (first != others) result.push_back(*first++);
    if (second != addresses.end()) result.push_back(*second++);
  }
  return result;
}

std::vector<Address> resolve_now(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  return to_addresses(found);
}

/// getaddrinfo() knows no time limit: it gets a thread that nobody waits for longer than he wants.
struct Resolution {
  OwnedDescriptor done{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<bool> is_done = false;
  std::vector<Address> addresses;  ///< once is_done
};

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string seconds_text(milliseconds time) {
  const auto tenths = time.count() / 100;
  const std::string whole = std::to_string(tenths / 10);
  return tenths % 10 == 0 ? whole + " s" : whole + "." + std::to_string(tenths % 10) + " s";
}

std::vector<Address> resolve(const std::string& host, std::uint16_t port, milliseconds timeout,
                             TimePoint until, SshWaiter& waiter) {
  if (auto numeric = resolve_now(host, port, AI_NUMERICHOST); !numeric.empty()) return numeric;
  const auto resolution = std::make_shared<Resolution>();
  std::thread([resolution, host, port] {
    block_signals();
    resolution->addresses = resolve_now(host, port, AI_ADDRCONFIG);
    resolution->is_done = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(resolution->done.number(), &one, sizeof(one));
  }).detach();
  while (!resolution->is_done) {
    if (steady_clock::now() >= until) {
      throw Error(ErrorKind::TimedOut,
                  "cannot resolve host " + host + " within " + seconds_text(timeout));
    }
    pollfd done = {resolution->done.number(), POLLIN, 0};
    waiter.wait({&done, 1}, until);
  }
  if (resolution->addresses.empty()) {
    throw Error(ErrorKind::Network, "cannot resolve host " + host);
  }
  return alternate_families(std::move(resolution->addresses));
}

/// Finds out about a dead peer by itself, also while nothing is under way.
void prepare(int socket) {
  const auto set = [socket](int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof(value));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/// The attempts to reach one host.
class Attempts {
 public:
  explicit Attempts(std::vector<Address> addresses) : addresses_(std::move(addresses)) {}

  bool has_next() const { return next_ < addresses_.size(); }
  bool is_idle() const { return sockets_.empty(); }
  int last_error() const { return last_error_; }

  /// The socket, if it is connected at once.
  std::optional<OwnedDescriptor> start_next() {
    const Address& address = addresses_[next_++];
    OwnedDescriptor socket(
        ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.number() < 0) return failed(errno);
    prepare(socket.number());
    const auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
    if (::connect(socket.number(), where, address.size) == 0) return socket;
    if (errno != EINPROGRESS) return failed(errno);
    sockets_.push_back(std::move(socket));
    return std::nullopt;
  }

  /// The first that is connected, if any.
  std::optional<OwnedDescriptor> wait(TimePoint until, SshWaiter& waiter) {
    std::vector<pollfd> waiting;
    for (const auto& socket : sockets_) waiting.push_back({socket.number(), POLLOUT, 0});
    waiter.wait(waiting, until);
    for (std::size_t i = waiting.size(); i-- > 0;) {
      if (waiting[i].revents == 0) continue;
      OwnedDescriptor socket = std::move(sockets_[i]);
      sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(i));
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) return socket;
      last_error_ = error;
    }
    return std::nullopt;
  }

 private:
  std::nullopt_t failed(int error) {
    last_error_ = error;
    return std::nullopt;
  }

  std::vector<Address> addresses_;
  std::size_t next_ = 0;
  std::vector<OwnedDescriptor> sockets_;
  int last_error_ = 0;
};

}  // namespace

OwnedDescriptor& OwnedDescriptor::operator=(OwnedDescriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

OwnedDescriptor::~OwnedDescriptor() {
  if (number_ >= 0) ::close(number_);
}

OwnedDescriptor connect_tcp(const std::string& host, std::uint16_t port, milliseconds timeout,
                            SshWaiter& waiter) {
  const TimePoint until = steady_clock::now() + timeout;
  Attempts attempts(resolve(host, port, timeout, until, waiter));
  const std::string what = "cannot connect to " + ssh_authority(host, port);
  TimePoint next_at = steady_clock::now();
  while (true) {
    const TimePoint now = steady_clock::now();
    if (now >= until) throw Error(ErrorKind::TimedOut, what + " within " + seconds_text(timeout));
    std::optional<OwnedDescriptor> connected;
    if (attempts.has_next() && (attempts.is_idle() || now >= next_at)) {
      connected = attempts.start_next();
      next_at = now + kNextAddressAfter;
    } else if (attempts.is_idle()) {
      throw Error(ErrorKind::Network,
                  what + ": " + std::generic_category().message(attempts.last_error()));
    } else {
      connected = attempts.wait(attempts.has_next() ? std::min(until, next_at) : until, waiter);
    }
    if (connected) return std::move(*connected);
  }
}

}  // namespace red
