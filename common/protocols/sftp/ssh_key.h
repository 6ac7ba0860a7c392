#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"

namespace red {

/// The key is encrypted, and the passphrase is missing or wrong.
class PassphraseError : public Error {
 public:
  using Error::Error;
};

/// A private key for SSH user authentication: RSA, ECDSA (nistp256, nistp384, nistp521) or Ed25519.
/// Copies share the key, which is never changed; signing is thread-safe.
class SshKey {
 public:
  /// Reads the text of a private key: OpenSSH's own format or PEM (PKCS#1, SEC1, PKCS#8), plain or
  /// encrypted. Line breaks may be real, CRLF, the two characters `\n`, blanks, or lost. An empty
  /// passphrase is none; one that is not needed is ignored. Throws PassphraseError,
  /// or Error{InvalidAccess} that says what is wrong with the key; neither holds a part of it.
  static SshKey parse(std::string_view text, std::string_view passphrase);

  /// The names to offer the server, best first: "rsa-sha2-512", "rsa-sha2-256" and "ssh-rsa" for
  /// RSA, else the one name of the key's type. "ssh-rsa" (SHA-1) is for servers that know no other,
  /// and for those that refuse a public_blob() that starts with another name than the key's type
  /// (ProFTPD, AsyncSSH); OpenSSH takes it no more.
  std::vector<std::string> signature_algorithms() const;

  /// The public key in the form of RFC 4253 section 6.6 (`type` + numbers) with `algorithm` in the
  /// place of the type, which is where libssh2 takes the name of the signature algorithm from.
  std::string public_blob(std::string_view algorithm) const;

  /// The signature over `data` as the sign callback of libssh2_userauth_publickey() returns it:
  /// the inner blob of RFC 4253 section 6.6, without the algorithm's name and without a length in
  /// front. RSA: the number; ECDSA: mpint r, mpint s (RFC 5656 section 3.1.2); Ed25519: 64 bytes.
  std::string sign(std::string_view algorithm, std::span<const std::byte> data) const;

 private:
  class Key;

  explicit SshKey(std::shared_ptr<const Key> key);

  std::shared_ptr<const Key> key_;
};

}  // namespace red
