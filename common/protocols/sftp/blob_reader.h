#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/error.h"

namespace red {

using Bytes = std::span<const unsigned char>;

inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Takes the parts of a key (RFC 4251 section 5) off its front. Throws Error{InvalidAccess} if
/// there is less than wanted.
class BlobReader {
 public:
  explicit BlobReader(Bytes bytes) : rest_(bytes) {}

  Bytes take(std::size_t count) {
    if (count > rest_.size()) throw Error(ErrorKind::InvalidAccess, "is truncated");
    const Bytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    for (const unsigned char byte : take(4)) value = value << 8 | byte;
    return value;
  }
  Bytes string() { return take(number()); }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
};

}  // namespace red
