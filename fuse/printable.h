#pragma once

#include <string>
#include <string_view>

namespace red {

/// A path or name for a terminal: control characters become '?'.
inline std::string printable(std::string_view text) {
  std::string safe(text);
  for (char& c : safe) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return safe;
}

}  // namespace red
