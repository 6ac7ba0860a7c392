#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace red {

enum class DigestAlgorithm { Md5, Sha1 };

/// "MD5", "SHA-1": for messages.
std::string_view name_of(DigestAlgorithm algorithm) noexcept;

/// What a content is told to have, or has.
struct Checksum {
  DigestAlgorithm algorithm = DigestAlgorithm::Sha1;
  std::string hex;  ///< lower case

  bool operator==(const Checksum&) const = default;
};

/// The digest of bytes that come piece by piece: MD5 (RFC 1321) or SHA-1 (FIPS 180-4). Not
/// thread-safe.
class Digest {
 public:
  explicit Digest(DigestAlgorithm algorithm);
  ~Digest();

  void update(std::span<const std::byte> bytes);
  /// Lower-case hex digits. Ends the calculation.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Tells whether bytes, given in pieces, are the same as before: Poly1305 (RFC 8439) under a key
/// that this process has made for itself and shows to nobody, so that not even who chooses the
/// bytes can make two of them look alike. Fast; never 0. Thread-safe. Throws Error{Internal}.
std::uint64_t keyed_digest(std::span<const std::span<const std::byte>> pieces);

}  // namespace red
