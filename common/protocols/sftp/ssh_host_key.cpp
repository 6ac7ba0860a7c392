#include "common/protocols/sftp/ssh_host_key.h"

#include <openssl/evp.h>

#include <array>
#include <span>

#include "common/error.h"
#include "common/protocols/sftp/sftp_wire.h"

namespace red {
namespace {

constexpr std::string_view kFingerprintPrefix = "SHA256:";

std::string encode_base64(std::span<const unsigned char> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

/// Empty if it is no base64.
std::string decode_blob(std::string_view text) {
  if (text.size() % 4 != 0) return {};
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0) return {};
  // EVP_DecodeBlock counts the padding as bytes.
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with(padding == 0 ? "=" : "==")) ++padding;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

std::string without_padding(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  return text;
}

}  // namespace

std::string SshHostKey::type() const {
  try {
    return SftpReader(std::as_bytes(std::span(blob))).text();
  } catch (const Error&) {
    return {};
  }
}

std::string SshHostKey::fingerprint() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int size = 0;
  if (EVP_Digest(blob.data(), blob.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::Internal, "cannot compute a SHA-256 digest");
  }
  return std::string(kFingerprintPrefix) +
         without_padding(encode_base64(std::span(digest).first(size)));
}

SshHostKeyPin::SshHostKeyPin(std::string_view text) {
  if (text.empty()) return;
  if (text.starts_with(kFingerprintPrefix)) {
    expected_fingerprint_ = without_padding(std::string(text));
    return;
  }
  const auto blank = text.find(' ');
  const SshHostKey key{blank == std::string_view::npos ? std::string()
                                                       : decode_blob(text.substr(blank + 1))};
  type_ = key.type();
  if (type_.empty() || type_ != text.substr(0, blank)) {
    throw Error(ErrorKind::InvalidAccess,
                "hostKey is neither a fingerprint (SHA256:…) nor a line of known_hosts");
  }
  expected_fingerprint_ = key.fingerprint();
}

bool SshHostKeyPin::matches(const SshHostKey& key) const {
  return is_any() || key.fingerprint() == expected_fingerprint_;
}

std::string SshHostKeyPin::description() const {
  return type_.empty() ? expected_fingerprint_ : type_ + " " + expected_fingerprint_;
}

std::vector<std::string> host_key_methods(std::string_view type) {
  if (type == "ssh-rsa") return {"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"};
  return {std::string(type)};
}

const std::vector<std::string>& host_key_types() {
  static const std::vector<std::string> types = {"ssh-ed25519", "ecdsa-sha2-nistp256",
                                                 "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                                 "ssh-rsa"};
  return types;
}

}  // namespace red
