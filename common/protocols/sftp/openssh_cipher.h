#pragma once

#include <string_view>

#include "common/protocols/sftp/blob_reader.h"
#include "common/protocols/sftp/secret_bytes.h"

namespace red {

/// How a key in OpenSSH's format says that it is encrypted.
struct OpenSshEncryption {
  std::string_view cipher;
  std::string_view key_derivation;
  Bytes options;  ///< of the key derivation
};

/// `tag` is what follows the encrypted part. Throws PassphraseError, or Error{InvalidAccess} if it
/// is encrypted in an unknown way.
SecretBytes decrypt_openssh(const OpenSshEncryption& encryption, std::string_view passphrase,
                            Bytes input, Bytes tag);

}  // namespace red
