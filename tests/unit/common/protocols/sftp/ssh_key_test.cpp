#include "common/protocols/sftp/ssh_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <memory>
#include <sstream>

#include "common/protocols/sftp/key_text.h"
#include "tests/support/file_tree.h"

namespace red {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

constexpr const char* kPassphrase = "correct horse";
constexpr const char* kMessage = "what the server wants to be signed";

/// The keys that make_keys.sh made.
std::string key_file(const std::string& name) {
  return testing::read_file(RED_TEST_DATA "/common/protocols/sftp/keys/" + name);
}

std::string decoded(const std::string& base64) {
  const SecretBytes bytes = decode_base64(base64).value();
  return {bytes.begin(), bytes.end()};
}

/// The middle of "ssh-rsa BASE64 comment".
std::string blob_in_pub_file(const std::string& name) {
  std::istringstream words(key_file(name + ".pub"));
  std::string type;
  std::string base64;
  words >> type >> base64;
  return decoded(base64);
}

using PublicKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

PublicKey public_key(const std::string& name) {
  if (name == "ed25519") {
    constexpr std::size_t kSize = 32;
    const std::string blob = blob_in_pub_file(name);
    const auto* end = reinterpret_cast<const unsigned char*>(blob.data() + blob.size());
    return {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, end - kSize, kSize),
            &EVP_PKEY_free};
  }
  const std::string pem = key_file(name + ".spki");
  const std::unique_ptr<BIO, decltype(&BIO_free)> input(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  return {PEM_read_bio_PUBKEY(input.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free};
}

/// mpint r, mpint s as the DER that OpenSSL verifies. Both must be positive and as short as can be.
std::string to_der(std::string_view blob) {
  std::vector<BIGNUM*> numbers;
  while (!blob.empty()) {
    std::size_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(blob.at(0 + i));
    const std::string_view bytes = blob.substr(4, size);
    EXPECT_LT(static_cast<unsigned char>(bytes.at(0)), 0x80);
    if (bytes[0] == 0) {
      EXPECT_GE(static_cast<unsigned char>(bytes.at(1)), 0x80);
    }
    numbers.push_back(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                                static_cast<int>(bytes.size()), nullptr));
    blob.remove_prefix(4 + size);
  }
  EXPECT_EQ(numbers.size(), 2u);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair(ECDSA_SIG_new(),
                                                                   &ECDSA_SIG_free);
  ECDSA_SIG_set0(pair.get(), numbers.at(0), numbers.at(1));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  const std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

const char* digest_of(const std::string& algorithm) {
  if (algorithm == "rsa-sha2-512" || algorithm == "ecdsa-sha2-nistp521") return "SHA512";
  if (algorithm == "ecdsa-sha2-nistp384") return "SHA384";
  if (algorithm == "ssh-rsa") return "SHA1";
  return algorithm == "ssh-ed25519" ? nullptr : "SHA256";
}

bool verifies(EVP_PKEY* key, const std::string& algorithm, std::string signature) {
  if (algorithm.starts_with("ecdsa")) signature = to_der(signature);
  const std::string message = kMessage;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  EVP_DigestVerifyInit_ex(context.get(), nullptr, digest_of(algorithm), nullptr, nullptr, key,
                          nullptr);
  return EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                          message.size()) == 1;
}

std::string sign(const SshKey& key, const std::string& algorithm) {
  return key.sign(algorithm, std::as_bytes(std::span(std::string_view(kMessage))));
}

/// A way to spoil the line breaks of a key.
struct Mangling {
  const char* name;
  std::function<std::string(const std::string&)> mangle;
};

std::string with_line_breaks(const std::string& text, const std::string& replacement) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += replacement;
    } else {
      result += c;
    }
  }
  return result;
}

std::vector<Mangling> manglings() {
  const auto as = [](const char* replacement) {
    return [replacement](const std::string& text) { return with_line_breaks(text, replacement); };
  };
  return {
      {"as they are", as("\n")},
      {"CRLF", as("\r\n")},
      {"CR", as("\r")},
      {"escapes", as("\\n")},
      {"escapes of CRLF", as("\\r\\n")},
      {"escaped escapes", as("\\\\n")},
      {"blanks", as(" ")},
      {"lost", as("")},
      {"indented", as("\n    ")},
      {"text around", [](const std::string& text) { return "my key:\n" + text + "\nthe end\n"; }},
  };
}

