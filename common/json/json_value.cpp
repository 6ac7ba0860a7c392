#include "common/json/json_value.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace red {
namespace {

constexpr double kTwoTo64 = 18446744073709551616.0;

bool is_whole(double number) { return std::isfinite(number) && std::trunc(number) == number; }

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string text_of(const JsonValue::Array& array) {
  std::string text = "[";
  for (const JsonValue& element : array) {
    if (text.size() > 1) text += ',';
    text += element.to_text();
  }
  return text + "]";
}

std::string text_of(const JsonValue::Object& object) {
  std::string text = "{";
  for (const JsonValue::Member& member : object) {
    if (text.size() > 1) text += ',';
    text += quoted(member.name) + ":" + member.value.to_text();
  }
  return text + "}";
}

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(Content content) : content_(std::move(content)) {}
JsonValue::JsonValue(const JsonValue& other) = default;
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue& other) = default;
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept = default;
JsonValue::~JsonValue() = default;

JsonType JsonValue::type() const {
  if (const double* number = std::get_if<double>(&content_)) {
    return is_whole(*number) ? JsonType::Integer : JsonType::Number;
  }
  constexpr JsonType kTypes[] = {JsonType::Null,    JsonType::Boolean, JsonType::Integer,
                                 JsonType::Integer, JsonType::Number,  JsonType::String,
                                 JsonType::Array,   JsonType::Object};
  return kTypes[content_.index()];
}

std::optional<double> JsonValue::number() const {
  if (const auto* value = std::get_if<double>(&content_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&content_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&content_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<std::uint64_t> JsonValue::unsigned_integer() const {
  if (const auto* value = std::get_if<std::uint64_t>(&content_)) return *value;
  if (const auto* value = std::get_if<double>(&content_);
      value && is_whole(*value) && *value >= 0 && *value < kTwoTo64) {
    return static_cast<std::uint64_t>(*value);
  }
  return std::nullopt;
}

const JsonValue* JsonValue::find(std::string_view name) const {
  if (const Object* members = object()) {
    for (const Member& member : *members) {
      if (member.name == name) return &member.value;
    }
  }
  return nullptr;
}

std::string JsonValue::to_text() const {
  if (const Array* elements = array()) return text_of(*elements);
  if (const Object* members = object()) return text_of(*members);
  if (const std::string* text = string()) return quoted(*text);
  if (const bool* value = boolean()) return *value ? "true" : "false";
  if (const auto* value = std::get_if<std::int64_t>(&content_)) return std::to_string(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&content_)) return std::to_string(*value);
  if (const auto* value = std::get_if<double>(&content_)) return nlohmann::json(*value).dump();
  return "null";
}

std::string JsonValue::to_indented_text() const {
  constexpr int kIndent = 2;
  return nlohmann::ordered_json::parse(to_text()).dump(kIndent);
}

JsonValue json_integer(std::int64_t value) {
  return value < 0 ? JsonValue(value) : JsonValue(static_cast<std::uint64_t>(value));
}

JsonValue json_string(std::string_view value) { return JsonValue(std::string(value)); }

std::string_view words_for(JsonType type) {
  switch (type) {
    case JsonType::Null:
      return "null";
    case JsonType::Boolean:
      return "a boolean";
    case JsonType::Integer:
      return "an integer";
    case JsonType::Number:
      return "a number";
    case JsonType::String:
      return "a string";
    case JsonType::Array:
      return "an array";
    case JsonType::Object:
      return "an object";
  }
  return "a value";
}

}  // namespace red
