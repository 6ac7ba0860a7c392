#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/byte_source.h"

namespace red {

/// Recognises JSON texts (RFC 8259, the grammar of section 2, in strict UTF-8) that come piece by
/// piece, in constant memory. A parser would keep whole strings in memory and refuse numbers that
/// it cannot represent, which the grammar allows. A byte order mark is refused (section 8.1), and
/// more than kMaxNesting arrays and objects in one another are.
class JsonCheck {
 public:
  static constexpr std::size_t kMaxNesting = 1'000'000;

  /// The next bytes. Throws Error{Integrity} that tells line, column (in bytes) and what was
  /// expected, and shows nothing of the text.
  void update(std::span<const std::byte> bytes);
  /// The text is at its end; the same errors.
  void finish();

 private:
  using Byte = unsigned char;

  enum class Expected {
    Value,
    ValueOrEnd,  ///< after [
    NameOrEnd,   ///< after {
    Name,
    Colon,
    CommaOrEnd,
    Nothing,  ///< after the text's one value
    // inside of a literal, string or number
    Letter,
    StringByte,
    Escape,
    HexDigit,
    Continuation,  ///< of a UTF-8 sequence
    FirstDigit,    ///< after -
    AfterZero,
    AfterDigit,
    FirstFractionDigit,
    AfterFractionDigit,
    ExponentSignOrDigit,
    FirstExponentDigit,
    AfterExponentDigit,
  };

  const Byte* skip_plain(const Byte* at, const Byte* end);
  void take(Byte byte);
  void take_structure(Byte byte);
  void take_in_string(Byte byte);
  void take_in_number(Byte byte);
  bool goes_on_as_number(Byte byte);
  void begin_value(Byte byte);
  void begin_literal(const char* rest);
  void begin_sequence(Byte byte);
  void begin_string(bool is_name);
  void open(bool is_object);
  void close(Byte byte);
  void end_value();
  [[noreturn]] void fail(const char* why) const;

  Expected expected_ = Expected::Value;
  std::vector<bool> in_object_;  ///< for each that is open: an object, or an array
  bool is_name_ = false;         ///< the string is one
  const char* literal_ = "";     ///< what of it is to come
  int left_ = 0;                 ///< hexadecimal digits or continuation bytes
  Byte lowest_ = 0x80;           ///< of the next continuation byte
  Byte highest_ = 0xbf;

  std::uint64_t offset_ = 0;      ///< of the next byte
  std::uint64_t line_ = 1;        ///< the one that it is in
  std::uint64_t line_began_ = 0;  ///< at that offset
};

/// Throws Error{Integrity} if the content is no JSON text.
void check_json(ByteSource& content);

}  // namespace red
