#include "common/json/problems.h"

#include "common/error.h"

namespace red {
namespace {

/// Control characters become escapes, so that one problem stays one line.
std::string visible(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += "\\u00";
      shown += kHex[byte >> 4];
      shown += kHex[byte & 0xf];
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string escaped(std::string_view key) {
  std::string text;
  for (const char c : key) text += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return text;
}

}  // namespace

std::string JsonPlace::pointer() const {
  if (!parent_) return {};
  return parent_->pointer() + "/" + (is_index_ ? std::to_string(index_) : escaped(key_));
}

std::string JsonPlace::text() const { return parent_ ? visible(pointer()) : "(top level)"; }

void Problems::add(std::string_view where, std::string_view text) {
  ++count_;
  if (lines_.size() < kMaxLines) lines_.push_back(std::string(where) + ": " + visible(text));
}

void Problems::add_document(const JsonPlace& place, std::string_view text) {
  const std::size_t end = text.find('\n');
  add(place, text.substr(0, end));
  if (end == text.npos || count_ > kMaxLines) return;
  std::string& lines = lines_.back();
  for (const char c : text.substr(end)) {
    lines += c;
    if (c == '\n') lines += "  ";
  }
}

void Problems::throw_if_any(std::string_view document) const {
  if (empty()) return;
  std::string message = std::string(document) + " is invalid: " + std::to_string(count_) +
                        (count_ == 1 ? " problem" : " problems");
  for (const std::string& line : lines_) message += "\n" + line;
  if (count_ > lines_.size()) {
    message += "\n… and " + std::to_string(count_ - lines_.size()) + " more";
  }
  throw Error(ErrorKind::InvalidAccess, message);
}

}  // namespace red
