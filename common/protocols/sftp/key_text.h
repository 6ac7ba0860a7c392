#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/protocols/sftp/secret_bytes.h"

namespace red {

/// What stands between the BEGIN and END markers of a private key, whatever became of the line
/// breaks.
struct KeyText {
  std::string label;     ///< "OPENSSH PRIVATE KEY"
  std::string dek_info;  ///< "AES-128-CBC,HEX" of an encrypted key (RFC 1421); empty: not so
  SecretBytes body;      ///< valid base64, without blanks

  /// As PEM text with lines that OpenSSL can read.
  SecretBytes to_pem() const;
};

/// Throws Error{InvalidAccess} that says what is there instead of a private key, or what is missing
/// of it.
KeyText read_key_text(std::string_view text);

/// Nothing if it is none; padding is needed, blanks are not allowed.
std::optional<SecretBytes> decode_base64(std::string_view text);

}  // namespace red
