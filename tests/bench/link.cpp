// A TCP relay that behaves like a longer wire: every byte takes a one-way delay, all connections
// share one rate per direction, and a connection has at most a window of bytes under way, which
// begins small and grows with what is acknowledged (slow start). There is no loss.
//
//   link LISTEN_PORT TARGET_PORT DELAY_MS RATE_MBIT      (0: no limit; both ports on 127.0.0.1)
//
// Opening a connection takes one round trip before the client's first byte travels. SIGTERM ends it
// and prints "connections bytes_up bytes_down" to stdout.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::nanoseconds;

constexpr std::size_t kChunk = 32 * 1024;
constexpr std::size_t kInitialWindow = 10 * 1448;    // RFC 6928
constexpr std::size_t kMaxWindow = 4 * 1024 * 1024;  // what Linux grows to by default, about
constexpr nanoseconds kMaxQueue = std::chrono::milliseconds(5);

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// What all connections share in one direction.
struct Wire {
  double ns_per_byte = 0;
  nanoseconds delay{0};
  Time free_at{};
  std::uint64_t bytes = 0;

  bool has_room(Time now) const { return free_at - now < kMaxQueue; }

  /// When bytes that enter now come out at the other end.
  Time pass(std::size_t count, Time now) {
    bytes += count;
    free_at = std::max(free_at, now) +
              nanoseconds(static_cast<std::int64_t>(static_cast<double>(count) * ns_per_byte));
    return free_at + delay;
  }
};

struct Packet {
  Time arrives;
  std::vector<char> bytes;  // empty: the end of the stream
  std::size_t sent = 0;
};

/// One direction of one connection.
struct Flow {
  int from = -1;
  int to = -1;
  Wire* wire = nullptr;
  Time opens_at{};
  std::deque<Packet> under_way;
  std::deque<std::pair<Time, std::size_t>> acknowledgements;
  std::size_t in_flight = 0;
  std::size_t window = kInitialWindow;
  bool read_ended = false;
  bool write_ended = false;
  bool waits_for_wire = false;
  bool is_open = false;     // bytes have been looked for since it opens
  bool is_blocked = false;  // the receiver takes nothing for now: epoll tells when

  void take_acknowledgements(Time now) {
    while (!acknowledgements.empty() && acknowledgements.front().first <= now) {
      const std::size_t count = acknowledgements.front().second;
      acknowledgements.pop_front();
      if (in_flight * 2 >= window) window = std::min(window + count, kMaxWindow);
      in_flight -= count;
    }
  }

  /// False: the connection is broken.
  bool read(Time now) {
    waits_for_wire = false;
    is_open = now >= opens_at;
    while (!read_ended && is_open && in_flight < window) {
      waits_for_wire = !wire->has_room(now);
      if (waits_for_wire) break;
      std::vector<char> buffer(std::min(kChunk, window - in_flight));
      const ssize_t count = recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      buffer.resize(static_cast<std::size_t>(count));
      read_ended = count == 0;
      in_flight += buffer.size();
      under_way.push_back({wire->pass(buffer.size(), now), std::move(buffer)});
    }
    return true;
  }

  bool write(Time now) {
    is_blocked = false;
    while (!under_way.empty() && under_way.front().arrives <= now) {
      Packet& packet = under_way.front();
      if (packet.bytes.empty()) {
        shutdown(to, SHUT_WR);
        write_ended = true;
        under_way.pop_front();
        continue;
      }
      const ssize_t count = send(to, packet.bytes.data() + packet.sent,
                                 packet.bytes.size() - packet.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      is_blocked = count < 0 && errno == EAGAIN;
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      packet.sent += static_cast<std::size_t>(count);
      acknowledgements.emplace_back(now + wire->delay, static_cast<std::size_t>(count));
      if (packet.sent == packet.bytes.size()) under_way.pop_front();
    }
    return true;
  }

  /// When there is something to be done; may have passed since it was last looked at.
  Time next_event() const {
    Time next = Time::max();
    if (!under_way.empty() && !is_blocked) next = under_way.front().arrives;
    if (!acknowledgements.empty()) next = std::min(next, acknowledgements.front().first);
    if (!is_open) next = std::min(next, opens_at);
    if (waits_for_wire) next = std::min(next, wire->free_at - kMaxQueue);
    return next;
  }
};

struct Connection {
  int client = -1;
  int server = -1;
  std::array<Flow, 2> flows;

