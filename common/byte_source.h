#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace red {

/// Bytes to send, readable from any offset and more than once: a redirect or a retry starts over.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;  ///< bytes
  /// Fills `buffer` from `offset`; returns the bytes read, 0 only at the end. Throws Error. Called
  /// on the transport's thread, one call at a time.
  virtual std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) = 0;
};

}  // namespace red
