#include "common/protocols/sftp/ssh_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <mutex>
#include <utility>

#include "common/error.h"
#include "common/logging.h"
#include "common/protocols/sftp/sftp_error.h"
#include "common/protocols/sftp/sftp_wire.h"

namespace red {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What the server may send before we have taken anything: more than a line of 1 Gbit/s holds at a
// round trip of 100 ms.
constexpr std::uint32_t kChannelWindow = 16 * 1024 * 1024;
// libssh2's transport breaks off at packets above 40,000 bytes.
constexpr std::uint32_t kChannelPacket = 32 * 1024;
// libssh2 decrypts all that it can get before it hands out any of it. In pieces that stay in the
// processor's cache this is faster, and its list of packets stays short.
constexpr std::size_t kReceiveAtOnce = 256 * 1024;
// Encrypted bytes that may wait for the socket; a few packets keep it busy.
constexpr std::size_t kMaxUnsent = 256 * 1024;
// What a server may say before its banner (RFC 4253 section 4.2), which libssh2 does not bound.
constexpr std::size_t kMaxBeforeBanner = 64 * 1024;

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

bool holds_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

/// libssh2 frees it with its own allocator, which is free().
char* allocated_copy(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return nullptr;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

SshConnection* self_of(void** abstract) { return static_cast<SshConnection*>(*abstract); }

/// What the callback that signs works with.
struct Signing {
  const SshKey& key;
  std::exception_ptr failure = {};
};

/// The algorithm's name in the data to sign (RFC 4252 section 7): newer versions of libssh2 choose
/// it themselves.
std::string algorithm_in(std::span<const std::byte> data) {
  SftpReader reader(data);
  reader.string();  // session identifier
  reader.u8();      // SSH_MSG_USERAUTH_REQUEST
  reader.string();  // user
  reader.string();  // service
  reader.string();  // "publickey"
  reader.u8();
  return reader.text();
}

int on_sign(LIBSSH2_SESSION* /*session*/, unsigned char** signature, std::size_t* length,
            const unsigned char* data, std::size_t data_length, void** abstract) {
  auto* signing = static_cast<Signing*>(*abstract);
  try {
    const auto bytes = std::as_bytes(std::span(data, data_length));
    const std::string made = signing->key.sign(algorithm_in(bytes), bytes);
    *signature = reinterpret_cast<unsigned char*>(allocated_copy(made));
    *length = made.size();
    return *signature == nullptr ? -1 : 0;
  } catch (...) {
    signing->failure = std::current_exception();
    return -1;
  }
}

std::string seconds_text(milliseconds time) {
  return std::to_string(std::chrono::round<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

SshConnection::SshConnection(const SftpAccess& access, SshLoginNotes& notes, SocketWaiter& waiter)
    : access_(access),
      authority_(authority_of(access.host, access.port)),
      pin_(access.host_key),
      waiter_(waiter) {
  static std::once_flag once;
  std::call_once(once, [] { libssh2_init(0); });
  if (access_.private_key && !notes.key) {
    notes.key = SshKey::parse(*access_.private_key, access_.passphrase);
  }
  try {
    connect(notes);
    notes.stage = SshStage::Authentication;
    authenticate(notes);
    notes.stage = SshStage::Session;
    open_channel();
  } catch (...) {
    end_session();
    throw;
  }
}

SshConnection::~SshConnection() { end_session(); }

// --- Logging in ----------------------------------------------------------------------------------

/// A server has several host keys and shows one, of the type that the two agree on. A fingerprint
/// does not tell its key's type, so that one which does not match may be of another type.
void SshConnection::connect(SshLoginNotes& notes) {
  std::vector<std::string> preferred;
  const std::string& wanted = pin_.type().empty() ? notes.host_key_type : pin_.type();
  if (!wanted.empty()) {
    preferred = host_key_methods(wanted);
    for (const std::string& type : host_key_types()) {
      if (type == wanted) continue;
      for (std::string& method : host_key_methods(type)) preferred.push_back(std::move(method));
    }
  }
  if (connect_with(preferred, notes)) return;
  if (pin_.type().empty()) {
    for (const std::string& type : host_key_types()) {
      const bool is_seen =
          std::any_of(seen_keys_.begin(), seen_keys_.end(),
                      [&type](const std::string& key) { return key.starts_with(type + " "); });
      if (is_seen) continue;
      try {
        if (connect_with(host_key_methods(type), notes)) return;
      } catch (const Error& error) {
        // The server has no key of this type, or this libssh2 cannot check it.
        if (error.kind() != ErrorKind::Protocol) throw;
      }
    }
  }
  std::string message = "the host key of " + authority_ + " is not the expected one: expected " +
                        pin_.description() + ", the server has " + join(seen_keys_, ", ") +
                        ". Either the server's key was changed, or this is another machine";
  // libssh2 1.10 proves RSA keys with SHA-1 only, which servers have given up.
  const bool was_rsa_seen =
      std::any_of(seen_keys_.begin(), seen_keys_.end(),
                  [](const std::string& key) { return key.starts_with("ssh-rsa "); });
  if (!was_rsa_seen && (pin_.type().empty() || pin_.type() == "ssh-rsa")) {
    message += "; its RSA key, if that is meant, cannot be checked here: name one of another type";
  }
  throw Error(ErrorKind::Authentication, std::move(message));
}

/// False if the host key is another one than the access data says.
bool SshConnection::connect_with(const std::vector<std::string>& methods, SshLoginNotes& notes) {
  end_session();
  notes.stage = SshStage::Connecting;
  connect_socket(notes);
  notes.stage = SshStage::HostKey;
  start_session(methods);
  handshake();
  std::size_t length = 0;
  int type = 0;
  const char* blob = libssh2_session_hostkey(session_, &length, &type);
  if (blob == nullptr) throw failure("cannot read the host key of " + authority_, 0);
  const SshHostKey key{std::string(blob, length)};
  if (!pin_.matches(key)) {
    seen_keys_.push_back(key.type() + " " + key.fingerprint());
    return false;
  }
  notes.host_key_type = key.type();
  notes.host_key_fingerprint = key.fingerprint();
  if (pin_.is_any() && !notes.host_key_logged) {
    log(LogLevel::Info, "host key of " + authority_ + ", accepted without check: " + key.type() +
                            " " + key.fingerprint());
    notes.host_key_logged = true;
  }
  return true;
}

/// The time for a name and that for a connection are one.
void SshConnection::connect_socket(SshLoginNotes& notes) {
  const TimePoint start = steady_clock::now();
  auto addresses = resolve_host(access_.host, access_.port, access_.connect_timeout, waiter_);
  const TimePoint resolved = steady_clock::now();
  TcpConnection connection =
      connect_tcp(std::move(addresses), authority_, start, access_.connect_timeout, waiter_);
  socket_ = std::move(connection.socket);
  notes.peer = connection.peer.text();
  notes.connect_time = steady_clock::now() - resolved;
}

void SshConnection::start_session(const std::vector<std::string>& methods) {
  session_ = libssh2_session_init_ex(nullptr, nullptr, nullptr, this);
  if (session_ == nullptr) throw Error::local_io(ENOMEM, "cannot set up an SSH session");
  is_ending_ = is_closed_ = false;
  socket_error_ = 0;
  banner_.clear();
  first_bytes_.clear();
  parting_word_.clear();
  unsent_.clear();
  unsent_begin_ = 0;
  libssh2_session_set_blocking(session_, 0);
  const auto set_callback = [this](int type, auto* callback) {
    libssh2_session_callback_set(session_, type, reinterpret_cast<void*>(callback));
  };
  set_callback(LIBSSH2_CALLBACK_RECV, &SshConnection::on_receive);
  set_callback(LIBSSH2_CALLBACK_SEND, &SshConnection::on_send);
  set_callback(LIBSSH2_CALLBACK_DISCONNECT, &SshConnection::on_disconnect);
  libssh2_session_flag(session_, LIBSSH2_FLAG_COMPRESS, 0);

  if (!methods.empty()) prefer(LIBSSH2_METHOD_HOSTKEY, methods, "host key types");
  // The fastest where the processor helps with AES and SHA, which it nearly always does.
  std::vector<std::string> ciphers = access_.ciphers;
  if (ciphers.empty()) {
    ciphers = {"aes128-ctr",
               "aes256-ctr",
               "aes192-ctr",
               "aes128-gcm@openssh.com",
               "aes256-gcm@openssh.com",
               "chacha20-poly1305@openssh.com"};
  }
  prefer(LIBSSH2_METHOD_CRYPT_CS, ciphers, "ciphers");
  prefer(LIBSSH2_METHOD_CRYPT_SC, ciphers, "ciphers");
  const std::vector<std::string> macs = {"hmac-sha2-256", "hmac-sha2-256-etm@openssh.com",
                                         "hmac-sha2-512", "hmac-sha2-512-etm@openssh.com",
                                         "hmac-sha1"};
  prefer(LIBSSH2_METHOD_MAC_CS, macs, "checksums");
  prefer(LIBSSH2_METHOD_MAC_SC, macs, "checksums");
}

void SshConnection::prefer(int method_type, const std::vector<std::string>& names,
                           const std::string& what) {
  // libssh2 1.10 leaves out the names that it does not know by a memcpy() within one buffer.
  const std::vector<std::string> known = supported(method_type);
  std::vector<std::string> wanted;
  std::copy_if(names.begin(), names.end(), std::back_inserter(wanted), [&](const auto& name) {
    return std::find(known.begin(), known.end(), name) != known.end();
  });
  if (wanted.empty()) {
    throw Error(ErrorKind::Protocol, "none of these " + what + " is known here: " +
                                         join(names, ", ") + "; there are: " + join(known, ", "));
  }
  const int code = libssh2_session_method_pref(session_, method_type, join(wanted, ",").c_str());
  if (code != 0) throw failure("cannot choose " + what, code);
}

std::vector<std::string> SshConnection::supported(int method_type) const {
  const char** names = nullptr;
  const int count = libssh2_session_supported_algs(session_, method_type, &names);
  std::vector<std::string> result;
  for (int i = 0; i < count; ++i) result.emplace_back(names[i]);
  if (count > 0) libssh2_free(session_, names);
  return result;
}

void SshConnection::handshake() {
  const TimePoint start = steady_clock::now();
  const std::string what = "cannot set up SSH with " + authority_;
  const auto step = [this] {
    if (first_bytes_.size() >= kMaxBeforeBanner) return LIBSSH2_ERROR_BANNER_RECV;
    return libssh2_session_handshake(session_, socket_.number());
  };
  const auto has_banner = [this] { return libssh2_session_banner_get(session_) != nullptr; };
  // libssh2 takes every line for a banner until one begins as a banner does.
  const auto is_ssh = [this, &has_banner] {
    return has_banner() &&
           std::string_view(libssh2_session_banner_get(session_)).starts_with("SSH-");
  };
  int code = LIBSSH2_ERROR_EAGAIN;
  while (code == LIBSSH2_ERROR_EAGAIN) {
    const bool is_past_banner = is_ssh();
    const TimePoint until =
        start + access_.banner_timeout + (is_past_banner ? access_.auth_timeout : milliseconds(0));
    code = step();
    flush();
    if (code != LIBSSH2_ERROR_EAGAIN) break;
    if (steady_clock::now() >= until) {
      const std::string said = printable(first_bytes_);
      if (is_past_banner || said.empty()) {
        throw Error(ErrorKind::TimedOut,
                    what + ": no answer within " + seconds_text(access_.banner_timeout));
      }
      throw Error(ErrorKind::Protocol,
                  "no SSH server at " + authority_ + ": it says \"" + said + "\"");
    }
    pollfd socket = to_poll();
    waiter_.wait({&socket, 1}, until);
  }
  if (code == 0) {
    banner_ = libssh2_session_banner_get(session_);
    return;
  }
  if (is_ssh()) throw failure(what, code);
  if (first_bytes_.empty()) throw failure(what + ": no SSH banner came", code);
  if (first_bytes_.starts_with("SSH-")) throw failure(what, code);
  const std::string said = printable(first_bytes_);
  // What OpenSSH says when too many are logging in at once.
  if (said.starts_with("Exceeded MaxStartups") || said.starts_with("Not allowed at this time")) {
    throw Error(ErrorKind::Unavailable, what + ": " + said);
  }
  throw Error(ErrorKind::Protocol, "no SSH server at " + authority_ + ": it says \"" + said + "\"");
}

void SshConnection::authenticate(SshLoginNotes& notes) {
  std::string methods = notes.authentication.empty() ? offered_methods() : std::string();
  if (!methods.empty()) notes.offered_methods = methods;
  if (libssh2_userauth_authenticated(session_) != 0) return;
  const auto may_try = [&](std::string_view method) {
    return notes.authentication.empty() ? holds_word(methods, method)
                                        : notes.authentication.starts_with(method);
  };
  bool has_tried = false;
  const auto attempt = [&](std::string_view method, auto&& function) {
    if (!may_try(method)) return false;
    has_tried = true;
    if (!function()) return false;
    if (!notes.authentication.starts_with(method)) notes.authentication = method;
    return true;
  };
  if (access_.private_key) {
    if (attempt("publickey", [&] { return authenticate_by_key(notes); })) return;
  } else {
    if (attempt("password", [&] { return authenticate_by_password(); })) return;
    // A server that wants both offers the second once the first was right, nothing else before.
    const bool may_want_both = notes.authentication.empty() && methods == "password";
    if (may_want_both) methods = offered_methods();
    if (attempt("keyboard-interactive", [&] { return authenticate_interactively(); })) {
      if (may_want_both) notes.authentication.clear();
      return;
    }
  }
  notes.authentication.clear();
  const std::string kind = access_.private_key ? "key" : "password";
  const std::string offers = methods.empty() ? "" : " (it offers: " + methods + ")";
  throw refusal(
      (has_tried ? "the server does not accept the " + kind : "the server takes no " + kind + "s") +
      offers);
}

/// The methods' names, with commas between them.
std::string SshConnection::offered_methods() {
  std::string methods;
  const auto& user = access_.username;
  run(
      [&] {
        const char* list =
            libssh2_userauth_list(session_, user.c_str(), static_cast<unsigned int>(user.size()));
        if (list != nullptr) methods = list;
        if (list != nullptr || libssh2_userauth_authenticated(session_) != 0) return 0;
        return libssh2_session_last_errno(session_);
      },
      steady_clock::now() + access_.auth_timeout, "cannot log in to " + authority_,
      access_.auth_timeout);
  return methods;
}

/// libssh2 1.10 takes the algorithm's name from the front of the blob and knows but the key's own
/// name (ssh-rsa, which means SHA-1) otherwise.
bool SshConnection::authenticate_by_key(SshLoginNotes& notes) {
  const std::string remembered = notes.authentication;
  for (const std::string& algorithm : notes.key->signature_algorithms()) {
    const std::string note = "publickey " + algorithm;
    if (!remembered.empty() && remembered != note) continue;
    const std::string blob = notes.key->public_blob(algorithm);
    Signing signing{*notes.key};
    void* abstract = &signing;
    const int code = run(
        [&] {
          return libssh2_userauth_publickey(session_, access_.username.c_str(),
                                            reinterpret_cast<const unsigned char*>(blob.data()),
                                            blob.size(), &on_sign, &abstract);
        },
        steady_clock::now() + access_.auth_timeout, "cannot log in to " + authority_,
        access_.auth_timeout);
    if (signing.failure) std::rethrow_exception(signing.failure);
    if (code == 0) {
      notes.authentication = note;
      return true;
    }
  }
  return false;
}

bool SshConnection::authenticate_by_password() {
  const std::string& password = *access_.password;
  const int code = run(
      [&] {
        return libssh2_userauth_password_ex(
            session_, access_.username.c_str(), static_cast<unsigned int>(access_.username.size()),
            password.c_str(), static_cast<unsigned int>(password.size()), nullptr);
      },
      steady_clock::now() + access_.auth_timeout, "cannot log in to " + authority_,
      access_.auth_timeout);
  if (code == LIBSSH2_ERROR_PASSWORD_EXPIRED) throw refusal("the password has expired");
  return code == 0;
}

bool SshConnection::authenticate_interactively() {
  has_given_password_ = false;
  return run(
             [&] {
               return libssh2_userauth_keyboard_interactive_ex(
                   session_, access_.username.c_str(),
                   static_cast<unsigned int>(access_.username.size()), &on_prompts);
             },
             steady_clock::now() + access_.auth_timeout, "cannot log in to " + authority_,
             access_.auth_timeout) == 0;
}

void SshConnection::open_channel() {
  const TimePoint until = steady_clock::now() + access_.auth_timeout;
  const std::string what = "cannot start SFTP on " + authority_;
  constexpr std::string_view kType = "session";
  int code = run(
      [&] {
        channel_ = libssh2_channel_open_ex(session_, kType.data(), kType.size(), kChannelWindow,
                                           kChannelPacket, nullptr, 0);
        return channel_ != nullptr ? 0 : libssh2_session_last_errno(session_);
      },
      until, what, access_.auth_timeout);
  // OpenSSH's MaxSessions; with 0 it refuses everybody.
  if (channel_ == nullptr) throw failure(what + ": the server opens no session", code);
  libssh2_channel_handle_extended_data2(channel_, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
  constexpr std::string_view kRequest = "subsystem";
  constexpr std::string_view kName = "sftp";
  code = run(
      [&] {
        return libssh2_channel_process_startup(channel_, kRequest.data(), kRequest.size(),
                                               kName.data(), kName.size());
      },
      until, what, access_.auth_timeout);
  if (code != 0) {
    throw Error(ErrorKind::Unsupported, what + ": the server has no SFTP subsystem");
  }
}

/// Repeats a step until it has an answer, which it returns: 0, or a failure that is the server's
/// decision. Throws if the connection broke or the time is over.
int SshConnection::run(const Step& step, TimePoint until, const std::string& what,
                       milliseconds timeout) {
  while (true) {
    receive_budget_ = kReceiveAtOnce;
    const int code = step();
    flush();
    if (code == 0) return 0;
    if (code != LIBSSH2_ERROR_EAGAIN) {
      if (is_broken() || code == LIBSSH2_ERROR_SOCKET_DISCONNECT) throw failure(what, code);
      return code;
    }
    if (steady_clock::now() >= until) {
      throw Error(ErrorKind::TimedOut, what + ": no answer within " + seconds_text(timeout));
    }
    pollfd socket = to_poll();
    waiter_.wait({&socket, 1}, until);
  }
}

Error SshConnection::failure(const std::string& what, int code) const {
  char* text = nullptr;
  if (session_ != nullptr) libssh2_session_last_error(session_, &text, nullptr, 0);
  return error_from_ssh({.what = what,
                         .code = code,
                         .text = text == nullptr ? "" : text,
                         .system_error = socket_error_,
                         .is_closed = is_closed_,
                         .parting_word = parting_word_});
}

Error SshConnection::refusal(const std::string& why) const {
  return {ErrorKind::Authentication,
          "cannot log in to " + authority_ + " as " + access_.username + ": " + why};
}

/// Without waiting for anybody: what libssh2 would still like to hear from the server, it gets an
/// error for.
void SshConnection::end_session() noexcept {
  if (session_ == nullptr) return;
  if (!is_broken()) {
    libssh2_session_disconnect_ex(session_, SSH_DISCONNECT_BY_APPLICATION, "end", "");
    try {
      flush();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): it is over anyway
    }
  }
  is_ending_ = true;
  libssh2_session_free(session_);
  session_ = nullptr;
  channel_ = nullptr;
  socket_ = OwnedDescriptor();
}

// --- The stream ----------------------------------------------------------------------------------

std::size_t SshConnection::read(std::span<std::byte> buffer) {
  receive_budget_ = kReceiveAtOnce;
  const auto count =
      libssh2_channel_read_ex(channel_, 0, reinterpret_cast<char*>(buffer.data()), buffer.size());
  if (count > 0) return static_cast<std::size_t>(count);
  if (count == LIBSSH2_ERROR_EAGAIN) return 0;
  if (count < 0) throw failure("connection to " + authority_, static_cast<int>(count));
  return 0;
}

bool SshConnection::is_at_end() const { return libssh2_channel_eof(channel_) != 0; }

std::size_t SshConnection::write(std::span<const std::byte> bytes) {
  if (unsent_.size() - unsent_begin_ >= kMaxUnsent) return 0;
  // Only read() takes bytes from the socket: what libssh2 took here would pile up in its list.
  receive_budget_ = 0;
  const auto count = libssh2_channel_write_ex(
      channel_, 0, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (count >= 0) return static_cast<std::size_t>(count);
  if (count == LIBSSH2_ERROR_EAGAIN) return 0;
  throw failure("connection to " + authority_, static_cast<int>(count));
}

void SshConnection::flush() {
  while (unsent_begin_ < unsent_.size()) {
    const auto sent = ::send(socket_.number(), unsent_.data() + unsent_begin_,
                             unsent_.size() - unsent_begin_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      is_blocked_ = true;
      break;
    }
    if (sent < 0) {
      // What the server said before it closed is still to be read and says more.
      if (errno != EPIPE && errno != ECONNRESET) socket_error_ = errno;
      unsent_begin_ = unsent_.size();
      break;
    }
    unsent_begin_ += static_cast<std::size_t>(sent);
    // A full buffer that drains shows somebody at the other end; an empty one takes anything.
    if (std::exchange(is_blocked_, false)) ++drains_;
  }
  if (unsent_begin_ == unsent_.size()) {
    unsent_.clear();
    unsent_begin_ = 0;
  }
}

pollfd SshConnection::to_poll() const noexcept {
  const bool has_unsent = unsent_begin_ < unsent_.size();
  return {socket_.number(), static_cast<short>(has_unsent ? POLLIN | POLLOUT : POLLIN), 0};
}

// --- Called by libssh2 ---------------------------------------------------------------------------

ssize_t SshConnection::on_receive(libssh2_socket_t socket, void* buffer, std::size_t length,
                                  int /*flags*/, void** abstract) {
  SshConnection& self = *self_of(abstract);
  if (self.is_ending_) return -ECONNRESET;
  const bool is_before_banner = self.banner_.empty();
  // libssh2 itself goes on as long as lines come.
  if (is_before_banner && self.first_bytes_.size() >= kMaxBeforeBanner) return -ECONNABORTED;
  if (!is_before_banner) {
    length = std::min(length, self.receive_budget_);
    if (length == 0) return -EAGAIN;
  }
  ssize_t count = -1;
  do {
    count = ::recv(socket, buffer, length, MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return -EAGAIN;
    self.socket_error_ = errno;
    return -errno;
  }
  if (count == 0) {
    self.is_closed_ = true;
    return 0;
  }
  if (is_before_banner) {
    const auto room = kMaxBeforeBanner - std::min(kMaxBeforeBanner, self.first_bytes_.size());
    self.first_bytes_.append(static_cast<const char*>(buffer),
                             std::min(room, static_cast<std::size_t>(count)));
  } else {
    self.receive_budget_ -= static_cast<std::size_t>(count);
  }
  return count;
}

/// Takes everything: libssh2 1.10 mixes up its packets when one of them was sent in part (a window
/// adjustment behind half a packet of data fails with LIBSSH2_ERROR_BAD_USE and is then counted
/// twice). write() keeps the amount small.
ssize_t SshConnection::on_send(libssh2_socket_t /*socket*/, const void* buffer, std::size_t length,
                               int /*flags*/, void** abstract) {
  SshConnection& self = *self_of(abstract);
  if (self.is_ending_) return static_cast<ssize_t>(length);
  if (self.unsent_begin_ > kMaxUnsent) {
    self.unsent_.erase(self.unsent_.begin(),
                       self.unsent_.begin() + static_cast<std::ptrdiff_t>(self.unsent_begin_));
    self.unsent_begin_ = 0;
  }
  const auto* bytes = static_cast<const char*>(buffer);
  self.unsent_.insert(self.unsent_.end(), bytes, bytes + length);
  return static_cast<ssize_t>(length);
}

void SshConnection::on_disconnect(LIBSSH2_SESSION* /*session*/, int /*reason*/, const char* message,
                                  int message_length, const char* /*language*/,
                                  int /*language_length*/, void** abstract) {
  SshConnection& self = *self_of(abstract);
  if (message != nullptr && message_length > 0) {
    self.parting_word_.assign(message, static_cast<std::size_t>(message_length));
  }
  self.is_closed_ = true;
}

/// The password for the first question that is not to be seen, nothing for all others: a server
/// that asks again got the wrong one, and asking is what it counts.
void SshConnection::on_prompts(const char* /*name*/, int /*name_length*/,
                               const char* /*instruction*/, int /*instruction_length*/, int count,
                               const LIBSSH2_USERAUTH_KBDINT_PROMPT* prompts,
                               LIBSSH2_USERAUTH_KBDINT_RESPONSE* responses, void** abstract) {
  SshConnection& self = *self_of(abstract);
  for (int i = 0; i < count; ++i) {
    const bool is_for_password = prompts[i].echo == 0 && !self.has_given_password_;
    self.has_given_password_ = self.has_given_password_ || is_for_password;
    const std::string_view answer = is_for_password ? *self.access_.password : std::string_view();
    responses[i].text = allocated_copy(answer);
    responses[i].length =
        responses[i].text == nullptr ? 0 : static_cast<unsigned int>(answer.size());
  }
}

}  // namespace red
