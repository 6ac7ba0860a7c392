#include "fuse/status_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/error.h"
#include "fuse/bounded_child.h"

namespace red {
namespace {

constexpr std::size_t kMaxQuestion = 64;  // bytes
// More than the longest answer: who asks need not be waited for.
constexpr int kSendBuffer = 1024 * 1024;

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

void send_at_once(int fd, std::string_view text) {
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
  ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

StatusServer::StatusServer(const std::filesystem::path& socket_path) : socket_(make_socket()) {
  constexpr int kBacklog = 8;
  const sockaddr_un address = address_of(socket_path);
  ::unlink(socket_path.c_str());  // of a dead daemon with the same pid
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket_.get(), kBacklog) != 0) {
    const Error cause = Error::local_io(errno, "cannot listen on " + socket_path.string());
    throw Error(ErrorKind::Mount, cause.message());
  }
}

std::vector<int> StatusServer::descriptors() const {
  std::vector<int> descriptors{socket_.get()};
  for (const Client& client : clients_) descriptors.push_back(client.fd.get());
  return descriptors;
}

void StatusServer::serve(const Answers& answers) {
  accept_clients();
  std::erase_if(clients_, [&](Client& client) { return serve_client(client, answers); });
}

void StatusServer::accept_clients() {
  while (true) {
    UniqueFd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (clients_.size() == kMaxClients) clients_.pop_front();
    clients_.push_back({std::move(fd), {}});
  }
}

/// True when the client is done with.
bool StatusServer::serve_client(Client& client, const Answers& answers) {
  std::array<char, kMaxQuestion> buffer{};
  const ssize_t count = ::recv(client.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) return errno != EAGAIN && errno != EINTR;
  client.received.append(buffer.data(), static_cast<std::size_t>(count));
  const std::size_t end = client.received.find('\n');
  if (end == std::string::npos) return count == 0 || client.received.size() > kMaxQuestion;
  send_at_once(client.fd.get(), answers(std::string_view(client.received).substr(0, end)));
  return true;
}

std::optional<std::string> ask_status(const std::filesystem::path& socket_path,
                                      std::string_view question, std::chrono::milliseconds limit) {
  const UniqueFd socket = make_socket();
  const sockaddr_un address = address_of(socket_path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return std::nullopt;
  }
  const std::string line = std::string(question) + "\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return std::nullopt;
  }
  std::string text;
  const bool complete = read_until(socket.get(), std::chrono::steady_clock::now() + limit, text);
  return complete ? std::optional(std::move(text)) : std::nullopt;
}

}  // namespace red
