#include "fuse/cache_use_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/error.h"
#include "fuse/bounded_child.h"

namespace red {
namespace {

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

}  // namespace

CacheUseServer::CacheUseServer(const std::filesystem::path& socket_path) : socket_(make_socket()) {
  constexpr int kBacklog = 8;
  const sockaddr_un address = address_of(socket_path);
  ::unlink(socket_path.c_str());  // of a dead daemon with the same pid
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket_.get(), kBacklog) != 0) {
    const Error cause = Error::local_io(errno, "cannot listen on " + socket_path.string());
    throw Error(ErrorKind::Mount, cause.message());
  }
}

void CacheUseServer::answer(const std::string& text) const noexcept {
  const UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client) ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

std::string ask_cache_use(const std::filesystem::path& socket_path,
                          std::chrono::milliseconds limit) {
  const UniqueFd socket = make_socket();
  const sockaddr_un address = address_of(socket_path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return {};
  }
  std::string text;
  const bool complete = read_until(socket.get(), std::chrono::steady_clock::now() + limit, text);
  return complete ? text : std::string();
}

}  // namespace red
