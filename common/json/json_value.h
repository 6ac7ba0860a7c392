#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace red {

enum class JsonType { Null, Boolean, Integer, Number, String, Array, Object };

/// One JSON value (RFC 8259). Objects keep the order of their members.
class JsonValue {
 public:
  struct Member;
  using Array = std::vector<JsonValue>;
  using Object = std::vector<Member>;
  /// Integers that fit are kept exactly: not negative as unsigned, negative as signed.
  using Content = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double,
                               std::string, Array, Object>;

  // Defined where Member is complete.
  JsonValue();
  explicit JsonValue(Content content);
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(const JsonValue& other);
  JsonValue& operator=(JsonValue&& other) noexcept;
  ~JsonValue();

  /// A number without a fraction is an Integer, however it is written (32.0 is 32).
  JsonType type() const;
  const bool* boolean() const { return std::get_if<bool>(&content_); }
  const std::string* string() const { return std::get_if<std::string>(&content_); }
  const Array* array() const { return std::get_if<Array>(&content_); }
  const Object* object() const { return std::get_if<Object>(&content_); }
  Array* array() { return std::get_if<Array>(&content_); }
  Object* object() { return std::get_if<Object>(&content_); }
  std::optional<double> number() const;
  /// Nothing for a number that is negative, has a fraction or exceeds 64 bits.
  std::optional<std::uint64_t> unsigned_integer() const;

  /// The member of that name; null if there is none or this is no object.
  const JsonValue* find(std::string_view name) const;

  /// As compact JSON text.
  std::string to_text() const;
  /// As JSON text for people: a line for each member, indented.
  std::string to_indented_text() const;

 private:
  Content content_;
};

struct JsonValue::Member {
  std::string name;
  JsonValue value;
};

JsonValue json_integer(std::int64_t value);
JsonValue json_string(std::string_view value);

/// "a string", "an object", … for messages.
std::string_view words_for(JsonType type);

}  // namespace red
