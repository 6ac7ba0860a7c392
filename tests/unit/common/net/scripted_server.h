#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/net/http_client.h"

namespace red::testing {

/// A request as it came over the wire.
struct WireRequest {
  std::string method;
  std::string target;
  HttpHeaders headers;
  std::string body;

  std::string header(std::string_view name) const {
    return std::string(headers.find(name).value_or(""));
  }
};

/// One accepted connection, as a script sees it.
class WireConnection {
 public:
  WireConnection(int socket, std::size_t number) : socket_(socket), number_(number) {}
  ~WireConnection() { ::close(socket_); }
  WireConnection(const WireConnection&) = delete;
  WireConnection& operator=(const WireConnection&) = delete;

  /// Counts from 0 in the order of accepting.
  std::size_t number() const { return number_; }

  /// The next request with its body; nothing when the client has closed.
  std::optional<WireRequest> read_request() {
    auto request = read_head();
    if (!request) return std::nullopt;
    if (request->header("Expect") == "100-continue") send("HTTP/1.1 100 Continue\r\n\r\n");
    read_body(*request);
    return request;
  }

  /// Only up to the empty line.
  std::optional<WireRequest> read_head() {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return std::nullopt;
    }
    WireRequest request = parse(std::string_view(buffer_).substr(0, end + 2));
    buffer_.erase(0, end + 4);
    return request;
  }

  void read_body(WireRequest& request) {
    const std::string length = request.header("Content-Length");
    const std::size_t wanted = length.empty() ? 0 : std::stoul(length);
    while (buffer_.size() < wanted && fill()) {
    }
    request.body = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
  }

  /// False once the client has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  /// Returns when the client has closed (or the server is going).
  void wait_for_close() {
    while (fill()) {
    }
  }

  /// Closing sends RST instead of FIN.
  void reset_at_close() {
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

  void shut_down() { ::shutdown(socket_, SHUT_RDWR); }

 private:
  bool fill() {
    char bytes[65536];
    const auto count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  static WireRequest parse(std::string_view head) {
    WireRequest request;
    const auto first_end = head.find("\r\n");
    const std::string_view first = head.substr(0, first_end);
    const auto space = first.find(' ');
    request.method = first.substr(0, space);
    request.target = first.substr(space + 1, first.rfind(' ') - space - 1);
    head.remove_prefix(first_end + 2);
    while (!head.empty()) {
      const auto end = head.find("\r\n");
      const auto colon = head.find(": ");
      if (colon < end) {
        request.headers.add(std::string(head.substr(0, colon)),
                            std::string(head.substr(colon + 2, end - colon - 2)));
      }
      head.remove_prefix(end + 2);
    }
    return request;
  }

  const int socket_;
  const std::size_t number_;
  std::string buffer_;
};

/// A server on a free loopback port whose every answer is in the test's hands. Each connection runs
/// the script on a thread of its own and is closed when the script returns.
class ScriptedServer {
 public:
  using Script = std::function<void(WireConnection&)>;
  using Responder = std::function<std::string(const WireRequest&)>;

  explicit ScriptedServer(Script script, bool is_ipv6 = false)
      : script_(std::move(script)), is_ipv6_(is_ipv6), listener_(listen_on_free_port()) {
    acceptor_ = std::thread([this] { accept_all(); });
  }

  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (auto& connection : open_) connection->shut_down();
    }
    for (auto& thread : threads_) thread.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  /// Answers every request with what `responder` returns, and remembers the requests.
  static Script answering(Responder responder) {
    return [responder = std::move(responder)](WireConnection& connection) {
      while (const auto request = connection.read_request()) {
        if (!connection.send(responder(*request))) return;
      }
    };
  }

  int port() const { return port_; }
  std::string authority() const {
    return (is_ipv6_ ? "[::1]:" : "127.0.0.1:") + std::to_string(port_);
  }
  std::string url(std::string_view path) const {
    return "http://" + authority() + std::string(path);
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return accepted_;
  }

 private:
  int listen_on_free_port() {
    const int listener = ::socket(is_ipv6_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 address{};
    socklen_t length = sizeof address;
    if (is_ipv6_) {
      address.sin6_family = AF_INET6;
      address.sin6_addr = in6addr_loopback;
    } else {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      v4.sin_family = AF_INET;
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      length = sizeof v4;
    }
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener, generic, length) != 0 || ::listen(listener, 128) != 0) {
      throw std::runtime_error("cannot listen on loopback");
    }
    ::getsockname(listener, generic, &length);
    port_ = ntohs(address.sin6_port);  // at the same place in both
    return listener;
  }

  void accept_all() {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) return;
      const std::lock_guard lock(mutex_);
      open_.push_back(std::make_unique<WireConnection>(socket, accepted_++));
      threads_.emplace_back([this, position = std::prev(open_.end())] {
        script_(**position);
        const std::lock_guard inner(mutex_);
        open_.erase(position);
      });
    }
  }

  const Script script_;
  const bool is_ipv6_;
  int port_ = 0;
  const int listener_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::size_t accepted_ = 0;
  std::list<std::unique_ptr<WireConnection>> open_;
  std::vector<std::thread> threads_;

  std::thread acceptor_;
};

/// "HTTP/1.1 <status> X" with Content-Length and these further header lines ("A: b\r\n…").
inline std::string http_answer(int status, std::string_view body = "",
                               std::string_view header_lines = "") {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(header_lines) + "\r\n" + std::string(body);
}

/// Requests that a server has seen, from any thread.
class RequestLog {
 public:
  void add(const WireRequest& request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  std::vector<WireRequest> all() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  /// "METHOD target" each.
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const auto& request : all()) lines.push_back(request.method + " " + request.target);
    return lines;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<WireRequest> requests_;
};

}  // namespace red::testing
