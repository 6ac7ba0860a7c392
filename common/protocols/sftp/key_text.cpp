#include "common/protocols/sftp/key_text.h"

#include <botan/base64.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <memory>

#include "common/error.h"

namespace red {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
constexpr std::string_view kPrivate = "PRIVATE KEY";
/// RFC 1421 section 4.6, without blanks.
constexpr std::string_view kEncryption = "Proc-Type:4,ENCRYPTEDDEK-Info:";

[[noreturn]] void fail(std::string_view reason) {
  throw Error(ErrorKind::InvalidAccess, std::string(reason));
}

std::string_view view(const SecretBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void append(SecretBytes& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

bool is_blank(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string_view without_leading_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

/// Why a text without a private key is none.
std::string_view reason_against(std::string_view text) {
  text = without_leading_blanks(text);
  const auto holds = [text](std::string_view part) { return text.find(part) != text.npos; };
  if (text.empty()) return "is empty";
  if (text.starts_with("PuTTY-User-Key-File")) {
    return "is a key in PuTTY's format; puttygen exports it in OpenSSH's";
  }
  if (holds("PUBLIC KEY-----") || holds("BEGIN SSH2 PUBLIC KEY") || text.starts_with("ssh-") ||
      text.starts_with("ecdsa-sha2-") || text.starts_with("sk-")) {
    return "is a public key; the private one is wanted";
  }
  if (holds("-----BEGIN CERTIFICATE-----")) return "is a certificate, not a private key";
  if (text.starts_with('/') || text.starts_with('~')) {
    return "must be the text of the key, not the path of its file";
  }
  return "is no private key: -----BEGIN ... PRIVATE KEY----- is missing";
}

/// The text that starts with the label of the first private key; other blocks (parameters of a
/// curve, for example) may stand before it.
std::string_view find_private_key(std::string_view text) {
  for (std::string_view rest = text;;) {
    const std::size_t begin = rest.find(kBegin);
    if (begin == rest.npos) fail(reason_against(text));
    rest.remove_prefix(begin + kBegin.size());
    const std::size_t end = rest.find(kDashes);
    if (end != rest.npos && rest.substr(0, end).ends_with(kPrivate)) return rest;
  }
}

/// Drops blanks and line breaks, also those that are written as an escape.
SecretBytes compact(std::string_view text) {
  SecretBytes kept;
  kept.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '\\' && i + 1 < text.size() &&
                           std::string_view("\\nrt").find(text[i + 1]) != std::string_view::npos;
    if (is_escape) {
      i += text[i + 1] == '\\' ? 0 : 1;
    } else if (!is_blank(text[i])) {
      kept.push_back(static_cast<unsigned char>(text[i]));
    }
  }
  return kept;
}

/// How many of the characters belong to "CIPHER,HEX": the number of hexadecimal digits follows from
/// the cipher, so that the base64 text may follow immediately.
std::size_t length_of_dek_info(std::string_view text) {
  const std::size_t comma = text.find(',');
  if (comma == text.npos) fail("is damaged: the header DEK-Info is incomplete");
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher(
      EVP_CIPHER_fetch(nullptr, std::string(text.substr(0, comma)).c_str(), nullptr),
      &EVP_CIPHER_free);
  if (!cipher) fail("is encrypted with a cipher that is not supported");
  const auto digits = static_cast<std::size_t>(EVP_CIPHER_get_iv_length(cipher.get())) * 2;
  const std::string_view hex = text.substr(comma + 1, digits);
  if (hex.size() != digits ||
      !std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return std::isxdigit(c) != 0; })) {
    fail("is damaged: the header DEK-Info is incomplete");
  }
  return comma + 1 + digits;
}

}  // namespace

std::optional<SecretBytes> decode_base64(std::string_view text) {
  try {
    const auto bytes = Botan::base64_decode(text.data(), text.size(), false);
    return SecretBytes(bytes.begin(), bytes.end());
  } catch (const std::exception&) {
    return {};
  }
}

KeyText read_key_text(std::string_view text) {
  text = find_private_key(text);
  KeyText key;
  key.label = text.substr(0, text.find(kDashes));
  text.remove_prefix(key.label.size() + kDashes.size());

  const std::size_t end = text.find(kEnd);
  if (end == text.npos) fail("is truncated: -----END " + key.label + "----- is missing");
  if (!text.substr(end + kEnd.size()).starts_with(key.label + std::string(kDashes))) {
    fail("is damaged: the markers BEGIN and END do not name the same thing");
  }
  key.body = compact(text.substr(0, end));
  if (view(key.body).starts_with(kEncryption)) {
    const std::string_view rest = view(key.body).substr(kEncryption.size());
    key.dek_info = rest.substr(0, length_of_dek_info(rest));
    const auto headers = static_cast<std::ptrdiff_t>(kEncryption.size() + key.dek_info.size());
    key.body.erase(key.body.begin(), key.body.begin() + headers);
  }
  if (key.body.empty()) fail("is damaged: nothing stands between its markers");
  if (!decode_base64(view(key.body))) fail("is damaged: no base64 stands between its markers");
  return key;
}

SecretBytes KeyText::to_pem() const {
  constexpr std::size_t kLine = 64;
  SecretBytes pem;
  pem.reserve(body.size() * 2 + 256);  // moving it would cost a wipe
  append(pem, std::string(kBegin) + label + std::string(kDashes) + "\n");
  if (!dek_info.empty()) {
    append(pem, "Proc-Type: 4,ENCRYPTED\nDEK-Info: " + dek_info + "\n\n");
  }
  for (std::string_view rest = view(body); !rest.empty();) {
    append(pem, rest.substr(0, kLine));
    append(pem, "\n");
    rest.remove_prefix(std::min(kLine, rest.size()));
  }
  append(pem, std::string(kEnd) + label + std::string(kDashes) + "\n");
  return pem;
}

}  // namespace red
