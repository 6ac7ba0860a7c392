#pragma once

#include <openssl/bn.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string_view>

namespace red {

/// Gives an object of OpenSSL back.
struct OpenSslDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};

template <typename T>
using OpenSslPtr = std::unique_ptr<T, OpenSslDeleter>;

using EvpKey = OpenSslPtr<EVP_PKEY>;

/// RFC 5656 section 10.1.
struct EcdsaCurve {
  std::string_view name;
  const char* openssl_name;
  const char* digest;
  std::size_t coordinate_size;  ///< bytes
};

inline constexpr std::array kEcdsaCurves{
    EcdsaCurve{"nistp256", "prime256v1", "SHA256", 32},
    EcdsaCurve{"nistp384", "secp384r1", "SHA384", 48},
    EcdsaCurve{"nistp521", "secp521r1", "SHA512", 66},
};
inline constexpr std::string_view kEcdsaPrefix = "ecdsa-sha2-";

inline constexpr std::string_view kUnsupportedType =
    "is of a type that is not supported; RSA, ECDSA (nistp256, nistp384, nistp521) and Ed25519 are";

}  // namespace red
