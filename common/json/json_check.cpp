#include "common/json/json_check.h"

#include <array>
#include <string>

#include "common/error.h"

namespace red {
namespace {

constexpr std::size_t kPiece = 1 << 18;

bool is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }

bool is_hex_digit(unsigned char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

bool is_space(unsigned char byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/// Bytes of a string that mean themselves and end nothing.
constexpr std::array<bool, 256> plain_bytes() {
  std::array<bool, 256> is_plain{};
  for (std::size_t byte = 0x20; byte < 0x80; ++byte) is_plain[byte] = byte != '"' && byte != '\\';
  return is_plain;
}
constexpr std::array<bool, 256> kIsPlain = plain_bytes();

}  // namespace

void JsonCheck::update(std::span<const std::byte> bytes) {
  const auto* at = reinterpret_cast<const Byte*>(bytes.data());
  const Byte* const end = at + bytes.size();
  while (at != end) {
    if (expected_ == Expected::StringByte) {
      at = skip_plain(at, end);
      if (at == end) return;
    }
    take(*at);
    ++offset_;
    if (*at == '\n') {
      ++line_;
      line_began_ = offset_;
    }
    ++at;
  }
}

/// Most bytes of most texts: worth a loop of their own.
const JsonCheck::Byte* JsonCheck::skip_plain(const Byte* at, const Byte* end) {
  const Byte* const begin = at;
  while (at != end && kIsPlain[*at]) ++at;
  offset_ += static_cast<std::uint64_t>(at - begin);
  return at;
}

void JsonCheck::finish() {
  switch (expected_) {
    case Expected::AfterZero:
    case Expected::AfterDigit:
    case Expected::AfterFractionDigit:
    case Expected::AfterExponentDigit:
      end_value();
      break;
    default:
      break;
  }
  if (offset_ == 0) fail("it is empty");
  if (expected_ != Expected::Nothing) fail("it ends too early");
}

void JsonCheck::take(Byte byte) {
  if (expected_ <= Expected::Nothing) {
    if (!is_space(byte)) take_structure(byte);
  } else if (expected_ == Expected::Letter) {
    if (byte != static_cast<Byte>(*literal_)) fail("expected are true, false and null");
    if (*++literal_ == '\0') end_value();
  } else if (expected_ <= Expected::Continuation) {
    take_in_string(byte);
  } else {
    take_in_number(byte);
  }
}

void JsonCheck::take_structure(Byte byte) {
  switch (expected_) {
    case Expected::ValueOrEnd:
      if (byte == ']') return close(byte);
      [[fallthrough]];
    case Expected::Value:
      return begin_value(byte);
    case Expected::NameOrEnd:
      if (byte == '}') return close(byte);
      [[fallthrough]];
    case Expected::Name:
      if (byte != '"') fail("expected is a name in quotation marks");
      return begin_string(true);
    case Expected::Colon:
      if (byte != ':') fail("expected is a colon");
      expected_ = Expected::Value;
      return;
    case Expected::CommaOrEnd:
      if (byte != ',') return close(byte);
      expected_ = in_object_.back() ? Expected::Name : Expected::Value;
      return;
    default:
      fail("expected is nothing more");
  }
}

void JsonCheck::begin_value(Byte byte) {
  switch (byte) {
    case '{':
      return open(true);
    case '[':
      return open(false);
    case '"':
      return begin_string(false);
    case 't':
      return begin_literal("rue");
    case 'f':
      return begin_literal("alse");
    case 'n':
      return begin_literal("ull");
    case '-':
      expected_ = Expected::FirstDigit;
      return;
    case '0':
      expected_ = Expected::AfterZero;
      return;
    case 0xef:
      if (offset_ == 0) fail("a byte order mark, which JSON must not have (RFC 8259 section 8.1)");
      [[fallthrough]];
    default:
      if (!is_digit(byte)) fail("expected is a value");
      expected_ = Expected::AfterDigit;
  }
}

void JsonCheck::begin_literal(const char* rest) {
  literal_ = rest;
  expected_ = Expected::Letter;
}

void JsonCheck::begin_string(bool is_name) {
  is_name_ = is_name;
  expected_ = Expected::StringByte;
}

void JsonCheck::open(bool is_object) {
  if (in_object_.size() == kMaxNesting) fail("too many arrays and objects in one another");
  in_object_.push_back(is_object);
  expected_ = is_object ? Expected::NameOrEnd : Expected::ValueOrEnd;
}

void JsonCheck::close(Byte byte) {
  if (in_object_.back() && byte != '}') fail("expected is a comma or the end of the object");
  if (!in_object_.back() && byte != ']') fail("expected is a comma or the end of the array");
  in_object_.pop_back();
  end_value();
}

void JsonCheck::end_value() {
  expected_ = in_object_.empty() ? Expected::Nothing : Expected::CommaOrEnd;
}

void JsonCheck::take_in_string(Byte byte) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  switch (expected_) {
    case Expected::Escape:
      left_ = 4;
      if (byte == 'u') {
        expected_ = Expected::HexDigit;
      } else if (kEscapes.find(static_cast<char>(byte)) != std::string_view::npos) {
        expected_ = Expected::StringByte;
      } else {
        fail("no such escape");
      }
      return;
    case Expected::HexDigit:
      if (!is_hex_digit(byte)) fail("expected are four hexadecimal digits");
      if (--left_ == 0) expected_ = Expected::StringByte;
      return;
    case Expected::Continuation:
      if (byte < lowest_ || byte > highest_) fail("not UTF-8");
      lowest_ = 0x80;
      highest_ = 0xbf;
      if (--left_ == 0) expected_ = Expected::StringByte;
      return;
    default:
      break;
  }
  if (byte == '"') {
    if (!is_name_) return end_value();
    expected_ = Expected::Colon;
  } else if (byte == '\\') {
    expected_ = Expected::Escape;
  } else if (byte < 0x20) {
    fail("a control character in a string");
  } else {
    begin_sequence(byte);
  }
}

/// The well-formed sequences of RFC 3629 section 4: no overlong forms, no surrogates, nothing
/// above U+10FFFF.
void JsonCheck::begin_sequence(Byte byte) {
  if (byte < 0xc2 || byte > 0xf4) fail("not UTF-8");
  left_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  if (byte == 0xe0) lowest_ = 0xa0;
  if (byte == 0xed) highest_ = 0x9f;
  if (byte == 0xf0) lowest_ = 0x90;
  if (byte == 0xf4) highest_ = 0x8f;
  expected_ = Expected::Continuation;
}

void JsonCheck::take_in_number(Byte byte) {
  if (goes_on_as_number(byte)) return;
  // What ends the number is the next thing already.
  end_value();
  take(byte);
}

bool JsonCheck::goes_on_as_number(Byte byte) {
  const auto go_on = [this](Expected next) {
    expected_ = next;
    return true;
  };
  const bool is_exponent = byte == 'e' || byte == 'E';
  switch (expected_) {
    case Expected::FirstDigit:
      if (!is_digit(byte)) fail("expected is a digit");
      return go_on(byte == '0' ? Expected::AfterZero : Expected::AfterDigit);
    case Expected::AfterDigit:
      if (is_digit(byte)) return true;
      [[fallthrough]];
    case Expected::AfterZero:
      if (byte == '.') return go_on(Expected::FirstFractionDigit);
      return is_exponent && go_on(Expected::ExponentSignOrDigit);
    case Expected::AfterFractionDigit:
      if (is_exponent) return go_on(Expected::ExponentSignOrDigit);
      return is_digit(byte);
    case Expected::FirstFractionDigit:
      if (!is_digit(byte)) fail("expected is a digit");
      return go_on(Expected::AfterFractionDigit);
    case Expected::ExponentSignOrDigit:
      if (byte == '+' || byte == '-') return go_on(Expected::FirstExponentDigit);
      [[fallthrough]];
    case Expected::FirstExponentDigit:
      if (!is_digit(byte)) fail("expected is a digit");
      return go_on(Expected::AfterExponentDigit);
    default:
      return is_digit(byte);
  }
}

void JsonCheck::fail(const char* why) const {
  throw Error(ErrorKind::Integrity, "it is not valid JSON: line " + std::to_string(line_) +
                                        ", column " + std::to_string(offset_ - line_began_ + 1) +
                                        ": " + why);
}

void check_json(ByteSource& content) {
  JsonCheck check;
  std::vector<std::byte> buffer(kPiece);
  for (std::uint64_t offset = 0;;) {
    const std::size_t count = content.read_at(offset, buffer);
    if (count == 0) return check.finish();
    check.update(std::span(buffer).first(count));
    offset += count;
  }
}

}  // namespace red
