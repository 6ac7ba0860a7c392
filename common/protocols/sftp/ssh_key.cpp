#include "common/protocols/sftp/ssh_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/protocols/sftp/evp_key.h"
#include "common/protocols/sftp/key_text.h"
#include "common/protocols/sftp/openssh_key.h"

namespace red {
namespace {

constexpr int kMinRsaBits = 1024;  // what servers accept at all

/// Leaves nothing in the thread's list of OpenSSL's errors: the next user of the library in this
/// thread would take it for its own.
class ErrorListGuard {
 public:
  ErrorListGuard() = default;
  ~ErrorListGuard() { ERR_clear_error(); }
  ErrorListGuard(const ErrorListGuard&) = delete;
  ErrorListGuard& operator=(const ErrorListGuard&) = delete;
};

// --- Reading PEM ---------------------------------------------------------------------------------

int give_passphrase(char* buffer, int size, int, void* passphrase) {
  const auto& text = *static_cast<const std::string_view*>(passphrase);
  if (text.empty() || text.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(buffer, text.data(), text.size());
  return static_cast<int>(text.size());
}

bool failed_for_an_unknown_cipher() {
  bool unknown = false;
  while (const unsigned long error = ERR_get_error()) {
    const int reason = ERR_GET_REASON(error);
    unknown = unknown || (ERR_GET_LIB(error) == ERR_LIB_EVP &&
                          (reason == ERR_R_UNSUPPORTED || reason == EVP_R_UNSUPPORTED_ALGORITHM));
  }
  return unknown;
}

EvpKey parse_pem(const KeyText& text, std::string_view passphrase) {
  const bool encrypted = !text.dek_info.empty() || text.label == "ENCRYPTED PRIVATE KEY";
  if (encrypted && passphrase.empty()) {
    throw PassphraseError(ErrorKind::InvalidAccess, "missing: the private key is encrypted");
  }
  const SecretBytes pem = text.to_pem();
  const std::unique_ptr<BIO, decltype(&BIO_free)> input(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  EvpKey key(PEM_read_bio_PrivateKey(input.get(), nullptr, give_passphrase, &passphrase));
  if (key) return key;
  const bool unknown_cipher = failed_for_an_unknown_cipher();
  if (!encrypted) {
    throw Error(ErrorKind::InvalidAccess, "is damaged, or " + std::string(kUnsupportedType));
  }
  if (unknown_cipher) {
    throw Error(ErrorKind::InvalidAccess, "is encrypted with a cipher that is not supported");
  }
  throw PassphraseError(ErrorKind::InvalidAccess, "does not open the private key");
}

// --- Writing the forms of RFC 4251 section 5 -----------------------------------------------------

void append_string(std::string& blob, std::string_view text) {
  const std::size_t size = text.size();
  for (const int shift : {24, 16, 8, 0}) blob += static_cast<char>(size >> shift & 0xff);
  blob += text;
}

void append_number(std::string& blob, const BIGNUM* number) {
  // A first bit that is set would mean a negative number.
  const auto size = static_cast<std::size_t>(BN_num_bytes(number));
  const std::size_t zeros =
      size > 0 && BN_is_bit_set(number, static_cast<int>(size * 8 - 1)) ? 1 : 0;
  std::string bytes(zeros + size, '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data() + zeros));
  append_string(blob, bytes);
}

const unsigned char* bytes_of(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

[[noreturn]] void fail_inside(std::string_view what) {
  throw Error(ErrorKind::Internal, "the private key: " + std::string(what));
}

OpenSslPtr<BIGNUM> number_of(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) fail_inside("a part of it is missing");
  return OpenSslPtr<BIGNUM>(number);
}

}  // namespace

// --- The key -------------------------------------------------------------------------------------

class SshKey::Key {
 public:
  /// Throws Error{InvalidAccess} if it is none of the supported types, or no sound key.
  explicit Key(EvpKey key) : key_(std::move(key)) {
    if (EVP_PKEY_is_a(key_.get(), "EC") == 1) {
      curve_ = find_curve();
    } else if (EVP_PKEY_is_a(key_.get(), "RSA") == 1) {
      is_rsa_ = true;
      check_rsa_size();
    } else if (EVP_PKEY_is_a(key_.get(), "ED25519") != 1) {
      throw Error(ErrorKind::InvalidAccess, std::string(kUnsupportedType));
    }
    check_halves();
  }

  std::vector<std::string> algorithms() const {
    if (is_rsa_) return {"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"};
    if (curve_) return {std::string(kEcdsaPrefix) + std::string(curve_->name)};
    return {"ssh-ed25519"};
  }

  /// The type in front is the caller's.
  void append_public_part(std::string& blob) const {
    if (is_rsa_) {
      append_number(blob, number_of(key_.get(), OSSL_PKEY_PARAM_RSA_E).get());
      append_number(blob, number_of(key_.get(), OSSL_PKEY_PARAM_RSA_N).get());
    } else if (curve_) {
      append_string(blob, curve_->name);
      append_string(blob, public_point());
    } else {
      std::array<unsigned char, 32> bytes{};
      std::size_t size = bytes.size();
      if (EVP_PKEY_get_raw_public_key(key_.get(), bytes.data(), &size) != 1) {
        fail_inside("it has no public half");
      }
      append_string(blob, {reinterpret_cast<const char*>(bytes.data()), size});
    }
  }

  std::string sign(std::string_view algorithm, std::span<const std::byte> data) const {
    const std::string signature = sign_plainly(digest_for(algorithm), data);
    return curve_ ? in_ssh_form(signature) : signature;
  }

 private:
  /// As OpenSSL does it.
  std::string sign_plainly(const char* digest, std::span<const std::byte> data) const {
    const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
    const auto* bytes = reinterpret_cast<const unsigned char*>(data.data());
    std::size_t size = 0;
    if (EVP_DigestSignInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key_.get(),
                              nullptr) != 1 ||
        EVP_DigestSign(context.get(), nullptr, &size, bytes, data.size()) != 1) {
      fail_inside("cannot sign");
    }
    std::string signature(size, '\0');
    if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       bytes, data.size()) != 1) {
      fail_inside("cannot sign");
    }
    signature.resize(size);
    return signature;
  }

