#pragma once

#include <string_view>

#include "common/protocols/sftp/blob_reader.h"
#include "common/protocols/sftp/evp_key.h"

namespace red {

/// Reads what `-----BEGIN OPENSSH PRIVATE KEY-----` holds (PROTOCOL.key of OpenSSH). Throws
/// PassphraseError, or Error{InvalidAccess} with what is wrong.
EvpKey parse_openssh_key(Bytes bytes, std::string_view passphrase);

}  // namespace red
