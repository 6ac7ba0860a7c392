#include "common/digest.h"

#include <openssl/evp.h>

#include <array>

#include "common/error.h"

namespace red {
namespace {

const EVP_MD* implementation_of(DigestAlgorithm algorithm) {
  return algorithm == DigestAlgorithm::Md5 ? EVP_md5() : EVP_sha1();
}

}  // namespace

std::string_view name_of(DigestAlgorithm algorithm) noexcept {
  return algorithm == DigestAlgorithm::Md5 ? "MD5" : "SHA-1";
}

struct Digest::State {
  void check(int result) const {
    if (result == 1) return;
    throw Error(ErrorKind::Internal,
                std::string(name_of(algorithm)) + " is not available in this OpenSSL");
  }

  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  const DigestAlgorithm algorithm;
  const std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Digest::Digest(DigestAlgorithm algorithm) : state_(new State{algorithm}) {
  state_->check(EVP_DigestInit_ex(state_->context.get(), implementation_of(algorithm), nullptr));
}

Digest::~Digest() = default;

void Digest::update(std::span<const std::byte> bytes) {
  state_->check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string Digest::hex() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  state_->check(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &length));
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4U];
    text += kDigits[digest[i] & 0xFU];
  }
  return text;
}

}  // namespace red
