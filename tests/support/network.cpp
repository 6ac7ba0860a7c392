#include "tests/support/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

namespace red::testing {
namespace {

// Below ip_local_port_range (32768), above what services use.
constexpr int kFirstPort = 12'000;
constexpr int kLastPort = 31'999;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool bind_to(int socket, std::uint16_t port) {
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(port);
  return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

FileDescriptor tcp_socket() {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw std::system_error(errno, std::generic_category(), "socket");
  return socket;
}

// The name vanishes with the descriptor, however the process ends.
FileDescriptor reserve(std::uint16_t port) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string name = "red-test-port-" + std::to_string(port);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return {};
  return socket;
}

}  // namespace

ReservedPort::ReservedPort() {
  std::random_device random;
  std::uniform_int_distribution<int> any_port(kFirstPort, kLastPort);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const auto port = static_cast<std::uint16_t>(any_port(random));
    reservation_ = reserve(port);
    if (!reservation_ || !bind_to(tcp_socket().get(), port)) continue;
    number_ = port;
    return;
  }
  throw std::runtime_error("no free loopback port");
}

FileDescriptor listen_on(std::uint16_t port) {
  FileDescriptor socket = tcp_socket();
  if (!bind_to(socket.get(), port) || ::listen(socket.get(), 512) != 0) {
    throw std::system_error(errno, std::generic_category(), "listen on " + std::to_string(port));
  }
  return socket;
}

FileDescriptor connect_to(std::uint16_t port) {
  FileDescriptor socket = tcp_socket();
  const sockaddr_in address = loopback(port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

}  // namespace red::testing
