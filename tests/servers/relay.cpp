#include "tests/servers/relay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>
#include <vector>

namespace red::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Bounds what one direction holds back; more than any bandwidth x delay that a test uses.
constexpr std::size_t kMaxHeld = 64 << 20;

struct Held {
  Clock::time_point due;
  std::string bytes;
};

/// Bytes on their way from one socket to another.
struct Direction {
  std::deque<Held> held;
  std::size_t held_bytes = 0;
  std::size_t sent_of_first = 0;
  bool ended = false;       ///< the sender has closed
  bool passed_end = false;  ///< and the receiver knows
};

FileDescriptor listen_without_blocking(std::uint16_t port) {
  FileDescriptor listener = listen_on(port);
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  return listener;
}

void reset_on_close(int socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// False if the connection is broken.
bool take(int from, Direction& direction, std::chrono::milliseconds delay) {
  if (direction.ended || direction.held_bytes >= kMaxHeld) return true;
  std::array<char, 65536> buffer;
  const ssize_t count = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) {
    direction.ended = true;
    return true;
  }
  const auto size = static_cast<std::size_t>(count);
  direction.held_bytes += size;
  direction.held.push_back({Clock::now() + delay, std::string(buffer.data(), size)});
  return true;
}

bool first_is_due(const Direction& direction) {
  return !direction.held.empty() && direction.held.front().due <= Clock::now();
}

// Sends what is due as far as the receiver takes it; false if the connection is broken.
bool pass_on(int to, Direction& direction, std::atomic<std::uint64_t>* passed) {
  while (first_is_due(direction)) {
    const std::string& bytes = direction.held.front().bytes;
    const std::size_t left = bytes.size() - direction.sent_of_first;
    const ssize_t count =
        ::send(to, bytes.data() + direction.sent_of_first, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (passed != nullptr) *passed += static_cast<std::uint64_t>(count);
    direction.sent_of_first += static_cast<std::size_t>(count);
    if (direction.sent_of_first < bytes.size()) return true;
    direction.held_bytes -= bytes.size();
    direction.sent_of_first = 0;
    direction.held.pop_front();
  }
  if (direction.ended && direction.held.empty() && !direction.passed_end) {
    ::shutdown(to, SHUT_WR);
    direction.passed_end = true;
  }
  return true;
}

short events_for(const Direction& incoming, const Direction& outgoing) {
  short events = 0;
  if (!incoming.ended && incoming.held_bytes < kMaxHeld) events |= POLLIN;
  if (first_is_due(outgoing)) events |= POLLOUT;
  return events;
}

}  // namespace

struct Relay::Connection {
  FileDescriptor client;
  FileDescriptor server;
  Direction up;
  Direction down;

  bool over() const { return up.passed_end && down.passed_end; }
};

Relay::Relay(std::uint16_t target, std::chrono::milliseconds delay)
    : target_(target),
      delay_(delay),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      listener_(listen_without_blocking(port_.number())),
      thread_([this] { relay(); }) {}

Relay::~Relay() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

std::string Relay::url(std::string_view path) const {
  return "http://127.0.0.1:" + std::to_string(port()) + std::string(path);
}

void Relay::cut() { give(Order::Cut); }
void Relay::refuse() { give(Order::Refuse); }
void Relay::freeze() { give(Order::Freeze); }
void Relay::recover() { give(Order::Recover); }

void Relay::give(Order order) {
  std::unique_lock lock(mutex_);
  order_ = order;
  ::eventfd_write(wake_.get(), 1);
  obeyed_.wait(lock, [this] { return order_ == Order::None; });
}

void Relay::obey() {
  const std::lock_guard lock(mutex_);
  if (order_ == Order::Cut || order_ == Order::Refuse) {
    for (Connection& connection : open_) {
      reset_on_close(connection.client.get());
      reset_on_close(connection.server.get());
    }
    open_.clear();
  }
  if (order_ == Order::Refuse) listener_.close();
  if (order_ == Order::Recover && !listener_) listener_ = listen_without_blocking(port_.number());
  if (order_ != Order::None) frozen_ = order_ == Order::Freeze;
  order_ = Order::None;
  obeyed_.notify_all();
}

void Relay::relay() {
  for (;;) {
    wait_for_events();
    obey();
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
    }
    if (listener_) accept_one();
    if (frozen_) continue;
    open_.remove_if([this](Connection& connection) {
      const bool whole = take(connection.client.get(), connection.up, delay_) &&
                         take(connection.server.get(), connection.down, delay_) &&
                         pass_on(connection.server.get(), connection.up, &bytes_to_server_) &&
                         pass_on(connection.client.get(), connection.down, &bytes_to_client_);
      if (!whole) {
        reset_on_close(connection.client.get());
        reset_on_close(connection.server.get());
      }
      return !whole || connection.over();
    });
  }
}

void Relay::accept_one() {
  Connection connection;
  connection.client =
      FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.client) return;
  ++connections_;
  connection.server = connect_to(target_);
  if (!connection.server) {
    reset_on_close(connection.client.get());
    return;
  }
  const int on = 1;
  ::setsockopt(connection.client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  open_.push_back(std::move(connection));
}

void Relay::wait_for_events() {
  std::vector<pollfd> polled{{wake_.get(), POLLIN, 0}};
  if (listener_) polled.push_back({listener_.get(), POLLIN, 0});
  std::optional<Clock::time_point> next;
  if (!frozen_) {
    for (const Connection& connection : open_) {
      polled.push_back({connection.client.get(), events_for(connection.up, connection.down), 0});
      polled.push_back({connection.server.get(), events_for(connection.down, connection.up), 0});
      for (const Direction* direction : {&connection.up, &connection.down}) {
        if (direction->held.empty() || first_is_due(*direction)) continue;
        next = std::min(next.value_or(Clock::time_point::max()), direction->held.front().due);
      }
    }
  }
  timespec timeout{};
  if (next) {
    const auto left = std::max(*next - Clock::now(), Clock::duration::zero());
    timeout.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout.tv_nsec = (left % std::chrono::seconds(1)).count();
  }
  ::ppoll(polled.data(), polled.size(), next ? &timeout : nullptr, nullptr);
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
}

}  // namespace red::testing
