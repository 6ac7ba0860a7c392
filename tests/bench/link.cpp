// A TCP relay that behaves like a longer wire: every byte takes a one-way delay, all connections
// share one rate per direction, and a connection has at most a window of bytes under way, which
// begins small and grows with what is acknowledged (slow start, RFC 5681). There is no loss, and a
// connection that was idle keeps its window.
//
//   red_link DELAY_MS RATE_MBIT TARGET_PORT...      (rate 0: no limit; all ports on 127.0.0.1)
//
// It listens on a port of its own for each target, prints these ports in one line, and relays: all
// pairs share the wire. The queue before the wire is short and fair: connections that have
// something to send take turns. Opening a connection costs what the three packets of the handshake
// cost: the client's first byte travels after one round trip, the server sees the connection after
// one and a half. SIGUSR1 prints what passed since the last report, as a line of JSON; SIGTERM ends
// it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
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
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr std::size_t kInitialWindow = 10 * 1448;    // RFC 6928
constexpr std::size_t kMaxWindow = 4 * 1024 * 1024;  // what Linux grows to by default, about
constexpr std::size_t kMinChunk = 4 * 1024;
constexpr std::size_t kMaxChunk = 64 * 1024;
constexpr nanoseconds kTurn = 500us;  // how much of the wire's time one connection takes at once
constexpr nanoseconds kMaxQueue = 5ms;

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

class Connection;
struct Wire;

/// One direction of one connection.
struct Flow {
  Connection* connection = nullptr;
  Wire* wire = nullptr;
  int from = -1;
  int to = -1;
  std::size_t in_flight = 0;
  std::size_t window = kInitialWindow;
  bool is_readable = false;  // `from` may have bytes: epoll said so, and no read has denied it
  bool is_waiting = false;   // stands in the wire's queue of those that want to send
  bool write_ended = false;
  std::deque<std::vector<char>>
      arrived;            // and not yet taken; an empty one is the end of the stream
  std::size_t taken = 0;  // of the first of them

  bool may_send() const { return is_readable && in_flight < window; }

  void acknowledge(std::size_t count) {
    if (in_flight * 2 >= window) window = std::min(window + count, kMaxWindow);
    in_flight -= count;
  }
};

/// A flow keeps its connection alive.
using SharedFlow = std::shared_ptr<Flow>;

/// What all connections share in one direction. Delay and rate are the same for all, so that what
/// enters first comes out first, and plain queues do.
struct Wire {
  struct Packet {
    Time arrives;
    SharedFlow flow;
    std::vector<char> bytes;
  };
  struct Acknowledgement {
    Time arrives;
    SharedFlow flow;
    std::size_t count;
  };

  nanoseconds delay{0};
  double ns_per_byte = 0;
  std::size_t chunk = kMaxChunk;
  Time free_at{};
  std::uint64_t bytes = 0;
  std::deque<SharedFlow> waiting;
  std::deque<Packet> under_way;
  std::deque<Acknowledgement> acknowledgements;

  Wire(double delay_ms, double rate_mbit)
      : delay(static_cast<std::int64_t>(delay_ms * 1e6)),
        ns_per_byte(rate_mbit > 0 ? 8000.0 / rate_mbit : 0) {
    if (rate_mbit > 0) {
      const auto fitting =
          static_cast<std::size_t>(static_cast<double>(kTurn.count()) / ns_per_byte);
      chunk = std::clamp(fitting, kMinChunk, kMaxChunk);
    }
  }

  bool has_room(Time now) const { return free_at - now < kMaxQueue; }

  void send(SharedFlow flow, std::vector<char> data, Time now) {
    bytes += data.size();
    const double wire_time = static_cast<double>(data.size()) * ns_per_byte;
    free_at = std::max(free_at, now) + nanoseconds(static_cast<std::int64_t>(wire_time));
    under_way.push_back({free_at + delay, std::move(flow), std::move(data)});
  }

  Time next_event() const {
    Time next = Time::max();
    if (!under_way.empty()) next = std::min(next, under_way.front().arrives);
    if (!acknowledgements.empty()) next = std::min(next, acknowledgements.front().arrives);
    if (!waiting.empty()) next = std::min(next, free_at - kMaxQueue);
    return next;
  }
};

