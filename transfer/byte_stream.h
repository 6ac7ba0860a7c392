#pragma once

#include <cstddef>
#include <span>

namespace red {

/// Bytes that come once, in order.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Fills some of `buffer`, which is not empty, and returns how much; 0 only at the end. Blocks.
  /// Throws Error.
  virtual std::size_t read(std::span<std::byte> buffer) = 0;
};

}  // namespace red
