#include "common/protocols/http/markup.h"

#include <charconv>

#include "common/net/url.h"

namespace red {
namespace {

constexpr std::string_view kBlanks = " \t\n\r\f";

bool is_plain(char c) {
  return (c >= ' ' && c < 0x7f) || kBlanks.find(c) != std::string_view::npos;
}

}  // namespace

std::string escape_raw_bytes(std::string_view markup) {
  std::string out;
  out.reserve(markup.size() + markup.size() / 8);
  for (const char& c : markup) {
    if (is_plain(c)) {
      out += c;
    } else {
      out += encode_component({&c, 1});
    }
  }
  return out;
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t size = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, size);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return size;
}

}  // namespace red
