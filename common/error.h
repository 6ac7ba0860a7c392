#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace red {

/// What went wrong, as far as a caller, an exit code or an errno can tell it apart.
/// Every value has one row in the table of error.cpp.
enum class ErrorKind {
  Usage,             ///< the command line is wrong
  InvalidAccess,     ///< the access data or the listing is wrong
  Authentication,    ///< the server does not know us, or refuses the credentials
  PermissionDenied,  ///< the server knows us and refuses all the same
  NotFound,          ///< the thing does not exist on the server
  AlreadyExists,     ///< the thing exists and must not be replaced
  Unsupported,       ///< the server or the protocol cannot do this
  Network,           ///< name resolution, refused, reset, closed early: worth another try
  TimedOut,          ///< no answer, or no byte, for too long: worth another try
  Tls,               ///< certificate or handshake
  Unavailable,       ///< the server asks to come back later (429, 502-504): worth another try
  Remote,            ///< the server answered with any other error
  Protocol,          ///< the server's answer breaks the protocol or is not what it must be
  ChangedRemotely,   ///< the file became another one while it was read
  Integrity,         ///< size, checksum or content differ from what was promised
  LocalIo,           ///< the local file system; carries its own errno
  Mount,             ///< mounting or unmounting failed
  NotReady,          ///< what is needed here is missing, as an examination has shown
  Cancelled,         ///< somebody asked to stop
  Internal,          ///< a defect of this program
};

/// The name of a kind as it is written in logs and passed through pipes, for example "NotFound".
std::string_view name_of(ErrorKind kind) noexcept;

/// The inverse of name_of; nothing for an unknown name.
std::optional<ErrorKind> error_kind_named(std::string_view name) noexcept;

/// The one exception type of this program. The message is for a person ("what: on what: why"),
/// never holds a secret, and has one line per problem, the first saying what failed.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message);

  /// A failure of the local file system with the errno it gave; the message becomes
  /// "what: text of the errno".
  static Error local_io(int error_number, std::string_view what);

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

  /// The errno that a file system call gets for this error.
  int error_number() const noexcept;
  /// The exit code of a command that fails with this error (documented in the man page).
  int exit_code() const noexcept;
  /// Whether the same request may succeed a moment later.
  bool retryable() const noexcept;

  /// How long the server asked us to stay away, if it did (Retry-After, RFC 9110 section 10.2.3).
  std::optional<std::chrono::milliseconds> retry_after() const noexcept { return retry_after_; }
  Error with_retry_after(std::chrono::milliseconds pause) const;
  /// The same failure of something that must not be repeated.
  Error without_retry() const;

  /// The same error with its place in front: "context: message".
  Error within(std::string_view context) const;

 private:
  ErrorKind kind_;
  std::string message_;
  int local_error_number_ = 0;
  bool is_final_ = false;
  std::optional<std::chrono::milliseconds> retry_after_;
};

/// The exit code for a kind; the table that the man page prints.
int exit_code_of(ErrorKind kind) noexcept;

/// Turns whatever is being handled in a catch block into an Error (Internal for foreign types).
Error current_exception_as_error() noexcept;

}  // namespace red
