#include "common/digest.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>

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

namespace {

/// Poly1305 with the key of this process. The key would be good for one message only if digests
/// were shown to anybody (RFC 8439 section 2.5).
class ProcessMac {
 public:
  ProcessMac() {
    std::array<unsigned char, 32> key{};
    const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac(
        EVP_MAC_fetch(nullptr, "POLY1305", nullptr), EVP_MAC_free);
    if (mac) keyed_.reset(EVP_MAC_CTX_new(mac.get()));
    const bool works = keyed_ && RAND_bytes(key.data(), key.size()) == 1 &&
                       EVP_MAC_init(keyed_.get(), key.data(), key.size(), nullptr) == 1;
    if (!works) throw Error(ErrorKind::Internal, "Poly1305 is not available in this OpenSSL");
  }

  std::uint64_t digest(std::span<const std::span<const std::byte>> pieces) const {
    const Context context(EVP_MAC_CTX_dup(keyed_.get()));
    bool works = context != nullptr;
    for (const auto& piece : pieces) {
      works = works &&
              EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(piece.data()),
                             piece.size()) == 1;
    }
    std::array<unsigned char, 16> tag{};
    std::size_t length = 0;
    works = works && EVP_MAC_final(context.get(), tag.data(), &length, tag.size()) == 1;
    if (!works) throw Error(ErrorKind::Internal, "Poly1305 failed");
    std::uint64_t number = 0;
    std::memcpy(&number, tag.data(), sizeof(number));
    return std::max<std::uint64_t>(number, 1);
  }

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_MAC_CTX, Free>;

  Context keyed_;
};

}  // namespace

std::uint64_t keyed_digest(std::span<const std::span<const std::byte>> pieces) {
  static const ProcessMac mac;
  return mac.digest(pieces);
}

}  // namespace red
