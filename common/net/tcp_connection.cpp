#include "common/net/tcp_connection.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "common/error.h"

namespace red {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// RFC 8305 section 5: when to try the next address beside those that have not answered yet.
constexpr milliseconds kNextAddressAfter{250};

std::vector<TcpAddress> to_addresses(const addrinfo* first) {
  std::vector<TcpAddress> addresses;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    if (each->ai_addrlen > sizeof(sockaddr_storage)) continue;
    TcpAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

/// The system's order, but the families take turns (RFC 8305 section 4).
std::vector<TcpAddress> alternate_families(std::vector<TcpAddress> addresses) {
  if (addresses.empty()) return addresses;
  const auto family = addresses.front().storage.ss_family;
  const auto others = std::stable_partition(
      addresses.begin(), addresses.end(),
      [family](const TcpAddress& address) { return address.storage.ss_family == family; });
  std::vector<TcpAddress> result;
  auto first = addresses.begin();
  auto second = others;
  while (first != others || second != addresses.end()) {
    if (first != others) result.push_back(*first++);
    if (second != addresses.end()) result.push_back(*second++);
  }
  return result;
}

std::vector<TcpAddress> resolve_now(const std::string& host, std::uint16_t port, int flags) {
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
  std::vector<TcpAddress> addresses;  ///< once is_done
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
  explicit Attempts(std::vector<TcpAddress> addresses) : addresses_(std::move(addresses)) {}

  bool has_next() const { return next_ < addresses_.size(); }
  bool is_idle() const { return under_way_.empty(); }
  int last_error() const { return last_error_; }

  /// The connection, if it stands at once.
  std::optional<TcpConnection> start_next() {
    const TcpAddress& address = addresses_[next_++];
    OwnedDescriptor socket(
        ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.number() < 0) return failed(errno);
    prepare(socket.number());
    const auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
    TcpConnection connection{std::move(socket), address};
    if (::connect(connection.socket.number(), where, address.size) == 0) return connection;
    if (errno != EINPROGRESS) return failed(errno);
    under_way_.push_back(std::move(connection));
    return std::nullopt;
  }

  /// The first that stands, if any.
  std::optional<TcpConnection> wait(TimePoint until, SocketWaiter& waiter) {
    std::vector<pollfd> waiting;
    for (const auto& each : under_way_) waiting.push_back({each.socket.number(), POLLOUT, 0});
    waiter.wait(waiting, until);
    for (std::size_t i = waiting.size(); i-- > 0;) {
      if (waiting[i].revents == 0) continue;
      TcpConnection connection = std::move(under_way_[i]);
      under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(connection.socket.number(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) return connection;
      last_error_ = error;
    }
    return std::nullopt;
  }

 private:
  std::nullopt_t failed(int error) {
    last_error_ = error;
    return std::nullopt;
  }

  std::vector<TcpAddress> addresses_;
  std::size_t next_ = 0;
  std::vector<TcpConnection> under_way_;
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

ContextWaiter::ContextWaiter(RequestContext context)
    : context_(std::move(context)), stopped_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (stopped_.number() < 0) throw Error::local_io(errno, "cannot wait for a connection");
}

void ContextWaiter::wait(std::span<pollfd> sockets, TimePoint until) {
  const std::stop_callback wake(context_.stop, [this] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(stopped_.number(), &one, sizeof(one));
  });
  std::vector<pollfd> all(sockets.begin(), sockets.end());
  all.push_back({stopped_.number(), POLLIN, 0});
  const auto left =
      std::chrono::ceil<milliseconds>(std::min(until, context_.deadline) - steady_clock::now());
  constexpr milliseconds kLongest{60'000};
  const auto timeout = std::clamp(left, milliseconds(0), kLongest);
  if (::poll(all.data(), all.size(), static_cast<int>(timeout.count())) < 0 && errno != EINTR) {
    throw Error::local_io(errno, "cannot wait for a connection");
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) sockets[i].revents = all[i].revents;
  if (context_.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "called off");
  if (steady_clock::now() >= context_.deadline) {
    throw Error(ErrorKind::TimedOut, "no answer within the time allowed");
  }
}

std::string TcpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* const bytes =
      is_ipv6()
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr)
          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr);
  inet_ntop(storage.ss_family, bytes, text.data(), text.size());
  return text.data();
}

std::string authority_of(std::string_view host, std::uint16_t port) {
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  return (is_ipv6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" + std::to_string(port);
}

std::vector<TcpAddress> resolve_host(const std::string& host, std::uint16_t port,
                                     milliseconds timeout, SocketWaiter& waiter) {
  if (auto numeric = resolve_now(host, port, AI_NUMERICHOST); !numeric.empty()) return numeric;
  const TimePoint until = steady_clock::now() + timeout;
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

TcpConnection connect_tcp(std::vector<TcpAddress> addresses, const std::string& authority,
                          TimePoint start, milliseconds timeout, SocketWaiter& waiter) {
  const TimePoint until = start + timeout;
  Attempts attempts(std::move(addresses));
  const std::string what = "cannot connect to " + authority;
  TimePoint next_at = steady_clock::now();
  while (true) {
    const TimePoint now = steady_clock::now();
    if (now >= until) throw Error(ErrorKind::TimedOut, what + " within " + seconds_text(timeout));
    std::optional<TcpConnection> connected;
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
