// How fast a plain libssh2 channel carries a file: what SFTP by the same library is compared with.
//
//   red_raw_channel PORT USER PRIVATE_KEY_FILE PATH
//
// Runs `cat PATH` on the SSH server of this host, reads its output to the end, and prints the
// seconds from the first byte asked for to the last.

#include <arpa/inet.h>
#include <libssh2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kBuffer = 256 * 1024;
constexpr unsigned kWindow = 16 << 20;
constexpr unsigned kPacket = 32 * 1024;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "red_raw_channel: %s\n", what);
  std::exit(1);
}

int connect_to(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    die("connect");
  }
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) die("usage: red_raw_channel PORT USER PRIVATE_KEY_FILE PATH");
  const std::string user = arguments[2];
  const int descriptor = connect_to(std::atoi(arguments[1]));
  libssh2_init(0);
  LIBSSH2_SESSION* session = libssh2_session_init();
  libssh2_session_method_pref(session, LIBSSH2_METHOD_CRYPT_CS, "aes128-ctr");
  libssh2_session_method_pref(session, LIBSSH2_METHOD_CRYPT_SC, "aes128-ctr");
  if (libssh2_session_handshake(session, descriptor) != 0) die("handshake");
  if (libssh2_userauth_publickey_fromfile_ex(session, user.data(),
                                             static_cast<unsigned>(user.size()), nullptr,
                                             arguments[3], nullptr) != 0) {
    die("login");
  }
  constexpr char kSession[] = "session";
  LIBSSH2_CHANNEL* channel =
      libssh2_channel_open_ex(session, kSession, sizeof kSession - 1, kWindow, kPacket, nullptr, 0);
  if (channel == nullptr) die("channel");
  const auto begin = std::chrono::steady_clock::now();
  if (libssh2_channel_exec(channel, (std::string("cat ") + arguments[4]).c_str()) != 0) die("exec");
  std::vector<char> buffer(kBuffer);
  while (true) {
    const auto read = libssh2_channel_read(channel, buffer.data(), buffer.size());
    if (read < 0) die("read");
    if (read == 0) break;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%.3f\n", seconds.count());
  libssh2_channel_free(channel);
  libssh2_session_free(session);
  close(descriptor);
}
