#include "transfer/printable_name.h"

#include <cstddef>
#include <cstdint>

namespace red {
namespace {

constexpr std::size_t kMostShown = 200;

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
}

/// How many bytes the printable character at the beginning has (RFC 3629 section 4); 0 if there is
/// none.
std::size_t printable_length(std::string_view text) {
  const std::uint8_t first = byte_at(text, 0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f && first != '\\' ? 1 : 0;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
  }
  const std::uint8_t second = byte_at(text, 1);
  const bool is_control = first == 0xc2 && second < 0xa0;
  const bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool is_no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return is_control || is_overlong || is_no_character ? 0 : length;
}

std::string escaped(char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<std::uint8_t>(c);
  return {'\\', 'x', kHex[byte >> 4U], kHex[byte & 0xfU]};
}

}  // namespace

std::string printable_name(std::string_view name) {
  std::string shown;
  while (!name.empty() && shown.size() < kMostShown) {
    const std::size_t length = printable_length(name);
    shown += length > 0 ? std::string(name.substr(0, length)) : escaped(name.front());
    name.remove_prefix(length > 0 ? length : 1);
  }
  return name.empty() ? shown : shown + "…";
}

}  // namespace red
