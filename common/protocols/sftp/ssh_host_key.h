#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace red {

/// A server's key as it came in the key exchange.
struct SshHostKey {
  std::string blob;  ///< RFC 4253 section 6.6

  /// "ssh-ed25519"; empty if the blob makes no sense.
  std::string type() const;
  /// "SHA256:…", as ssh-keygen -l prints it.
  std::string fingerprint() const;
};

/// Which host key the access data asks for.
class SshHostKeyPin {
 public:
  /// "SHA256:…" or "TYPE BASE64" (SftpAccess::host_key); empty: any key.
  explicit SshHostKeyPin(std::string_view text);

  bool is_any() const noexcept { return expected_fingerprint_.empty(); }
  bool matches(const SshHostKey& key) const;
  /// The type of the pinned key; empty if only its fingerprint is known.
  const std::string& type() const noexcept { return type_; }
  /// For messages.
  std::string description() const;

 private:
  std::string type_;
  std::string expected_fingerprint_;
};

/// The methods to negotiate for a key of one type; RSA keys sign by several.
std::vector<std::string> host_key_methods(std::string_view type);

/// The types that SSH servers have keys of, the best first.
const std::vector<std::string>& host_key_types();

}  // namespace red
