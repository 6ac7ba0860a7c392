#include "common/json/json_schema.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace red {
namespace {

using Object = JsonValue::Object;
using Array = JsonValue::Array;

JsonValue object(Object members) { return JsonValue(std::move(members)); }
JsonValue array(Array elements) { return JsonValue(std::move(elements)); }

/// 65535, not 65535.0
JsonValue number(double value) {
  constexpr double kExact = 0x1p53;
  if (std::trunc(value) != value || std::abs(value) > kExact) return JsonValue(value);
  return json_integer(static_cast<std::int64_t>(value));
}

void add(Object& schema, std::string name, JsonValue value) {
  schema.push_back({std::move(name), std::move(value)});
}
void append(Object& schema, Object more) {
  for (JsonValue::Member& member : more) schema.push_back(std::move(member));
}

std::string_view name_of(JsonType type) {
  switch (type) {
    case JsonType::Null:
      return "null";
    case JsonType::Boolean:
      return "boolean";
    case JsonType::Integer:
      return "integer";
    case JsonType::Number:
      return "number";
    case JsonType::String:
      return "string";
    case JsonType::Array:
      return "array";
    case JsonType::Object:
      return "object";
  }
  return "null";
}

// --- What keys say together ----------------------------------------------------------------------

JsonValue schema_not(JsonValue schema) { return object({{"not", std::move(schema)}}); }

JsonValue schema_required(const KeyCondition& condition) {
  Object schema{{"required", array({json_string(condition.key)})}};
  if (condition.must_be_true) {
    const JsonValue is_true = object({{"const", JsonValue(true)}});
    add(schema, "properties", object({{std::string(condition.key), is_true}}));
  }
  if (condition.member.empty()) return object(std::move(schema));
  const JsonValue pattern =
      object({{"pattern", json_string(pattern_of_any_case({condition.member}))}});
  // That one of the names matches: not all of them fail to.
  const JsonValue has_member = schema_not(object({{"propertyNames", schema_not(pattern)}}));
  add(schema, "properties", object({{std::string(condition.key), has_member}}));
  return object(std::move(schema));
}

bool are_plain(const std::vector<KeyCondition>& conditions) {
  for (const KeyCondition& condition : conditions) {
    if (!condition.member.empty() || condition.must_be_true) return false;
  }
  return true;
}

JsonValue schema_all_of(const std::vector<KeyCondition>& conditions) {
  if (conditions.size() == 1) return schema_required(conditions.front());
  Array all;
  for (const KeyCondition& each : conditions) {
    all.push_back(are_plain(conditions) ? json_string(each.key) : schema_required(each));
  }
  return object({{are_plain(conditions) ? "required" : "allOf", array(std::move(all))}});
}

JsonValue schema_any_of(const std::vector<KeyCondition>& conditions) {
  if (conditions.size() == 1) return schema_required(conditions.front());
  Array any;
  for (const KeyCondition& each : conditions) any.push_back(schema_required(each));
  return object({{"anyOf", array(std::move(any))}});
}

/// When the rule speaks at all.
JsonValue schema_of_case(const Rule& rule) {
  if (rule.any_of.empty()) return schema_all_of(rule.all_of);
  if (rule.any_of.size() > 1) {
    return object({{"allOf", array({schema_all_of(rule.all_of), schema_any_of(rule.any_of)})}});
  }
  std::vector<KeyCondition> all = rule.all_of;
  all.push_back(rule.any_of.front());
  return schema_all_of(all);
}

JsonValue schema_of(const Rule& rule) {
  std::string words = rule.key.empty() ? rule.text : std::string(rule.key) + ": " + rule.text;
  Object schema{{"description", JsonValue(std::move(words))}};
  if (rule.none_of.empty()) {
    add(schema, "not", schema_of_case(rule));
  } else if (rule.all_of.empty()) {
    append(schema, *schema_any_of(rule.none_of).object());
  } else {
    add(schema, "if", schema_of_case(rule));
    add(schema, "then", schema_any_of(rule.none_of));
  }
  return object(std::move(schema));
}

// --- Values --------------------------------------------------------------------------------------

Object schema_of(const FormDescription& form);
Object schema_of(const ValueShape& shape);
JsonValue schema_of_one_of(const std::vector<ValueShape>& shapes);

Object schema_of(const TextPattern& pattern) {
  Object schema;
  if (!pattern.allowed.empty()) add(schema, "pattern", json_string(pattern.allowed));
  if (!pattern.refused.empty()) {
    add(schema, "not", object({{"pattern", json_string(pattern.refused)}}));
  }
  return schema;
}

void add_text_bounds(const ValueShape& shape, Object& schema) {
  if (!shape.values.empty()) {
    Array values;
    for (const std::string_view value : shape.values) values.push_back(json_string(value));
    add(schema, "enum", array(std::move(values)));
  }
  if (shape.min_length > 0)
    add(schema, "minLength", json_integer(static_cast<std::int64_t>(shape.min_length)));
  append(schema, schema_of(shape.pattern));
}

void add_number_bounds(const ValueShape& shape, Object& schema) {
  if (shape.minimum) add(schema, "minimum", number(*shape.minimum));
  if (shape.above) add(schema, "exclusiveMinimum", number(*shape.above));
  if (shape.maximum) add(schema, "maximum", number(*shape.maximum));
  if (shape.is_within_64_bits) {
    add(schema, "maximum", JsonValue(std::numeric_limits<std::uint64_t>::max()));
  }
}

void add_elements(const ValueShape& shape, Object& schema) {
  if (shape.min_elements > 0)
    add(schema, "minItems", json_integer(static_cast<std::int64_t>(shape.min_elements)));
  if (!shape.elements.empty()) add(schema, "items", schema_of_one_of(shape.elements));
}

void add_keys_of_choice(const ValueShape& shape, Object& schema) {
  Object names = schema_of(shape.key_pattern);
  if (!names.empty()) add(schema, "propertyNames", object(std::move(names)));
  Object exceptions;
  for (const KeyedShape& each : shape.keyed_elements) {
    add(exceptions, each.key_pattern, object(schema_of(each.shape)));
  }
  if (!exceptions.empty()) add(schema, "patternProperties", object(std::move(exceptions)));
  if (!shape.elements.empty()) {
    add(schema, "additionalProperties", schema_of_one_of(shape.elements));
  }
}

Object schema_of(const ValueShape& shape) {
  if (shape.named) {
    return {{"$ref", JsonValue("#/definitions/" + std::string(shape.named->name))}};
  }
  if (shape.form) return schema_of(*shape.form);
  Object schema{{"type", json_string(name_of(shape.type))}};
  switch (shape.type) {
    case JsonType::String:
      add_text_bounds(shape, schema);
      break;
    case JsonType::Integer:
    case JsonType::Number:
      add_number_bounds(shape, schema);
      break;
    case JsonType::Array:
      add_elements(shape, schema);
      break;
    case JsonType::Object:
      add_keys_of_choice(shape, schema);
      break;
    case JsonType::Null:
    case JsonType::Boolean:
      break;
  }
  return schema;
}

JsonValue schema_of_one_of(const std::vector<ValueShape>& shapes) {
  if (shapes.size() == 1) return object(schema_of(shapes.front()));
  Array alternatives;
  for (const ValueShape& shape : shapes) {
    Object alternative = schema_of(shape);
    if (!shape.words.empty()) add(alternative, "description", json_string(shape.words));
    alternatives.push_back(object(std::move(alternative)));
  }
  return object({{"anyOf", array(std::move(alternatives))}});
}

// --- Forms ---------------------------------------------------------------------------------------

JsonValue schema_of(const FieldDescription& field) {
  std::string words(field.meaning);
  if (!field.default_words.empty()) words += "; default: " + std::string(field.default_words);
  Object schema{{"description", JsonValue(std::move(words))}};
  if (field.default_value.type() != JsonType::Null) add(schema, "default", field.default_value);
  JsonValue shapes = schema_of_one_of(field.shapes);
  if (shapes.find("$ref")) {
    // What stands beside a $ref is ignored (draft-07, section 8.3).
    add(schema, "allOf", array({std::move(shapes)}));
  } else {
    append(schema, std::move(*shapes.object()));
  }
  return object(std::move(schema));
}

Object schema_of(const FormDescription& form) {
  Object properties;
  Array required;
  for (const FieldDescription& field : form.fields) {
    add(properties, std::string(field.key), schema_of(field));
    if (field.required) required.push_back(json_string(field.key));
  }
  Object schema{{"type", json_string("object")}, {"properties", object(std::move(properties))}};
  if (!required.empty()) add(schema, "required", array(std::move(required)));
  add(schema, "additionalProperties", JsonValue(false));
  Array rules;
  for (const Rule& rule : form.rules) rules.push_back(schema_of(rule));
  if (!rules.empty()) add(schema, "allOf", array(std::move(rules)));
  return schema;
}

// --- Definitions ---------------------------------------------------------------------------------

using NamedShapes = std::vector<const NamedShape*>;

void collect_named(const FormDescription& form, NamedShapes& found);

void collect_named(const ValueShape& shape, NamedShapes& found) {
  if (shape.named && std::find(found.begin(), found.end(), shape.named) == found.end()) {
    found.push_back(shape.named);
    collect_named(shape.named->shape(), found);
  }
  if (shape.form) collect_named(*shape.form, found);
  for (const ValueShape& each : shape.elements) collect_named(each, found);
  for (const KeyedShape& each : shape.keyed_elements) collect_named(each.shape, found);
}

void collect_named(const FormDescription& form, NamedShapes& found) {
  for (const FieldDescription& field : form.fields) {
    for (const ValueShape& shape : field.shapes) collect_named(shape, found);
  }
}

void add_definitions(const std::vector<NamedForm>& forms, Object& schema) {
  NamedShapes found;
  for (const NamedForm& each : forms) collect_named(each.form, found);
  Object definitions;
  for (const NamedShape* each : found) {
    add(definitions, std::string(each->name), object(schema_of(each->shape())));
  }
  if (!definitions.empty()) add(schema, "definitions", object(std::move(definitions)));
}

}  // namespace

JsonValue json_schema(const std::string& title, const std::vector<NamedForm>& forms) {
  Object schema{{"$schema", json_string("http://json-schema.org/draft-07/schema#")},
                {"title", json_string(title)}};
  add_definitions(forms, schema);
  if (forms.size() == 1) {
    append(schema, schema_of(forms.front().form));
    return object(std::move(schema));
  }
  Array alternatives;
  for (const NamedForm& each : forms) {
    Object alternative{{"title", json_string(each.title)}};
    append(alternative, schema_of(each.form));
    alternatives.push_back(object(std::move(alternative)));
  }
  add(schema, "oneOf", array(std::move(alternatives)));
  return object(std::move(schema));
}

}  // namespace red
