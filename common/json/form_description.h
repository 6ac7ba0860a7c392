#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/json/json_value.h"
#include "common/json/problems.h"

namespace red {

struct FormDescription;
struct KeyedShape;
struct NamedShape;

/// Texts that match `allowed` and do not match `refused`: regular expressions (ECMA-262) that are
/// searched for; empty: any, none.
struct TextPattern {
  std::string_view allowed = {};
  std::string_view refused = {};
};

/// "^(?:[Hh][Oo][Ss][Tt]|[Tt][Ee])$": the names, whatever the case of their ASCII letters. They
/// hold letters, digits and dashes.
std::string pattern_of_any_case(const std::vector<std::string_view>& names);
bool equals_ignoring_case(std::string_view one, std::string_view other);

/// What a value may be, in the terms of JSON Schema. Type, values, bounds and lengths are what
/// check_shape() checks. Patterns (ECMA-262), the bound of 64 bits and elements say for schemas
/// what the reader of the field checks with better words.
struct ValueShape {
  JsonType type = JsonType::String;
  std::vector<std::string_view> values = {};  ///< strings: the only ones that are allowed
  std::size_t min_length = 0;                 ///< strings
  TextPattern pattern = {};                   ///< strings
  std::string_view words = {};            ///< instead of the type's words: "a size like "2 GiB""
  std::optional<double> minimum = {};     ///< numbers
  std::optional<double> above = {};       ///< numbers: an exclusive minimum
  std::optional<double> maximum = {};     ///< numbers
  bool is_within_64_bits = false;         ///< integers of at least 0
  std::size_t min_elements = 0;           ///< arrays
  std::vector<ValueShape> elements = {};  ///< of arrays, and of objects with any keys; empty: any
  std::vector<KeyedShape> keyed_elements = {};  ///< of objects with any keys: the exceptions
  const FormDescription* form = nullptr;        ///< objects with known keys
  TextPattern key_pattern = {};                 ///< objects with keys of the user's choice
  const NamedShape* named = nullptr;            ///< says the rest
};

/// A shape that may hold itself: a schema tells it once and refers to it by its name.
struct NamedShape {
  std::string_view name;
  ValueShape (*shape)();
};

/// What an element may be whose key matches a pattern.
struct KeyedShape {
  std::string key_pattern;
  ValueShape shape;
};

/// One key of a form, for people and for schemas.
struct FieldDescription {
  std::string_view key;
  std::string_view meaning;
  JsonValue default_value = {};         ///< null: none that is a value
  std::string_view default_words = {};  ///< for one that is no value: "the system's store"
  bool required = false;
  std::vector<ValueShape> shapes = {};  ///< alternatives
};

/// That a key is there; with `member`, that its object has a key of that name, whatever the case;
/// with is_true(), that its value is true. A key that has a wrong value is there.
struct KeyCondition {
  // NOLINTNEXTLINE(google-explicit-constructor): rules read like sentences.
  KeyCondition(const char* name) : key(name) {}
  KeyCondition(std::string_view name, std::string_view member_name)
      : key(name), member(member_name) {}

  static KeyCondition is_true(std::string_view name) {
    KeyCondition condition(name, {});
    condition.must_be_true = true;
    return condition;
  }

  bool holds_for(const JsonValue& object) const;

  std::string_view key;
  std::string_view member;
  bool must_be_true = false;
};

/// A combination of keys that is wrong: all of `all_of` and (if there are any) one of `any_of`, but
/// none of `none_of`.
struct Rule {
  std::vector<KeyCondition> all_of;
  std::vector<KeyCondition> any_of;
  std::vector<KeyCondition> none_of;
  std::string_view key;  ///< where it is reported; empty: at the object itself
  std::string text;

  bool is_broken_by(const JsonValue& object) const;
};

/// One of the keys has to be there.
Rule one_of_needed(std::vector<KeyCondition> keys, std::string_view reported_at, std::string text);
/// Where a key is, one of the others has to be.
Rule needs(KeyCondition key, std::vector<KeyCondition> others, std::string_view reported_at,
           std::string text = "missing");
/// A key goes with none of the others.
Rule not_together(KeyCondition key, std::vector<KeyCondition> others, std::string_view reported_at,
                  std::string text);

/// A key that belongs to another form, with what to say to those who write it here.
struct MisplacedKey {
  std::string_view key;
  std::string_view text;
};

/// All that there is to say about an object: what its table checks, and what its schema prints.
struct FormDescription {
  std::vector<FieldDescription> fields;
  std::vector<Rule> rules;
  std::vector<MisplacedKey> misplaced_keys;
};

/// Whether the value has one of the shapes; else reports what it must be.
bool check_shape(const std::vector<ValueShape>& shapes, const JsonValue& value,
                 const JsonPlace& place, Problems& problems);

/// Reports a key that no field has: why it does not belong here, or the nearest one that there is.
void report_unknown_key(const JsonPlace& place, std::string_view key, const FormDescription& form,
                        Problems& problems);

/// Reports what the keys of an object say together: those that are missing, and broken rules.
void check_combination(const FormDescription& form, const JsonValue& object, const JsonPlace& place,
                       Problems& problems);

}  // namespace red