struct Sample {
  std::string name;  ///< of the key
  std::string file;
};
void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.file; }

std::vector<Sample> samples() {
  std::vector<Sample> samples;
  for (const char* name : {"rsa-2048", "rsa-4096", "ecdsa-256", "ecdsa-384", "ecdsa-521"}) {
    for (const char* form : {".openssh", ".pem", ".pkcs8"}) {
      for (const char* encrypted : {"", "-encrypted"}) {
        samples.push_back({name, name + std::string(form) + encrypted});
      }
    }
  }
  for (const char* form :
       {"", "-encrypted", "-aes128-ctr", "-aes192-ctr", "-aes256-ctr", "-aes128-cbc", "-aes192-cbc",
        "-aes256-cbc", "-3des-cbc", "-aes128-gcm", "-aes256-gcm", "-chacha20-poly1305"}) {
    samples.push_back({"ed25519", std::string("ed25519.openssh") + form});
  }
  samples.push_back({"ed25519-of-openssl", "ed25519-of-openssl.pkcs8"});
  samples.push_back({"ed25519-of-openssl", "ed25519-of-openssl.pkcs8-encrypted"});
  samples.push_back({"rsa-2048", "rsa-2048.pem-des3"});
  samples.push_back({"ecdsa-256", "ecdsa-compressed.pem"});
  return samples;
}

bool is_encrypted(const Sample& sample) {
  return sample.file.find('-', sample.name.size()) != std::string::npos;
}

Error failure_of(const std::string& text, const std::string& passphrase = "") {
  try {
    SshKey::parse(text, passphrase);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error;
  }
  return {ErrorKind::Internal, "no error"};
}

std::string message_for(const std::string& text, const std::string& passphrase = "") {
  return failure_of(text, passphrase).message();
}

bool fails_for_the_passphrase(const std::string& text, const std::string& passphrase) {
  try {
    SshKey::parse(text, passphrase);
  } catch (const PassphraseError&) {
    return true;
  } catch (const Error&) {
  }
  return false;
}

class SshKeyIn : public ::testing::TestWithParam<Sample> {};

TEST_P(SshKeyIn, SignsSoThatOpenSslVerifiesIt) {
  const SshKey key = SshKey::parse(key_file(GetParam().file), kPassphrase);
  const PublicKey half = public_key(GetParam().name);
  ASSERT_TRUE(half);
  for (const std::string& algorithm : key.signature_algorithms()) {
    // The first bit of a number decides about its length: try both.
    for (int times = 0; times < 8; ++times) {
      EXPECT_TRUE(verifies(half.get(), algorithm, sign(key, algorithm))) << algorithm;
    }
    EXPECT_FALSE(verifies(half.get(), algorithm,
                          key.sign(algorithm, std::as_bytes(std::span(std::string_view("x"))))));
  }
}

TEST_P(SshKeyIn, HasThePublicKeyOfItsPubFile) {
  if (GetParam().name == "ed25519-of-openssl") GTEST_SKIP() << "no tool writes that file for it";
  const SshKey key = SshKey::parse(key_file(GetParam().file), kPassphrase);
  const std::string algorithm = key.signature_algorithms()[0];
  const std::string type = algorithm.starts_with("rsa-") ? "ssh-rsa" : algorithm;
  EXPECT_EQ(key.public_blob(type), blob_in_pub_file(GetParam().name));
}

TEST_P(SshKeyIn, SurvivesWhatHappensToLineBreaks) {
  const std::string text = key_file(GetParam().file);
  const std::string blob = SshKey::parse(text, kPassphrase).public_blob("x");
  for (const Mangling& mangling : manglings()) {
    try {
      EXPECT_EQ(SshKey::parse(mangling.mangle(text), kPassphrase).public_blob("x"), blob);
    } catch (const Error& error) {
      ADD_FAILURE() << mangling.name << ": " << error.message();
    }
  }
}