  /// Signs and verifies, which is a hundred times faster than OpenSSL's own check of an RSA key.
  void check_halves() const {
    constexpr std::array<std::byte, 32> kAnything{};
    const char* digest = digest_for(algorithms()[0]);
    std::string signature;
    try {
      signature = sign_plainly(digest, kAnything);
    } catch (const Error&) {
      throw Error(ErrorKind::InvalidAccess, "is damaged");
    }
    const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
    if (EVP_DigestVerifyInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key_.get(),
                                nullptr) != 1 ||
        EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                         reinterpret_cast<const unsigned char*>(kAnything.data()),
                         kAnything.size()) != 1) {
      throw Error(ErrorKind::InvalidAccess,
                  "is damaged: its private and its public half do not belong together");
    }
  }

  const EcdsaCurve* find_curve() const {
    std::array<char, 64> name{};
    std::size_t size = 0;
    EVP_PKEY_get_group_name(key_.get(), name.data(), name.size(), &size);
    for (const EcdsaCurve& curve : kEcdsaCurves) {
      if (std::string_view(name.data(), size) == curve.openssl_name) return &curve;
    }
    throw Error(ErrorKind::InvalidAccess, std::string(kUnsupportedType));
  }

  void check_rsa_size() const {
    const int bits = EVP_PKEY_get_bits(key_.get());
    if (bits >= kMinRsaBits) return;
    throw Error(ErrorKind::InvalidAccess,
                "is an RSA key of " + std::to_string(bits) + " bits, which is too short");
  }

  /// Null where the algorithm has its own (Ed25519).
  const char* digest_for(std::string_view algorithm) const {
    if (curve_) return curve_->digest;
    if (!is_rsa_) return nullptr;
    if (algorithm == "ssh-rsa") return "SHA1";
    return algorithm == "rsa-sha2-256" ? "SHA256" : "SHA512";
  }

  /// Uncompressed (SEC 1 section 2.3.3), whatever form the key came in.
  std::string public_point() const {
    const std::size_t size = curve_->coordinate_size;
    std::string point(1 + 2 * size, '\4');
    auto* out = reinterpret_cast<unsigned char*>(point.data() + 1);
    for (const char* name : {OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y}) {
      BN_bn2binpad(number_of(key_.get(), name).get(), out, static_cast<int>(size));
      out += size;
    }
    return point;
  }

  /// DER into mpint r, mpint s.
  static std::string in_ssh_form(const std::string& der) {
    const unsigned char* bytes = bytes_of(der);
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair(
        d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(der.size())), &ECDSA_SIG_free);
    if (!pair) fail_inside("cannot sign");
    std::string blob;
    append_number(blob, ECDSA_SIG_get0_r(pair.get()));
    append_number(blob, ECDSA_SIG_get0_s(pair.get()));
    return blob;
  }

  EvpKey key_;
  const EcdsaCurve* curve_ = nullptr;  ///< ECDSA only
  bool is_rsa_ = false;
};

SshKey::SshKey(std::shared_ptr<const Key> key) : key_(std::move(key)) {}

SshKey SshKey::parse(std::string_view text, std::string_view passphrase) {
  const ErrorListGuard guard;
  const KeyText key_text = read_key_text(text);
  EvpKey key = key_text.label == "OPENSSH PRIVATE KEY"
                   ? parse_openssh_key(*decode_base64(text_of(key_text.body)), passphrase)
                   : parse_pem(key_text, passphrase);
  return SshKey(std::make_shared<const Key>(std::move(key)));
}

std::vector<std::string> SshKey::signature_algorithms() const { return key_->algorithms(); }

std::string SshKey::public_blob(std::string_view algorithm) const {
  const ErrorListGuard guard;
  std::string blob;
  append_string(blob, algorithm);
  key_->append_public_part(blob);
  return blob;
}

std::string SshKey::sign(std::string_view algorithm, std::span<const std::byte> data) const {
  const ErrorListGuard guard;
  return key_->sign(algorithm, data);
}

}  // namespace red
