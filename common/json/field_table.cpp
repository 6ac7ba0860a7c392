#include "common/json/field_table.h"

#include <algorithm>

#include "common/json/nearest_name.h"

namespace red {
namespace {

bool is_number(JsonType type) { return type == JsonType::Integer || type == JsonType::Number; }

bool within_bounds(const ValueShape& shape, double number) {
  return !(shape.minimum && number < *shape.minimum) && !(shape.above && number <= *shape.above) &&
         !(shape.maximum && number > *shape.maximum);
}

bool is_allowed_text(const ValueShape& shape, const std::string& text) {
  if (text.size() < shape.min_length) return false;
  return shape.values.empty() ||
         std::find(shape.values.begin(), shape.values.end(), text) != shape.values.end();
}

bool has_type(const ValueShape& shape, JsonType type) {
  return type == shape.type || (type == JsonType::Integer && shape.type == JsonType::Number);
}

bool has_shape(const ValueShape& shape, const JsonValue& value) {
  const JsonType type = value.type();
  if (!has_type(shape, type)) return false;
  if (is_number(type)) return within_bounds(shape, *value.number());
  return type != JsonType::String || is_allowed_text(shape, *value.string());
}

std::string plain(double number) {
  std::string text = std::to_string(number);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

/// "a, b or c"
std::string alternatives(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

std::string words_for(const ValueShape& shape) {
  if (!shape.words.empty()) return std::string(shape.words);
  if (!shape.values.empty()) {
    return alternatives(std::vector<std::string>(shape.values.begin(), shape.values.end()));
  }
  std::string words(red::words_for(shape.type));
  if (shape.min_length > 0) words += " that is not empty";
  if (shape.minimum) words += " of at least " + plain(*shape.minimum);
  if (shape.above) words += " above " + plain(*shape.above);
  if (shape.maximum) words += shape.minimum || shape.above ? " and at most " : " of at most ";
  if (shape.maximum) words += plain(*shape.maximum);
  return words;
}

}  // namespace

bool check_shape(const std::vector<ValueShape>& shapes, const JsonValue& value,
                 const JsonPlace& place, Problems& problems) {
  std::vector<std::string> words;
  bool type_is_right = false;
  for (const ValueShape& shape : shapes) {
    if (has_shape(shape, value)) return true;
    type_is_right = type_is_right || has_type(shape, value.type());
    words.push_back(words_for(shape));
  }
  std::string text = "must be " + alternatives(words);
  if (!type_is_right) text += ", not " + std::string(words_for(value.type()));
  problems.add(place, text);
  return false;
}

void report_unknown_key(const JsonPlace& place, std::string_view key,
                        const std::vector<FieldDescription>& known, Problems& problems) {
  std::vector<std::string_view> keys;
  for (const FieldDescription& field : known) keys.push_back(field.key);
  const std::string_view nearest = nearest_name(key, keys);
  if (!nearest.empty()) {
    return problems.add(place, "unknown key; did you mean \"" + std::string(nearest) + "\"?");
  }
  std::string all;
  for (const std::string_view each : keys) all += (all.empty() ? "" : ", ") + std::string(each);
  problems.add(place, "unknown key; the keys here are: " + all);
}

}  // namespace red
