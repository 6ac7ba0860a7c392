#include "tests/servers/hostile_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "tests/support/network.h"

namespace red::testing {
namespace {

constexpr std::size_t kMaxHead = 1 << 20;

bool equal_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view without_query(std::string_view target) {
  return target.substr(0, target.find('?'));
}

std::uint16_t port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.sin_port);
}

FileDescriptor event() {
  FileDescriptor made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made) throw std::system_error(errno, std::generic_category(), "eventfd");
  return made;
}

void raise(const FileDescriptor& event) { ::eventfd_write(event.get(), 1); }

void lower(const FileDescriptor& event) {
  eventfd_t value = 0;
  ::eventfd_read(event.get(), &value);
}

void receive_more(int socket, std::string& buffer) {
  std::array<char, 65536> bytes{};
  const ssize_t count = ::recv(socket, bytes.data(), bytes.size(), 0);
  if (count <= 0) throw Reply::ConnectionGone{};
  buffer.append(bytes.data(), static_cast<std::size_t>(count));
}

// Takes the text up to `end` and `end` itself off the buffer.
std::string take_until(int socket, std::string& buffer, std::string_view end) {
  std::size_t at = 0;
  while ((at = buffer.find(end)) == std::string::npos) {
    if (buffer.size() > kMaxHead) throw Reply::ConnectionGone{};
    receive_more(socket, buffer);
  }
  std::string text = buffer.substr(0, at);
  buffer.erase(0, at + end.size());
  return text;
}

void take_bytes(int socket, std::string& buffer, std::size_t count, std::string& into) {
  while (count > 0) {
    if (buffer.empty()) receive_more(socket, buffer);
    const std::size_t part = std::min(count, buffer.size());
    into.append(buffer, 0, part);
    buffer.erase(0, part);
    count -= part;
  }
}

Request parse_head(const std::string& head) {
  Request request;
  std::size_t begin = head.find("\r\n");
  const std::string line = head.substr(0, begin);
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string::npos || last <= first) throw Reply::ConnectionGone{};
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  while (begin != std::string::npos) {
    begin += 2;
    const std::size_t end = head.find("\r\n", begin);
    const std::string field = head.substr(begin, end == std::string::npos ? end : end - begin);
    const std::size_t colon = field.find(':');
    if (colon != std::string::npos) {
      const std::size_t value = field.find_first_not_of(" \t", colon + 1);
      request.fields.emplace_back(field.substr(0, colon),
                                  value == std::string::npos ? "" : field.substr(value));
    }
    begin = end;
  }
  return request;
}

void take_body(int socket, std::string& buffer, Request& request) {
  if (const auto length = request.find("Content-Length")) {
    take_bytes(socket, buffer, std::stoull(*length), request.body);
  } else if (request.find("Transfer-Encoding")) {
    std::size_t size = 0;
    do {
      size = std::stoull(take_until(socket, buffer, "\r\n"), nullptr, 16);
      take_bytes(socket, buffer, size, request.body);
      take_until(socket, buffer, "\r\n");
    } while (size > 0);
  }
}

void send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) throw Reply::ConnectionGone{};
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

std::optional<std::string> Request::find(std::string_view name) const {
  for (const auto& [field, value] : fields) {
    if (equal_without_case(field, name)) return value;
  }
  return {};
}

void Reply::head(int status, const Fields& fields) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Scripted\r\n";
  for (const auto& [name, value] : fields) text += name + ": " + value + "\r\n";
  send(text + "\r\n");
}

void Reply::send(std::string_view bytes) {
  constexpr std::size_t kPart = 65536;  // so that bytes_sent() follows what really left
  for (std::size_t at = 0; at < bytes.size(); at += kPart) {
    const std::string_view part = bytes.substr(at, kPart);
    send_all(socket_, part);
    server_.bytes_sent_ += part.size();
  }
}

void Reply::chunk(std::string_view bytes) {
  std::array<char, 32> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
  send(size.data() + std::string(bytes) + "\r\n");
}

void Reply::answer(int status, std::string_view body, Fields fields) {
  fields.emplace_back("Content-Length", std::to_string(body.size()));
  head(status, fields);
  if (!head_only_) send(body);
}

void Reply::stall() { server_.stall(socket_); }

void Reply::close() { throw ConnectionGone{}; }

void Reply::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  throw ConnectionGone{};
}

