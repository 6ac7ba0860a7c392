#pragma once

#include <libssh2.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/tcp_connection.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/ssh_host_key.h"
#include "common/protocols/sftp/ssh_key.h"

namespace red {

/// How far a login has come.
enum class SshStage { Connecting, HostKey, Authentication, Session };

/// What one login learns for those after it, and for whoever asks how it went. Not thread-safe: one
/// login at a time.
struct SshLoginNotes {
  std::optional<SshKey> key;         ///< read once, because decrypting it takes a while
  std::string host_key_type;         ///< of the key that matched the pin
  std::string host_key_fingerprint;  ///< of the same
  std::string authentication;        ///< the method, and for a key its algorithm, that worked
  std::string offered_methods;       ///< with commas between them; empty: not asked for
  bool host_key_logged = false;

  SshStage stage = SshStage::Connecting;  ///< of the last login
  std::string peer;                       ///< the address that it is connected to
  Duration connect_time{};                ///< without that for the name
};

/// An authenticated SSH connection with the "sftp" subsystem at the other end of its one channel: a
/// stream of bytes both ways. Of one thread. Nothing but the constructor waits.
class SshConnection {
 public:
  /// Connects, checks the host key, authenticates and starts the subsystem. Throws Error.
  SshConnection(const SftpAccess& access, SshLoginNotes& notes, SocketWaiter& waiter);
  ~SshConnection();
  SshConnection(const SshConnection&) = delete;
  SshConnection& operator=(const SshConnection&) = delete;

  /// Bytes from the server; 0: none for now, or none any more. Throws Error{Network} when the
  /// connection is lost.
  std::size_t read(std::span<std::byte> buffer);
  /// Whether the server has ended the stream. What it sent before may still be to be read.
  bool is_at_end() const;
  /// Takes some of the bytes; 0: no room for now. Throws Error{Network} when the connection is
  /// lost.
  std::size_t write(std::span<const std::byte> bytes);
  /// Gives the socket what it takes of what write() took.
  void flush();

  /// What to wait for.
  pollfd to_poll() const noexcept;
  /// Changes whenever a socket that was full has taken more: somebody is at the other end.
  std::uint64_t drains() const noexcept { return drains_; }
  const std::string& banner() const noexcept { return banner_; }

 private:
  /// What a step that may have to wait answers: a code of libssh2.
  using Step = std::function<int()>;

  void connect(SshLoginNotes& notes);
  bool connect_with(const std::vector<std::string>& host_key_methods, SshLoginNotes& notes);
  void connect_socket(SshLoginNotes& notes);
  void start_session(const std::vector<std::string>& host_key_methods);
  void prefer(int method_type, const std::vector<std::string>& names, const std::string& what);
  std::vector<std::string> supported(int method_type) const;
  void handshake();
  void authenticate(SshLoginNotes& notes);
  std::string offered_methods();
  bool authenticate_by_key(SshLoginNotes& notes);
  bool authenticate_by_password();
  bool authenticate_interactively();
  void open_channel();
  void end_session() noexcept;

  int run(const Step& step, TimePoint until, const std::string& what,
          std::chrono::milliseconds timeout);
  bool is_broken() const noexcept { return is_closed_ || socket_error_ != 0; }
  Error failure(const std::string& what, int code) const;
  Error refusal(const std::string& why) const;

  // Called by libssh2, with this object as the session's "abstract".
  static ssize_t on_receive(libssh2_socket_t socket, void* buffer, std::size_t length, int flags,
                            void** abstract);
  static ssize_t on_send(libssh2_socket_t socket, const void* buffer, std::size_t length, int flags,
                         void** abstract);
  static void on_disconnect(LIBSSH2_SESSION* session, int reason, const char* message,
                            int message_length, const char* language, int language_length,
                            void** abstract);
  static void on_prompts(const char* name, int name_length, const char* instruction,
                         int instruction_length, int count,
                         const LIBSSH2_USERAUTH_KBDINT_PROMPT* prompts,
                         LIBSSH2_USERAUTH_KBDINT_RESPONSE* responses, void** abstract);

  // set once
  const SftpAccess& access_;
  const std::string authority_;
  const SshHostKeyPin pin_;
  SocketWaiter& waiter_;

  OwnedDescriptor socket_;
  LIBSSH2_SESSION* session_ = nullptr;
  LIBSSH2_CHANNEL* channel_ = nullptr;
  std::string banner_;
  std::string first_bytes_;             ///< what came before there was a banner
  std::vector<std::string> seen_keys_;  ///< host keys that did not match

  std::vector<char> unsent_;  ///< encrypted bytes that the socket has not taken yet
  std::size_t unsent_begin_ = 0;
  std::size_t receive_budget_ = 0;
  std::uint64_t drains_ = 0;
  int socket_error_ = 0;
  bool is_closed_ = false;
  bool is_blocked_ = false;  ///< the socket has taken nothing when it was last tried
  bool is_ending_ = false;
  bool has_given_password_ = false;
  std::string parting_word_;
};

}  // namespace red