class Connection {
 public:
  Connection(int client, int target, std::array<Wire, 2>& wires) : target_(target) {
    for (std::size_t i = 0; i < 2; ++i) {
      flows[i].connection = this;
      flows[i].wire = &wires[i];
    }
    flows[0].from = flows[1].to = client;
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_closed() const { return is_closed_; }
  int client() const { return flows[0].from; }
  int server() const { return flows[0].to; }

  /// False: the target does not take it.
  bool connect_to_target() {
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    flows[0].to = flows[1].from = server;
    const sockaddr_in address = loopback(target_);
    const int on = 1;
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
           errno == EINPROGRESS;
  }

  void close() {
    if (std::exchange(is_closed_, true)) return;
    ::close(client());
    if (server() >= 0) ::close(server());
  }

  std::array<Flow, 2> flows;  // up, down

 private:
  const int target_;
  bool is_closed_ = false;
};

using SharedConnection = std::shared_ptr<Connection>;

SharedFlow flow_of(const SharedConnection& connection, std::size_t direction) {
  return {connection, &connection->flows[direction]};
}

/// Runs what is due and takes it out of the queue.
template <typename Queue, typename Action>
void run_due(Queue& queue, Time now, const Action& action) {
  while (!queue.empty() && queue.front().arrives <= now) {
    auto item = std::move(queue.front());
    queue.pop_front();
    action(item);
  }
}

class Link {
 public:
  Link(double delay_ms, double rate_mbit, const std::vector<int>& targets)
      : wires_{Wire(delay_ms, rate_mbit), Wire(delay_ms, rate_mbit)} {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    watch(signals_, EPOLLIN);
    for (const int target : targets) std::printf("%d ", listen_for(target));
    std::printf("\n");
    std::fflush(stdout);
  }

  void run() {
    while (wait()) {
      const Time now = Clock::now();
      open_connections(now);
      for (Wire& wire : wires_) {
        run_due(wire.acknowledgements, now, [&](Wire::Acknowledgement& acknowledgement) {
          acknowledgement.flow->acknowledge(acknowledgement.count);
          want_to_send(acknowledgement.flow);
        });
        take_turns(wire, now);
        run_due(wire.under_way, now, [&](Wire::Packet& packet) {
          packet.flow->arrived.push_back(std::move(packet.bytes));
          if (packet.flow->arrived.size() == 1) deliver(packet.flow, now);
        });
      }
    }
  }

 private:
  struct Opening {
    Time arrives;
    SharedConnection connection;
  };