HostileServer::HostileServer()
    : listener_(listen_on(0)),
      released_(event()),
      stopping_(event()),
      port_(port_of(listener_.get())),
      otherwise_([](const Request&, Reply& reply) { reply.answer(404, "not here\n"); }),
      acceptor_([this] { accept_connections(); }) {}

HostileServer::~HostileServer() {
  raise(stopping_);
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : open_) ::shutdown(connection.socket.get(), SHUT_RDWR);
  }
  for (Connection& connection : open_) connection.thread.join();
}

void HostileServer::on(const std::string& path, Script script) {
  const std::lock_guard lock(mutex_);
  scripts_[path] = std::move(script);
}

void HostileServer::otherwise(Script script) {
  const std::lock_guard lock(mutex_);
  otherwise_ = std::move(script);
}

std::string HostileServer::url(std::string_view path) const {
  return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
}

void HostileServer::release() { raise(released_); }
void HostileServer::hold() { lower(released_); }

bool HostileServer::wait_for_stalled(int count, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return stalled_changed_.wait_for(lock, limit, [&] { return stalled_ >= count; });
}

std::vector<Request> HostileServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<Request> HostileServer::requests_for(std::string_view path,
                                                 std::string_view method) const {
  std::vector<Request> found = requests();
  std::erase_if(found, [&](const Request& request) {
    return without_query(request.target) != path || (!method.empty() && request.method != method);
  });
  return found;
}

void HostileServer::forget_requests() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
}

void HostileServer::accept_connections() {
  for (;;) {
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return;
    join_ended();
    const std::lock_guard lock(mutex_);
    Connection& connection = open_.emplace_back();
    connection.socket = std::move(socket);
    connection.thread = std::thread([this, &connection, number = ++connections_] {
      serve(connection.socket.get(), number);
      connection.ended = true;
    });
  }
}

void HostileServer::join_ended() {
  const std::lock_guard lock(mutex_);
  open_.remove_if([](Connection& connection) {
    if (!connection.ended) return false;
    connection.thread.join();
    return true;
  });
}

void HostileServer::serve(int socket, int number) {
  try {
    std::string buffer;
    while (serve_one(socket, number, buffer)) {
    }
  } catch (const Reply::ConnectionGone&) {
  }
  // Closing belongs to the acceptor's thread; with SO_LINGER 0 the reset must go out at once.
  linger setting{};
  socklen_t length = sizeof setting;
  ::getsockopt(socket, SOL_SOCKET, SO_LINGER, &setting, &length);
  if (setting.l_onoff != 0) {
    sockaddr dissolve{};
    dissolve.sa_family = AF_UNSPEC;
    ::connect(socket, &dissolve, sizeof dissolve);
  } else {
    ::shutdown(socket, SHUT_RDWR);
  }
}

bool HostileServer::serve_one(int socket, int number, std::string& buffer) {
  Request request = parse_head(take_until(socket, buffer, "\r\n\r\n"));
  request.connection = number;
  request.body_complete = false;
  std::size_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    index = requests_.size();
    requests_.push_back(request);
  }
  if (request.find("Expect")) send_all(socket, "HTTP/1.1 100 Continue\r\n\r\n");
  take_body(socket, buffer, request);
  request.body_complete = true;
  {
    const std::lock_guard lock(mutex_);
    if (index < requests_.size()) requests_[index] = request;
  }
  Reply reply(*this, socket, request.method == "HEAD");
  script_for(request.target)(request, reply);
  const auto connection = request.find("Connection");
  return !connection || !equal_without_case(*connection, "close");
}

Script HostileServer::script_for(std::string_view target) const {
  const std::lock_guard lock(mutex_);
  const auto found = scripts_.find(std::string(without_query(target)));
  return found == scripts_.end() ? otherwise_ : found->second;
}

void HostileServer::stall(int socket) {
  const auto change = [this](int by) {
    const std::lock_guard lock(mutex_);
    stalled_ += by;
    stalled_changed_.notify_all();
  };
  std::array<pollfd, 3> awaited{pollfd{released_.get(), POLLIN, 0},
                                pollfd{stopping_.get(), POLLIN, 0}, pollfd{socket, POLLRDHUP, 0}};
  change(+1);
  ::poll(awaited.data(), awaited.size(), -1);
  change(-1);
  if (awaited[0].revents == 0) throw Reply::ConnectionGone{};
}

}  // namespace red::testing
