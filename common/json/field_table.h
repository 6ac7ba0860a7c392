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
#include "common/json/form_description.h"
#include "common/json/json_value.h"
#include "common/json/problems.h"

namespace red {

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
  FieldTable& add(FieldDescription field, Binding<Target> binding) {
    field.shapes = std::move(binding.shapes);
    description_.fields.push_back(std::move(field));
    readers_.push_back(std::move(binding.read));
    return *this;
  }

  /// Adds what keys say together.
  FieldTable& add(Rule rule) {
    description_.rules.push_back(std::move(rule));
    return *this;
  }

  /// Adds a key that is not for this form.
  FieldTable& add(MisplacedKey key) {
    description_.misplaced_keys.push_back(key);
    return *this;
  }

  /// Takes over the keys and rules of another table that fills a part of the target.
  template <typename Part>
  FieldTable& include(const FieldTable<Part>& table, Part Target::*part) {
    append(description_.fields, table.description_.fields);
    append(description_.rules, table.description_.rules);
    append(description_.misplaced_keys, table.description_.misplaced_keys);
    for (const auto& reader : table.readers_) {
      readers_.push_back(
          [reader, part](const JsonValue& value, const JsonPlace& place, Target& target,
                         Problems& problems) { reader(value, place, target.*part, problems); });
    }
    return *this;
  }

  const FormDescription& description() const { return description_; }

  /// Fills what the object gives; everything that is wrong is added to `problems`.
  void read(const JsonValue& value, const JsonPlace& place, Target& target,
            Problems& problems) const {
    if (!check_shape({{.type = JsonType::Object}}, value, place, problems)) return;
    for (const JsonValue::Member& member : *value.object()) {
      read_member(member, place, target, problems);
    }
    check_combination(description_, value, place, problems);
  }

 private:
  template <typename Other>
  friend class FieldTable;

  template <typename Element>
  static void append(std::vector<Element>& all, const std::vector<Element>& more) {
    all.insert(all.end(), more.begin(), more.end());
  }

  void read_member(const JsonValue::Member& member, const JsonPlace& place, Target& target,
                   Problems& problems) const {
    const JsonPlace here(place, member.name);
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      const FieldDescription& field = description_.fields[i];
      if (field.key != member.name) continue;
      if (check_shape(field.shapes, member.value, here, problems)) {
        readers_[i](member.value, here, target, problems);
      }
      return;
    }
    report_unknown_key(here, member.name, description_, problems);
  }

  FormDescription description_;
  std::vector<decltype(Binding<Target>::read)> readers_;
};

/// How a text becomes what it means.
template <typename Value>
struct TextForm {
  TextPattern pattern;  ///< what `parse` takes, and nothing else
  /// Throws Error with the reason (and without the text). May refuse what matches the pattern only
  /// for reasons that lie outside the text, or that no pattern can tell.
  Value (*parse)(std::string_view text);
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
      {{.type = JsonType::String, .pattern = {R"(^[^\x00]*$)"}}},
      [member](const JsonValue& value, const JsonPlace& place, Target& target, Problems& problems) {
        target.*member = *value.string();
        if (value.string()->find('\0') != std::string::npos) {
          problems.add(place, "must not hold NUL");
        }
      }};
}

/// A string, not empty, of a form.
template <typename Target, typename Value>
Binding<Target> parsed_text(std::optional<Value> Target::*member, TextForm<Value> form) {
  return {{{.type = JsonType::String, .min_length = 1, .pattern = form.pattern}},
          [member, parse = form.parse](const JsonValue& value, const JsonPlace& place,
                                       Target& target, Problems& problems) {
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
  return {{{.type = JsonType::Object, .form = &table.description()}},
          [member, &table](const JsonValue& value, const JsonPlace& place, Target& target,
                           Problems& problems) {
            table.read(value, place, (target.*member).emplace(), problems);
          }};
}

}  // namespace red
