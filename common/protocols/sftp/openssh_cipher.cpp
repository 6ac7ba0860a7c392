#include "common/protocols/sftp/openssh_cipher.h"

#include <botan/pwdhash.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "common/protocols/sftp/blob_reader.h"
#include "common/protocols/sftp/evp_key.h"
#include "common/protocols/sftp/ssh_key.h"

namespace red {
namespace {

/// ssh-keygen makes 16 or 24, people ask for hundreds; this many take about half a minute.
constexpr std::uint32_t kMaxRounds = 2'000;

[[noreturn]] void fail(const std::string& reason) { throw Error(ErrorKind::InvalidAccess, reason); }
[[noreturn]] void fail_to_decrypt() {
  throw PassphraseError(ErrorKind::InvalidAccess, "does not open the private key");
}

struct Cipher {
  std::string_view name;  ///< as OpenSSH calls it
  const char* openssl_name;
  std::size_t tag_size;
};

constexpr std::size_t kTagSize = 16;
constexpr std::string_view kChaCha = "chacha20-poly1305@openssh.com";
constexpr std::array kCiphers{
    Cipher{"aes256-ctr", "AES-256-CTR", 0},
    Cipher{"aes192-ctr", "AES-192-CTR", 0},
    Cipher{"aes128-ctr", "AES-128-CTR", 0},
    Cipher{"aes256-cbc", "AES-256-CBC", 0},
    Cipher{"aes192-cbc", "AES-192-CBC", 0},
    Cipher{"aes128-cbc", "AES-128-CBC", 0},
    Cipher{"3des-cbc", "DES-EDE3-CBC", 0},
    Cipher{"aes256-gcm@openssh.com", "AES-256-GCM", kTagSize},
    Cipher{"aes128-gcm@openssh.com", "AES-128-GCM", kTagSize},
    Cipher{kChaCha, "ChaCha20", kTagSize},
};

const Cipher& cipher_named(std::string_view name) {
  const auto* found = std::find_if(kCiphers.begin(), kCiphers.end(),
                                   [name](const Cipher& cipher) { return cipher.name == name; });
  if (found == kCiphers.end()) fail("is encrypted with a cipher that is not supported");
  return *found;
}

SecretBytes derive_key(std::string_view passphrase, Bytes options, std::size_t size) {
  BlobReader reader(options);
  const Bytes salt = reader.string();
  const std::uint32_t rounds = reader.number();
  if (rounds == 0 || rounds > kMaxRounds) {
    fail("is encrypted with " + std::to_string(rounds) + " rounds of bcrypt; 1 to " +
         std::to_string(kMaxRounds) + " are supported");
  }
  SecretBytes key(size);
  Botan::PasswordHashFamily::create_or_throw("Bcrypt-PBKDF")
      ->from_iterations(rounds)
      ->derive_key(key.data(), key.size(), passphrase.data(), passphrase.size(), salt.data(),
                   salt.size());
  return key;
}

/// One pass of a cipher of OpenSSL; `tag` is empty for those that have none.
SecretBytes decrypt(const EVP_CIPHER* cipher, Bytes key, Bytes iv, Bytes input, Bytes tag) {
  const OpenSslPtr<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  SecretBytes output(input.size());
  int length = 0;
  int last_length = 0;
  SecretBytes expected(tag.begin(), tag.end());
  const bool done =
      EVP_DecryptInit_ex(context.get(), cipher, nullptr, key.data(), iv.data()) == 1 &&
      EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1 &&
      (tag.empty() ||
       EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(expected.size()),
                           expected.data()) == 1) &&
      EVP_DecryptUpdate(context.get(), output.data(), &length, input.data(),
                        static_cast<int>(input.size())) == 1 &&
      EVP_DecryptFinal_ex(context.get(), output.data() + length, &last_length) == 1;
  if (!done) fail_to_decrypt();
  return output;
}

/// OpenSSH's own construction (PROTOCOL.chacha20poly1305) with sequence number 0 and no lengths:
/// the first block of the stream is the key of Poly1305, the second one begins the text.
SecretBytes decrypt_chacha(Bytes key, Bytes input, Bytes tag) {
  constexpr std::size_t kBlock = 64;
  constexpr std::size_t kKey = 32;
  constexpr std::array<unsigned char, 16> kNonce{};
  SecretBytes padded(kBlock);
  padded.insert(padded.end(), input.begin(), input.end());
  SecretBytes output = decrypt(EVP_chacha20(), key.first(kKey), kNonce, padded, {});

  std::array<unsigned char, kTagSize> expected{};
  std::size_t length = 0;
  if (!EVP_Q_mac(nullptr, "POLY1305", nullptr, nullptr, nullptr, output.data(), kKey, input.data(),
                 input.size(), expected.data(), expected.size(), &length) ||
      CRYPTO_memcmp(expected.data(), tag.data(), kTagSize) != 0) {
    fail_to_decrypt();
  }
  output.erase(output.begin(), output.begin() + kBlock);
  return output;
}

}  // namespace

SecretBytes decrypt_openssh(const OpenSshEncryption& encryption, std::string_view passphrase,
                            Bytes input, Bytes tag) {
  if (encryption.cipher == "none") return {input.begin(), input.end()};
  const Cipher& cipher = cipher_named(encryption.cipher);
  if (encryption.key_derivation != "bcrypt") fail("is encrypted in a way that is not supported");
  if (passphrase.empty()) {
    throw PassphraseError(ErrorKind::InvalidAccess, "missing: the private key is encrypted");
  }
  if (tag.size() != cipher.tag_size) fail("is truncated");
  if (cipher.name == kChaCha) {
    constexpr std::size_t kTwoKeys = 64;
    return decrypt_chacha(derive_key(passphrase, encryption.options, kTwoKeys), input, tag);
  }
  const EVP_CIPHER* algorithm = EVP_get_cipherbyname(cipher.openssl_name);
  const auto key_size = static_cast<std::size_t>(EVP_CIPHER_get_key_length(algorithm));
  const auto iv_size = static_cast<std::size_t>(EVP_CIPHER_get_iv_length(algorithm));
  const SecretBytes derived = derive_key(passphrase, encryption.options, key_size + iv_size);
  const Bytes both(derived);
  return decrypt(algorithm, both.first(key_size), both.subspan(key_size), input, tag);
}

}  // namespace red
