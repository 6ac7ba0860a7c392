#include "common/net/response_head_reader.h"

#include <charconv>
#include <string>

namespace red {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// "HTTP/1.1 404 Not Found" -> 404; 0 if it is no status line.
int parse_status(std::string_view line) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return 0;
  const std::string_view code = line.substr(space + 1, 3);
  int status = 0;
  const auto [end, failure] = std::from_chars(code.data(), code.data() + code.size(), status);
  return failure == std::errc{} && end == code.data() + code.size() ? status : 0;
}

}  // namespace

void ResponseHeadReader::reset() { *this = ResponseHeadReader(); }

bool ResponseHeadReader::add_line(std::string_view line) {
  bytes_ += line.size();
  ++lines_;
  if (bytes_ > kMaxBytes || lines_ > kMaxLines) return false;
  if (line.starts_with("HTTP/")) {
    head_.headers.clear();
    head_.status = parse_status(line);
  } else {
    add_field(line);
  }
  return true;
}

void ResponseHeadReader::add_field(std::string_view line) {
  // A line that begins with a blank continues the one before (obsolete, RFC 9112 section 5.2):
  // nothing that we read is that long.
  const auto colon = line.find(':');
  if (line.starts_with(' ') || line.starts_with('\t')) return;
  if (colon == std::string_view::npos || colon == 0) return;
  head_.headers.add(std::string(trimmed(line.substr(0, colon))),
                    std::string(trimmed(line.substr(colon + 1))));
}

}  // namespace red