  ~Connection() {
    close(client);
    close(server);
  }
};

class Link {
 public:
  Link(int listen_port, int target_port, double delay_ms, double rate_mbit)
      : target_(loopback(target_port)) {
    for (Wire& wire : wires_) {
      wire.delay = nanoseconds(static_cast<std::int64_t>(delay_ms * 1e6));
      wire.ns_per_byte = rate_mbit > 0 ? 8000.0 / rate_mbit : 0;
    }
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in address = loopback(listen_port);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, 1024) != 0) {
      die("listen");
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, EPOLLIN);
    watch(signals_, EPOLLIN);
  }

  void run() {
    while (wait()) {
      const Time now = Clock::now();
      for (auto connection = connections_.begin(); connection != connections_.end();) {
        connection =
            serve(**connection, now) ? std::next(connection) : connections_.erase(connection);
      }
    }
    std::printf("%llu %llu %llu\n", static_cast<unsigned long long>(accepted_),
                static_cast<unsigned long long>(wires_[0].bytes),
                static_cast<unsigned long long>(wires_[1].bytes));
  }

 private:
  void watch(int descriptor, std::uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.fd = descriptor;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event);
  }

  /// False: asked to end.
  bool wait() {
    const Time now = Clock::now();
    Time next = Time::max();
    for (const auto& connection : connections_) {
      for (const Flow& flow : connection->flows) next = std::min(next, flow.next_event());
    }
    timespec limit = {};
    if (next != Time::max()) {
      const auto left = std::max(next - now, nanoseconds(50'000));
      limit.tv_sec = left / std::chrono::seconds(1);
      limit.tv_nsec = (left % std::chrono::seconds(1)).count();
    }
    std::array<epoll_event, 64> events;
    const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                                   next == Time::max() ? nullptr : &limit, nullptr);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == signals_) return false;
      if (descriptor == listener_) accept_all();
    }
    return true;
  }

  void accept_all() {
    while (true) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      auto connection = std::make_unique<Connection>();
      connection->client = client;
      connection->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(connection->server, reinterpret_cast<const sockaddr*>(&target_),
                  sizeof target_) != 0) {
        continue;
      }
      const int on = 1;
      const Time now = Clock::now();
      for (const int end : {client, connection->server}) {
        setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(end, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
      }
      connection->flows[0] = {client, connection->server, &wires_[0], now + 2 * wires_[0].delay, {},
                              {}};
      connection->flows[1] = {connection->server,        client, &wires_[1],
                              now + 2 * wires_[1].delay, {},     {}};
      ++accepted_;
      connections_.push_back(std::move(connection));
    }
  }

  static bool serve(Connection& connection, Time now) {
    for (Flow& flow : connection.flows) {
      flow.take_acknowledgements(now);
      if (!flow.read(now) || !flow.write(now)) return false;
    }
    return !(connection.flows[0].write_ended && connection.flows[1].write_ended);
  }

  sockaddr_in target_;
  std::array<Wire, 2> wires_;
  int listener_ = -1;
  int signals_ = -1;
  int epoll_ = -1;
  std::uint64_t accepted_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: link LISTEN_PORT TARGET_PORT DELAY_MS RATE_MBIT\n", stderr);
    return 2;
  }
  Link(std::atoi(argv[1]), std::atoi(argv[2]), std::atof(argv[3]), std::atof(argv[4])).run();
}