TEST_P(SshKeyIn, TellsAMissingPassphraseFromAWrongOne) {
  const std::string text = key_file(GetParam().file);
  if (!is_encrypted(GetParam())) {
    EXPECT_EQ(message_for(text), "no error");
    return;
  }
  EXPECT_EQ(message_for(text), "missing: the private key is encrypted");
  EXPECT_EQ(message_for(text, "wrong horse"), "does not open the private key");
  EXPECT_TRUE(fails_for_the_passphrase(text, ""));
  EXPECT_TRUE(fails_for_the_passphrase(text, "wrong horse"));
}

TEST_P(SshKeyIn, IsNoKeyWhenItsEndIsMissing) {
  const std::string text = key_file(GetParam().file);
  for (std::size_t size = 0; size + 2 < text.size(); size += 97) {
    EXPECT_NE(message_for(text.substr(0, size), kPassphrase), "no error") << size;
  }
  EXPECT_EQ(::ERR_peek_error(), 0u) << "others would take it for theirs";
}

TEST_P(SshKeyIn, IsNoKeyWhenItsMiddleIsMissing) {
  const std::string text = key_file(GetParam().file);
  std::string damaged = text;
  damaged.erase(text.find('\n', text.size() / 2), 65);
  EXPECT_NE(message_for(damaged, kPassphrase), "no error");
  EXPECT_EQ(::ERR_peek_error(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Every, SshKeyIn, ::testing::ValuesIn(samples()), [](const auto& test) {
  std::string name = test.param.file;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

TEST(SshKey, OffersTheBestAlgorithmFirst) {
  const auto algorithms = [](const char* file) {
    return SshKey::parse(key_file(file), "").signature_algorithms();
  };
  EXPECT_THAT(algorithms("rsa-2048.openssh"),
              ElementsAre("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"));
  EXPECT_THAT(algorithms("ecdsa-256.openssh"), ElementsAre("ecdsa-sha2-nistp256"));
  EXPECT_THAT(algorithms("ecdsa-384.pkcs8"), ElementsAre("ecdsa-sha2-nistp384"));
  EXPECT_THAT(algorithms("ecdsa-521.pem"), ElementsAre("ecdsa-sha2-nistp521"));
  EXPECT_THAT(algorithms("ed25519.openssh"), ElementsAre("ssh-ed25519"));
}

TEST(SshKey, PutsTheAlgorithmInFrontOfThePublicKey) {
  const SshKey key = SshKey::parse(key_file("rsa-2048.openssh"), "");
  const std::string blob = key.public_blob("rsa-sha2-512");
  EXPECT_EQ(blob.substr(0, 16), std::string("\0\0\0\x0crsa-sha2-512", 16));
  EXPECT_EQ(blob.substr(16), blob_in_pub_file("rsa-2048").substr(11));
}

TEST(SshKey, IgnoresAPassphraseThatIsNotNeeded) {
  for (const char* file : {"rsa-2048.openssh", "rsa-2048.pem", "rsa-2048.pkcs8"}) {
    EXPECT_EQ(message_for(key_file(file), "some passphrase"), "no error") << file;
  }
}

TEST(SshKey, TakesTheKeyThatFollowsItsParameters) {
  const SshKey key = SshKey::parse(key_file("ecdsa-parameters.pem"), "");
  EXPECT_THAT(key.signature_algorithms(), ElementsAre("ecdsa-sha2-nistp256"));
}

TEST(SshKey, CopiesShareTheKey) {
  const SshKey key = SshKey::parse(key_file("ed25519.openssh"), "");
  const SshKey copy = key;  // NOLINT: this is what is tested
  EXPECT_EQ(sign(copy, "ssh-ed25519"), sign(key, "ssh-ed25519"));
}

TEST(SshKey, SaysWhatIsThereInsteadOfAPrivateKey) {
  const std::string public_key = "is a public key; the private one is wanted";
  EXPECT_EQ(message_for(""), "is empty");
  EXPECT_EQ(message_for(" \n"), "is empty");
  EXPECT_EQ(message_for(key_file("rsa-2048.pub")), public_key);
  EXPECT_EQ(message_for(key_file("ecdsa-256.pub")), public_key);
  EXPECT_EQ(message_for(key_file("ed25519.pub")), public_key);
  EXPECT_EQ(message_for(key_file("rsa-2048.spki")), public_key);
  EXPECT_EQ(message_for("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n"),
            public_key);
  EXPECT_EQ(message_for("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"),
            "is a key in PuTTY's format; puttygen exports it in OpenSSH's");
  EXPECT_EQ(message_for("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            "is a certificate, not a private key");
  for (const char* path : {"/home/me/.ssh/id_rsa", "~/.ssh/id_rsa"}) {
    EXPECT_EQ(message_for(path), "must be the text of the key, not the path of its file");
  }
  EXPECT_EQ(message_for("hunter2"),
            "is no private key: -----BEGIN ... PRIVATE KEY----- is missing");
}

TEST(SshKey, SaysWhatIsMissingOfAKey) {
  const std::string text = key_file("ed25519.openssh");
  EXPECT_EQ(message_for(text.substr(0, text.find("-----END"))),
            "is truncated: -----END OPENSSH PRIVATE KEY----- is missing");
  EXPECT_EQ(message_for("-----BEGIN PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n"),
            "is damaged: the markers BEGIN and END do not name the same thing");
  EXPECT_EQ(message_for("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"),
            "is damaged: nothing stands between its markers");
  EXPECT_EQ(message_for("-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n"),
            "is damaged: no base64 stands between its markers");
  EXPECT_EQ(message_for("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
                        "-----END OPENSSH PRIVATE KEY-----\n"),
            "is truncated");
}

TEST(SshKey, NoticesHalvesThatDoNotBelongTogether) {
  std::string text = key_file("rsa-2048.openssh");
  constexpr std::size_t kInTheModulus = 600;
  text[kInTheModulus] = text[kInTheModulus] == 'A' ? 'B' : 'A';
  EXPECT_THAT(message_for(text), StartsWith("is damaged"));
}

TEST(SshKey, NamesTheTypesThatItTakes) {
  const std::string types =
      "is of a type that is not supported; RSA, ECDSA (nistp256, nistp384, nistp521) and Ed25519 "
      "are";
  EXPECT_EQ(message_for(key_file("unsupported-dsa.openssh")), types);
  EXPECT_EQ(message_for(key_file("unsupported-ed448.pkcs8")), types);
  EXPECT_EQ(message_for(key_file("unsupported-secp256k1.pem")), types);
}

TEST(SshKey, RefusesEncryptionsThatItDoesNotKnow) {
  std::string text = key_file("rsa-2048.pem-encrypted");
  text.replace(text.find("AES-128-CBC"), 11, "ROT-13-CBC!");
  EXPECT_EQ(message_for(text, kPassphrase), "is encrypted with a cipher that is not supported");
  text = key_file("rsa-2048.pem-encrypted");
  const std::size_t comma = text.find(',', text.find("AES-128-CBC"));
  text.replace(comma, 4, ",xyz");
  EXPECT_EQ(message_for(text, kPassphrase), "is damaged: the header DEK-Info is incomplete");
}

// Whatever one character becomes: it is a key or an error of the access data, which never shows it.
RC_GTEST_PROP(SshKey, TakesNoHarmFromDamage, ()) {
  const auto file = *rc::gen::elementOf(std::vector<std::string>{
      "ed25519.openssh", "ecdsa-256.openssh", "rsa-2048.openssh", "ed25519.openssh-aes256-gcm",
      "rsa-2048.pem", "rsa-2048.pem-encrypted", "ecdsa-256.pkcs8", "ecdsa-256.pkcs8-encrypted"});
  std::string text = key_file(file);
  text[*rc::gen::inRange<std::size_t>(0, text.size())] =
      *rc::gen::elementOf(std::string("ABCabcxyz0129+/=\n -:\\\x01"));
  try {
    SshKey::parse(text, kPassphrase).public_blob("x");
  } catch (const Error& error) {
    RC_ASSERT(error.kind() == ErrorKind::InvalidAccess);
    RC_ASSERT(error.message().find(text.substr(text.size() / 2, 20)) == std::string::npos);
  }
}

}  // namespace
}  // namespace red
