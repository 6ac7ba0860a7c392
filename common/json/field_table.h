#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/json/json_value.h"
#include "common/json/problems.h"

namespace red {

struct FieldDescription;

/// What a value may be, in the terms of JSON Schema. This is what is checked, and what messages and
/// documents say.
struct ValueShape {
  JsonType type = JsonType::String;
  std::vector<std::string_view> values = {};  ///< strings: the only ones that are allowed
  std::size_t min_length = 0;                 ///< strings
  std::string_view words = {};         ///< instead of the type's words: "a size like "2 GiB""
  std::optional<double> minimum = {};  ///< numbers
  std::optional<double> above = {};    ///< numbers: an exclusive minimum
  std::optional<double> maximum = {};  ///< numbers
  const std::vector<FieldDescription>* members = nullptr;  ///< objects with known keys
  bool any_keys = false;  ///< objects with keys of the user's choice
};

/// One key of a form, for people and for schemas.
struct FieldDescription {
  std::string_view key;
  std::string_view meaning;
  std::string_view default_text = {};  ///< empty: none
  bool required = false;
  std::vector<ValueShape> shapes = {};  ///< alternatives
};

/// Whether the value has one of the shapes; else reports what it must be.
bool check_shape(const std::vector<ValueShape>& shapes, const JsonValue& value,
                 const JsonPlace& place, Problems& problems);

/// Reports a key that no field has, with the nearest one that there is.
void report_unknown_key(const JsonPlace& place, std::string_view key,
                        const std::vector<FieldDescription>& known, Problems& problems);

/// How a value gets into a Target: called with values of one of the shapes only; may report what a
/// shape cannot say.
template <typename Target>
struct Binding {
  std::vector<ValueShape> shapes;
  std::function<void(const JsonValue&, const JsonPlace&, Target&, Problems&)> read;
};

/// The one description of a form: reads it, reports everything that is wrong with it, and tells
/// what its keys mean. Immutable once built.
template <typename Target>
class FieldTable {
 public:
  /// Adds a key; the description's shapes come from the binding.
  FieldTable& add(FieldDescription description, Binding<Target> binding) {
    description.shapes = std::move(binding.shapes);
    descriptions_.push_back(std::move(description));
    readers_.push_back(std::move(binding.read));
    return *this;
  }

  /// Takes over the keys of another table that fills a part of the target.
  template <typename Part>
  FieldTable& include(const FieldTable<Part>& table, Part Target::*part) {
    for (std::size_t i = 0; i < table.descriptions_.size(); ++i) {
      descriptions_.push_back(table.descriptions_[i]);
      readers_.push_back([read = table.readers_[i], part](
                             const JsonValue& value, const JsonPlace& place, Target& target,
                             Problems& problems) { read(value, place, target.*part, problems); });
    }
    return *this;
  }

  const std::vector<FieldDescription>& descriptions() const { return descriptions_; }

  /// Fills what the object gives; everything that is wrong is added to `problems`.
  void read(const JsonValue& value, const JsonPlace& place, Target& target,
            Problems& problems) const {
    if (!check_shape({{.type = JsonType::Object}}, value, place, problems)) return;
    for (const JsonValue::Member& member : *value.object()) {
      read_member(member, place, target, problems);
    }
    for (const FieldDescription& field : descriptions_) {
      if (field.required && !value.find(field.key)) {
        problems.add(JsonPlace(place, field.key), "missing");
      }
    }
  }

 private:
  template <typename Other>
  friend class FieldTable;

  void read_member(const JsonValue::Member& member, const JsonPlace& place, Target& target,
                   Problems& problems) const {
    const JsonPlace here(place, member.name);
    for (std::size_t i = 0; i < descriptions_.size(); ++i) {
      if (descriptions_[i].key != member.name) continue;
      if (check_shape(descriptions_[i].shapes, member.value, here, problems)) {
        readers_[i](member.value, here, target, problems);
      }
      return;
    }
    report_unknown_key(here, member.name, descriptions_, problems);
  }

  std::vector<FieldDescription> descriptions_;
  std::vector<decltype(Binding<Target>::read)> readers_;
};

/// A string, not empty.
template <typename Target>
Binding<Target> text(std::optional<std::string> Target::*member) {
  return {{{.type = JsonType::String, .min_length = 1}},
          [member](const JsonValue& value, const JsonPlace&, Target& target, Problems&) {
            target.*member = *value.string();
          }};
}

/// A string that may be empty, but must not hold NUL: C strings carry it from here on.
template <typename Target>
Binding<Target> secret(std::optional<std::string> Target::*member) {
  return {
      {{.type = JsonType::String}},
      [member](const JsonValue& value, const JsonPlace& place, Target& target, Problems& problems) {
        target.*member = *value.string();
        if (value.string()->find('\0') != std::string::npos) {
          problems.add(place, "must not hold NUL");
        }
      }};
}

/// A string, not empty, that `parse` turns into what is meant, or throws Error with the reason (and
/// without the text).
template <typename Target, typename Value, typename Parse>
Binding<Target> parsed_text(std::optional<Value> Target::*member, Parse parse) {
  return {{{.type = JsonType::String, .min_length = 1}},
          [member, parse](const JsonValue& value, const JsonPlace& place, Target& target,
                          Problems& problems) {
            try {
              target.*member = parse(*value.string());
            } catch (const Error& error) {
              problems.add(place, error.message());
            }
          }};
}

/// One of a few words.
template <typename Target>
Binding<Target> choice(std::optional<std::string> Target::*member,
                       std::vector<std::string_view> values) {
  return {{{.type = JsonType::String, .values = std::move(values)}},
          [member](const JsonValue& value, const JsonPlace&, Target& target, Problems&) {
            target.*member = *value.string();
          }};
}

template <typename Target>
Binding<Target> boolean(std::optional<bool> Target::*member) {
  return {{{.type = JsonType::Boolean}},
          [member](const JsonValue& value, const JsonPlace&, Target& target, Problems&) {
            target.*member = *value.boolean();
          }};
}

/// One that is larger than an int becomes the largest, where that is allowed.
template <typename Target>
Binding<Target> integer(std::optional<int> Target::*member, int minimum,
                        std::optional<double> maximum = {}) {
  return {{{.type = JsonType::Integer, .minimum = minimum, .maximum = maximum}},
          [member](const JsonValue& value, const JsonPlace&, Target& target, Problems&) {
            constexpr double kLargest = std::numeric_limits<int>::max();
            target.*member = static_cast<int>(std::min(*value.number(), kLargest));
          }};
}

/// A number above 0.
template <typename Target>
Binding<Target> positive_number(std::optional<double> Target::*member, double maximum) {
  return {{{.type = JsonType::Number, .above = 0, .maximum = maximum}},
          [member](const JsonValue& value, const JsonPlace&, Target& target, Problems&) {
            target.*member = *value.number();
          }};
}

/// An object that has a table of its own, which must outlive this binding.
template <typename Target, typename Part>
Binding<Target> object(std::optional<Part> Target::*member, const FieldTable<Part>& table) {
  return {{{.type = JsonType::Object, .members = &table.descriptions()}},
          [member, &table](const JsonValue& value, const JsonPlace& place, Target& target,
                           Problems& problems) {
            table.read(value, place, (target.*member).emplace(), problems);
          }};
}

}  // namespace red
