#pragma once

#include <cstddef>
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

}  // namespace red
