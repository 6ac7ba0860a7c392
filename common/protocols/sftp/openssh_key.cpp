#include "common/protocols/sftp/openssh_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>
#include <string>

#include "common/protocols/sftp/openssh_cipher.h"
#include "common/protocols/sftp/ssh_key.h"

namespace red {
namespace {

constexpr std::string_view kMagic("openssh-key-v1\0", 15);

[[noreturn]] void fail(const std::string& reason) { throw Error(ErrorKind::InvalidAccess, reason); }
[[noreturn]] void fail_as_damaged() { fail("is damaged"); }

using Number = OpenSslPtr<BIGNUM>;

Number number_in(Bytes bytes) {
  Number number(BN_secure_new());
  if (BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), number.get()) == nullptr) {
    fail_as_damaged();
  }
  return number;
}

/// The parameters that a key is made of. What is added must live until the key is made.
class KeyParameters {
 public:
  void add(const char* name, const Number& number) {
    add_if(OSSL_PARAM_BLD_push_BN(builder_.get(), name, number.get()));
  }
  void add(const char* name, Bytes bytes) {
    add_if(OSSL_PARAM_BLD_push_octet_string(builder_.get(), name, bytes.data(), bytes.size()));
  }
  void add(const char* name, const char* text) {
    add_if(OSSL_PARAM_BLD_push_utf8_string(builder_.get(), name, text, 0));
  }

  EvpKey make(const char* type) const {
    const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> parameters(
        OSSL_PARAM_BLD_to_param(builder_.get()), &OSSL_PARAM_free);
    const OpenSslPtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
    EVP_PKEY* key = nullptr;
    if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1) {
      fail_as_damaged();
    }
    return EvpKey(key);
  }

 private:
  static void add_if(int is_added) {
    if (is_added != 1) fail_as_damaged();
  }

  std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> builder_{OSSL_PARAM_BLD_new(),
                                                                           &OSSL_PARAM_BLD_free};
};

/// exponent mod (prime - 1), which the format leaves out.
Number reduced_exponent(const Number& exponent, const Number& prime) {
  const std::unique_ptr<BN_CTX, decltype(&BN_CTX_free)> context(BN_CTX_secure_new(), &BN_CTX_free);
  Number one_less(BN_dup(prime.get()));
  Number result(BN_secure_new());
  if (!one_less || BN_sub_word(one_less.get(), 1) != 1 ||
      BN_mod(result.get(), exponent.get(), one_less.get(), context.get()) != 1) {
    fail_as_damaged();
  }
  return result;
}

EvpKey read_rsa(BlobReader& reader) {
  const Number n = number_in(reader.string());
  const Number e = number_in(reader.string());
  const Number d = number_in(reader.string());
  const Number coefficient = number_in(reader.string());
  const Number p = number_in(reader.string());
  const Number q = number_in(reader.string());
  const Number d_mod_p = reduced_exponent(d, p);
  const Number d_mod_q = reduced_exponent(d, q);
  KeyParameters parameters;
  parameters.add(OSSL_PKEY_PARAM_RSA_N, n);
  parameters.add(OSSL_PKEY_PARAM_RSA_E, e);
  parameters.add(OSSL_PKEY_PARAM_RSA_D, d);
  parameters.add(OSSL_PKEY_PARAM_RSA_FACTOR1, p);
  parameters.add(OSSL_PKEY_PARAM_RSA_FACTOR2, q);
  parameters.add(OSSL_PKEY_PARAM_RSA_EXPONENT1, d_mod_p);
  parameters.add(OSSL_PKEY_PARAM_RSA_EXPONENT2, d_mod_q);
  parameters.add(OSSL_PKEY_PARAM_RSA_COEFFICIENT1, coefficient);
  return parameters.make("RSA");
}

EvpKey read_ecdsa(BlobReader& reader, const EcdsaCurve& curve) {
  if (text_of(reader.string()) != curve.name) fail_as_damaged();
  const Bytes point = reader.string();
  const Number d = number_in(reader.string());
  KeyParameters parameters;
  parameters.add(OSSL_PKEY_PARAM_GROUP_NAME, curve.openssl_name);
  parameters.add(OSSL_PKEY_PARAM_PUB_KEY, point);
  parameters.add(OSSL_PKEY_PARAM_PRIV_KEY, d);
  return parameters.make("EC");
}

EvpKey read_ed25519(BlobReader& reader) {
  constexpr std::size_t kSize = 32;
  const Bytes public_key = reader.string();
  const Bytes both = reader.string();
  if (public_key.size() != kSize || both.size() != 2 * kSize ||
      !std::equal(public_key.begin(), public_key.end(), both.begin() + kSize)) {
    fail_as_damaged();
  }
  EvpKey key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, both.data(), kSize));
  std::array<unsigned char, kSize> computed{};
  std::size_t size = computed.size();
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), computed.data(), &size) != 1 ||
      !std::equal(computed.begin(), computed.end(), public_key.begin())) {
    fail_as_damaged();
  }
  return key;
}

EvpKey read_key(BlobReader& reader) {
  const std::string_view type = text_of(reader.string());
  if (type == "ssh-rsa") return read_rsa(reader);
  if (type == "ssh-ed25519") return read_ed25519(reader);
  for (const EcdsaCurve& curve : kEcdsaCurves) {
    if (type == std::string(kEcdsaPrefix) + std::string(curve.name)) {
      return read_ecdsa(reader, curve);
    }
  }
  fail(std::string(kUnsupportedType));
}

/// 1, 2, 3, ...
bool is_padding(Bytes bytes) {
  unsigned char expected = 0;
  return std::all_of(bytes.begin(), bytes.end(),
                     [&expected](unsigned char byte) { return byte == ++expected; });
}

}  // namespace

EvpKey parse_openssh_key(Bytes bytes, std::string_view passphrase) {
  BlobReader file(bytes);
  if (text_of(file.take(kMagic.size())) != kMagic) fail_as_damaged();
  const std::string_view cipher = text_of(file.string());
  const std::string_view key_derivation = text_of(file.string());
  const Bytes options = file.string();
  if (file.number() != 1) fail("holds several keys, or none");
  file.string();  // the public key, which the private part repeats
  const Bytes encrypted = file.string();
  const SecretBytes plain =
      decrypt_openssh({cipher, key_derivation, options}, passphrase, encrypted, file.rest());

  BlobReader reader(plain);
  // The same number twice, to tell a wrong passphrase.
  if (reader.number() != reader.number()) {
    if (cipher == "none") fail_as_damaged();
    throw PassphraseError(ErrorKind::InvalidAccess, "does not open the private key");
  }
  EvpKey key = read_key(reader);
  reader.string();  // the comment
  if (!is_padding(reader.rest())) fail_as_damaged();
  return key;
}

}  // namespace red
