#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/protocols/sftp/sftp_wire.h"

namespace red {

/// What a request got instead of success; `what` is the request: "stat /data/x".
Error error_from_sftp_status(const SftpStatus& status, std::string_view what);

/// The error with what was asked for in front; nothing goes in front for a request without words.
Error error_of_request(const Error& error, std::string_view what);

/// What is known about a step of an SSH connection that failed.
struct SshFailure {
  std::string what;          ///< "cannot log in to host:22"
  int code = 0;              ///< LIBSSH2_ERROR_…
  std::string text;          ///< libssh2's words
  int system_error = 0;      ///< of the socket, if it failed
  bool is_closed = false;    ///< the server closed the connection
  std::string parting_word;  ///< of the server's SSH_MSG_DISCONNECT
};

Error error_from_ssh(const SshFailure& failure);

/// What a server sent, made fit for one line of a message.
std::string printable(std::string_view text);

}  // namespace red
