#include "common/protocols/sftp/sftp_error.h"

#include <libssh2.h>

#include <system_error>

namespace red {
namespace {

ErrorKind kind_of(SftpStatusCode code) {
  switch (code) {
    case SftpStatusCode::NoSuchFile:
      return ErrorKind::NotFound;
    case SftpStatusCode::PermissionDenied:
      return ErrorKind::PermissionDenied;
    case SftpStatusCode::OpUnsupported:
      return ErrorKind::Unsupported;
    case SftpStatusCode::NoConnection:
    case SftpStatusCode::ConnectionLost:
      return ErrorKind::Network;
    default:
      return ErrorKind::Remote;
  }
}

/// ENOTDIR: what the path leads to cannot exist. OpenSSH says NoSuchFile, ProFTPD Failure and the
/// text of strerror(3).
bool is_below_a_file(const SftpStatus& status) {
  return status.code == SftpStatusCode::Failure && status.message == "Not a directory";
}

std::string_view words_for(SftpStatusCode code) {
  switch (code) {
    case SftpStatusCode::NoSuchFile:
      return "no such file or directory";
    case SftpStatusCode::PermissionDenied:
      return "permission denied";
    case SftpStatusCode::OpUnsupported:
      return "the server cannot do this";
    case SftpStatusCode::NoConnection:
    case SftpStatusCode::ConnectionLost:
      return "the server has lost its own connection";
    case SftpStatusCode::BadMessage:
      // OpenSSH's sftp-server says so for EINVAL and ENAMETOOLONG.
      return "the server finds the request or the name invalid";
    case SftpStatusCode::Eof:
      return "end of file";
    default:
      return "the server reports a failure";
  }
}

/// Whether the server's own words say more than the code: OpenSSH's never do.
bool is_telling(std::string_view message) {
  for (const std::string_view plain :
       {"", "Success", "End of file", "No such file", "Permission denied", "Failure", "Bad message",
        "No connection", "Connection lost", "Operation unsupported"}) {
    if (message == plain) return false;
  }
  return true;
}

}  // namespace

Error error_from_sftp_status(const SftpStatus& status, std::string_view what) {
  std::string message = std::string(what) + ": " + std::string(words_for(status.code));
  if (is_telling(status.message)) message += " (" + printable(status.message) + ")";
  const ErrorKind kind = is_below_a_file(status) ? ErrorKind::NotFound : kind_of(status.code);
  return {kind, std::move(message)};
}

Error error_of_request(const Error& error, std::string_view what) {
  return what.empty() ? error : error.within(what);
}

Error error_from_ssh(const SshFailure& failure) {
  std::string message = failure.what + ": ";
  if (!failure.parting_word.empty()) {
    return {ErrorKind::Network,
            message + "the server ends the connection: " + printable(failure.parting_word)};
  }
  if (failure.system_error != 0) {
    return {ErrorKind::Network, message + std::generic_category().message(failure.system_error)};
  }
  if (failure.is_closed) {
    return {ErrorKind::Network, message + "the server closed the connection"};
  }
  switch (failure.code) {
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_CHANNEL_CLOSED:
    case LIBSSH2_ERROR_CHANNEL_EOF_SENT:
      return {ErrorKind::Network, message + "the connection broke"};
    case LIBSSH2_ERROR_TIMEOUT:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
      return {ErrorKind::TimedOut, message + "no answer for too long"};
    case LIBSSH2_ERROR_ALLOC:
      return Error::local_io(ENOMEM, failure.what);
    case LIBSSH2_ERROR_KEX_FAILURE:
    case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
      return {ErrorKind::Protocol,
              message + "no agreement on keys and ciphers (" + printable(failure.text) + ")"};
    case LIBSSH2_ERROR_INVALID_MAC:
    case LIBSSH2_ERROR_DECRYPT:
    case LIBSSH2_ERROR_OUT_OF_BOUNDARY:
      // Bytes were changed on the way, or the two ends disagree about a key: another connection
      // is the cure.
      return {ErrorKind::Network, message + "the encrypted stream is broken"};
    default:
      return {ErrorKind::Protocol, message + printable(failure.text) + " (libssh2 error " +
                                       std::to_string(failure.code) + ")"};
  }
}

std::string printable(std::string_view text) {
  constexpr std::size_t kMaxLength = 200;
  std::string result;
  for (const char c : text.substr(0, kMaxLength)) {
    const auto byte = static_cast<unsigned char>(c);
    result.push_back(byte < 0x20 || byte == 0x7f ? ' ' : c);
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
  if (text.size() > kMaxLength) result += "…";
  return result;
}

}  // namespace red