  int listen_for(int target) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        listen(listener, 1024) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      die("listen");
    }
    targets_[listener] = target;
    watch(listener, EPOLLIN);
    return ntohs(address.sin_port);
  }

  void watch(int descriptor, std::uint32_t events) const {
    epoll_event event = {};
    event.events = events;
    event.data.fd = descriptor;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event);
  }

  void watch_end(int descriptor, const SharedConnection& connection) {
    connections_[descriptor] = connection;
    watch(descriptor, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }

  /// False: asked to end.
  bool wait() {
    std::array<epoll_event, 256> events;
    timespec limit = {};
    const bool is_limited = limit_wait(limit);
    const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                                   is_limited ? &limit : nullptr, nullptr);
    const Time now = Clock::now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == signals_) {
        if (!take_signal()) return false;
      } else if (const auto target = targets_.find(event.data.fd); target != targets_.end()) {
        accept_all(target->first, target->second, now);
      } else {
        take_event(event, now);
      }
    }
    return true;
  }

  /// False: nothing is due before something happens on a socket.
  bool limit_wait(timespec& limit) const {
    Time next = std::min(wires_[0].next_event(), wires_[1].next_event());
    if (!handshakes_.empty()) next = std::min(next, handshakes_.front().arrives);
    if (!openings_.empty()) next = std::min(next, openings_.front().arrives);
    if (next == Time::max()) return false;
    // Being late by 2 % of the delay is not noticed, and spares most of the waking up.
    nanoseconds left = next - Clock::now();
    if (left > 0ns)
      left = std::max(left, std::clamp<nanoseconds>(wires_[0].delay / 50, 50us, 500us));
    left = std::max<nanoseconds>(left, 0ns);
    limit.tv_sec = left / 1s;
    limit.tv_nsec = (left % 1s).count();
    return true;
  }

  bool take_signal() {
    signalfd_siginfo signal;
    if (read(signals_, &signal, sizeof signal) != sizeof signal) die("signalfd");
    if (signal.ssi_signo != SIGUSR1) return false;
    report();
    return true;
  }

  void report() {
    std::printf("{\"connections\": %d, \"peak\": %d, \"up\": %llu, \"down\": %llu}\n", accepted_,
                peak_, static_cast<unsigned long long>(std::exchange(wires_[0].bytes, 0)),
                static_cast<unsigned long long>(std::exchange(wires_[1].bytes, 0)));
    std::fflush(stdout);
    accepted_ = 0;
    peak_ = open_;
  }

  void accept_all(int listener, int target, Time now) {
    while (true) {
      const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      const int on = 1;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      handshakes_.push_back(
          {now + 2 * wires_[0].delay, std::make_shared<Connection>(client, target, wires_)});
      ++accepted_;
      peak_ = std::max(peak_, ++open_);
    }
  }

  void open_connections(Time now) {
    run_due(handshakes_, now, [&](Opening& opening) {
      openings_.push_back({opening.arrives + wires_[0].delay, opening.connection});
      watch_end(opening.connection->client(), opening.connection);
    });
    run_due(openings_, now, [&](Opening& opening) {
      Connection& connection = *opening.connection;
      if (connection.is_closed()) return;
      if (connection.connect_to_target()) {
        watch_end(connection.server(), opening.connection);
      } else {
        end(connection);
      }
    });
  }

  void take_event(const epoll_event& event, Time now) {
    const auto found = connections_.find(event.data.fd);
    if (found == connections_.end()) return;
    const SharedConnection connection = found->second;
    const std::size_t outgoing = event.data.fd == connection->client() ? 0 : 1;
    if ((event.events & ~static_cast<unsigned>(EPOLLOUT)) != 0) {
      connection->flows[outgoing].is_readable = true;
      want_to_send(flow_of(connection, outgoing));
    }
    if ((event.events & EPOLLOUT) != 0) deliver(flow_of(connection, 1 - outgoing), now);
  }

  static void want_to_send(const SharedFlow& flow) {
    if (flow->connection->is_closed() || flow->is_waiting || !flow->may_send()) return;
    flow->is_waiting = true;
    flow->wire->waiting.push_back(flow);
  }

  void take_turns(Wire& wire, Time now) {
    while (!wire.waiting.empty() && wire.has_room(now)) {
      const SharedFlow flow = std::move(wire.waiting.front());
      wire.waiting.pop_front();
      flow->is_waiting = false;
      if (flow->connection->is_closed() || !flow->may_send()) continue;
      if (!read_chunk(flow, now)) end(*flow->connection);
      want_to_send(flow);
    }
  }

  /// False: the connection is broken.
  bool read_chunk(const SharedFlow& flow, Time now) {
    const std::size_t wanted = std::min(flow->wire->chunk, flow->window - flow->in_flight);
    const ssize_t count = recv(flow->from, buffer_.data(), wanted, MSG_DONTWAIT);
    if (count <= 0) flow->is_readable = false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    flow->in_flight += static_cast<std::size_t>(count);
    flow->wire->send(flow, {buffer_.begin(), buffer_.begin() + count}, now);
    return true;
  }

  void deliver(const SharedFlow& flow, Time now) {
    while (!flow->connection->is_closed() && !flow->arrived.empty()) {
      const std::vector<char>& packet = flow->arrived.front();
      if (packet.empty()) {
        shutdown(flow->to, SHUT_WR);
        flow->write_ended = true;
      } else {
        const ssize_t count = send(flow->to, packet.data() + flow->taken,
                                   packet.size() - flow->taken, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) return;  // epoll tells when there is room
        if (count < 0) return end(*flow->connection);
        flow->taken += static_cast<std::size_t>(count);
        flow->wire->acknowledgements.push_back(
            {now + flow->wire->delay, flow, static_cast<std::size_t>(count)});
        if (flow->taken < packet.size()) continue;
      }
      flow->taken = 0;
      flow->arrived.pop_front();
    }
    const auto& flows = flow->connection->flows;
    if (flows[0].write_ended && flows[1].write_ended) end(*flow->connection);
  }

  void end(Connection& connection) {
    if (connection.is_closed()) return;
    connection.close();
    --open_;
    connections_.erase(connection.client());
    connections_.erase(connection.server());
  }

  std::array<Wire, 2> wires_;  // up, down
  std::array<char, kMaxChunk> buffer_;
  int signals_ = -1;
  int epoll_ = -1;
  int accepted_ = 0;  // since the last report, as is the peak
  int peak_ = 0;
  int open_ = 0;
  std::unordered_map<int, int> targets_;                   // by listening socket
  std::unordered_map<int, SharedConnection> connections_;  // by the sockets of both ends
  std::deque<Opening> handshakes_;                         // the client's bytes are not taken yet
  std::deque<Opening> openings_;                           // the server does not see it yet
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    std::fputs("usage: red_link DELAY_MS RATE_MBIT TARGET_PORT...\n", stderr);
    return 2;
  }
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<int> targets;
  for (int i = 3; i < count; ++i) targets.push_back(std::atoi(arguments[i]));
  Link(std::atof(arguments[1]), std::atof(arguments[2]), targets).run();
}
