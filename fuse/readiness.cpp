#include "fuse/readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

namespace red {
namespace {

constexpr std::string_view kReady = "ready";
constexpr std::string_view kConfirmed = "confirmed";
constexpr std::size_t kMaxMessageBytes = 32 * 1024;  // well below what a socket buffer takes

bool send_message(int fd, std::string_view message) noexcept {
  return ::send(fd, message.data(), message.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(message.size());
}

/// Empty if the other end has gone.
std::string receive_message(int fd) {
  std::string message(kMaxMessageBytes, '\0');
  const ssize_t count = ::recv(fd, message.data(), message.size(), 0);
  message.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return message;
}

/// Failures travel as the kind's name, a line end and the message.
Error parse_failure(const std::string& text) {
  const std::size_t end = text.find('\n');
  const auto kind = error_kind_named(text.substr(0, end));
  if (!kind || end == std::string::npos) {
    return Error(ErrorKind::Internal, "the mount daemon sent what nobody understands");
  }
  return Error(*kind, text.substr(end + 1));
}

bool wait_readable(int fd, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(left.count())) > 0) return true;
  }
}

}  // namespace

ReadinessChannel make_readiness_channel() {
  constexpr int kFirstOther = 3;
  std::array<int, 2> ends{};
  // Messages keep their borders, and the end of the other side is seen.
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw Error::local_io(errno, "cannot make a socket pair");
  }
  UniqueFd command_end(ends[0]);
  const UniqueFd daemon_end(ends[1]);
  UniqueFd moved(::fcntl(daemon_end.get(), F_DUPFD_CLOEXEC, kFirstOther));
  if (!moved) throw Error::local_io(errno, "cannot make a socket pair");
  return {std::move(command_end), std::move(moved)};
}

void CommandLink::report_ready() noexcept { send_message(fd_.get(), kReady); }

bool CommandLink::report_failure(const Error& error) noexcept {
  const std::string text = std::string(name_of(error.kind())) + "\n" + error.message();
  return send_message(fd_.get(), std::string_view(text).substr(0, kMaxMessageBytes));
}

bool CommandLink::is_confirmed() noexcept { return receive_message(fd_.get()) == kConfirmed; }

DaemonReport await_report(int command_end, std::chrono::milliseconds limit) {
  using Outcome = DaemonReport::Outcome;
  if (!wait_readable(command_end, limit)) return {Outcome::Silent, {}};
  const std::string message = receive_message(command_end);
  if (message.empty()) return {Outcome::Died, {}};
  if (message == kReady) return {Outcome::Ready, {}};
  return {Outcome::Failed, parse_failure(message)};
}

bool confirm(int command_end) noexcept { return send_message(command_end, kConfirmed); }

}  // namespace red
