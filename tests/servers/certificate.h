#pragma once

#include <filesystem>

namespace red::testing {

/// The files of a certificate for 127.0.0.1 and localhost that no system trusts by itself.
struct Certificate {
  std::filesystem::path certificate;  ///< PEM; also the authority that signed it
  std::filesystem::path key;
};

/// Makes one with the openssl program in `directory`.
Certificate make_certificate(const std::filesystem::path& directory);

}  // namespace red::testing
