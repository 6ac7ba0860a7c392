#include "common/keyed_hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>

#include "common/error.h"

namespace red {
namespace {

const unsigned char* bytes_of(const void* data) { return static_cast<const unsigned char*>(data); }
unsigned char* bytes_of(HashValue& value) { return reinterpret_cast<unsigned char*>(value.data()); }

}  // namespace

HashValue keyed_hash(std::span<const std::byte> key, std::string_view text) {
  HashValue value;
  unsigned int length = 0;
  const unsigned char* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   bytes_of(text.data()), text.size(), bytes_of(value), &length);
  if (done == nullptr || length != value.size()) {
    throw Error(ErrorKind::Internal, "HMAC-SHA-256 is not available in this OpenSSL");
  }
  return value;
}

HashValue slow_hash(std::span<const std::byte> salt, std::string_view secret) {
  constexpr std::uint64_t kCost = 1 << 14;
  constexpr std::uint64_t kBlockSize = 8;
  constexpr std::uint64_t kMaxMemory = 32 << 20;
  HashValue value;
  const int done = EVP_PBE_scrypt(secret.data(), secret.size(), bytes_of(salt.data()), salt.size(),
                                  kCost, kBlockSize, 1, kMaxMemory, bytes_of(value), value.size());
  if (done != 1) throw Error(ErrorKind::Internal, "scrypt is not available in this OpenSSL");
  return value;
}

HashValue random_key() {
  HashValue key;
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    throw Error::local_io(errno, "random numbers");
  }
  return key;
}

}  // namespace red
