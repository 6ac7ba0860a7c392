#include "common/json/form_description.h"

#include <algorithm>

#include "common/json/nearest_name.h"

namespace red {
namespace {

char lower_case(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char upper_case(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

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

std::string pattern_of_any_case(const std::vector<std::string_view>& names) {
  std::string pattern;
  for (const std::string_view name : names) {
    pattern += pattern.empty() ? "^(?:" : "|";
    for (const char c : name) {
      const bool is_letter = lower_case(c) != upper_case(c);
      pattern +=
          is_letter ? std::string{'[', upper_case(c), lower_case(c), ']'} : std::string(1, c);
    }
  }
  return pattern + ")$";
}

bool equals_ignoring_case(std::string_view one, std::string_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](char a, char b) { return lower_case(a) == lower_case(b); });
}

bool KeyCondition::holds_for(const JsonValue& object) const {
  const JsonValue* value = object.find(key);
  if (must_be_true) return value && value->boolean() && *value->boolean();
  if (!value || member.empty()) return value != nullptr;
  const JsonValue::Object* members = value->object();
  return members && std::any_of(members->begin(), members->end(), [this](const auto& each) {
           return equals_ignoring_case(each.name, member);
         });
}

bool Rule::is_broken_by(const JsonValue& object) const {
  const auto holds = [&object](const KeyCondition& each) { return each.holds_for(object); };
  return std::all_of(all_of.begin(), all_of.end(), holds) &&
         (any_of.empty() || std::any_of(any_of.begin(), any_of.end(), holds)) &&
         std::none_of(none_of.begin(), none_of.end(), holds);
}

Rule one_of_needed(std::vector<KeyCondition> keys, std::string_view reported_at, std::string text) {
  return {{}, {}, std::move(keys), reported_at, std::move(text)};
}

Rule needs(KeyCondition key, std::vector<KeyCondition> others, std::string_view reported_at,
           std::string text) {
  return {{key}, {}, std::move(others), reported_at, std::move(text)};
}

Rule not_together(KeyCondition key, std::vector<KeyCondition> others, std::string_view reported_at,
                  std::string text) {
  return {{key}, std::move(others), {}, reported_at, std::move(text)};
}

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

void report_unknown_key(const JsonPlace& place, std::string_view key, const FormDescription& form,
                        Problems& problems) {
  for (const MisplacedKey& misplaced : form.misplaced_keys) {
    if (misplaced.key == key) return problems.add(place, misplaced.text);
  }
  std::vector<std::string_view> keys;
  for (const FieldDescription& field : form.fields) keys.push_back(field.key);
  const std::string_view nearest = nearest_name(key, keys);
  if (!nearest.empty()) {
    return problems.add(place, "unknown key; did you mean \"" + std::string(nearest) + "\"?");
  }
  std::string all;
  for (const std::string_view each : keys) all += (all.empty() ? "" : ", ") + std::string(each);
  problems.add(place, "unknown key; the keys here are: " + all);
}

void check_combination(const FormDescription& form, const JsonValue& object, const JsonPlace& place,
                       Problems& problems) {
  for (const FieldDescription& field : form.fields) {
    if (field.required && !object.find(field.key)) {
      problems.add(JsonPlace(place, field.key), "missing");
    }
  }
  for (const Rule& rule : form.rules) {
    if (!rule.is_broken_by(object)) continue;
    problems.add(rule.key.empty() ? place : JsonPlace(place, rule.key), rule.text);
  }
}

}  // namespace red
