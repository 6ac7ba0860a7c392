#include "common/protocols/http/markup.h"

#include <algorithm>
#include <charconv>

#include "common/net/url.h"

namespace red {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
bool is_plain(char c) { return (c >= ' ' && c < 0x7f) || is_blank(c); }

}  // namespace

std::string escape_raw_bytes(std::string_view markup) {
  std::string out;
  out.reserve(markup.size() + markup.size() / 8);
  while (!markup.empty()) {
    const auto plain_end = std::find_if_not(markup.begin(), markup.end(), is_plain);
    out.append(markup.begin(), plain_end);
    if (plain_end == markup.end()) break;
    out += encode_component({plain_end, 1});
    markup.remove_prefix(static_cast<std::size_t>(plain_end - markup.begin()) + 1);
  }
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t size = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, size);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return size;
}

}  // namespace red
