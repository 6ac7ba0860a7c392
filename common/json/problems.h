#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace red {

/// Where in a JSON document a value stands: a chain that lives on the stack of those who descend,
/// so that a place costs nothing until something is wrong there.
class JsonPlace {
 public:
  JsonPlace() = default;  ///< the document itself
  JsonPlace(const JsonPlace& parent, std::string_view key) : parent_(&parent), key_(key) {}
  JsonPlace(const JsonPlace& parent, std::size_t index)
      : parent_(&parent), index_(index), is_index_(true) {}

  /// As a JSON pointer (RFC 6901); control characters are made visible. "(top level)" for the
  /// document itself.
  std::string text() const;

 private:
  std::string pointer() const;

  const JsonPlace* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
  bool is_index_ = false;
};

/// What is wrong with a document, gathered so that a person sees all of it at once. Texts never
/// hold values, which may be secrets.
class Problems {
 public:
  void add(const JsonPlace& place, std::string_view text) { add(place.text(), text); }
  void add(std::string_view where, std::string_view text);
  /// Adds what throw_if_any() has said of another document, which the value names: as one problem,
  /// the lines of the other document indented below it.
  void add_document(const JsonPlace& place, std::string_view text);

  bool empty() const { return count_ == 0; }
  /// Throws Error{InvalidAccess}: "DOCUMENT is invalid: 2 problems", then a line for each.
  void throw_if_any(std::string_view document) const;

 private:
  /// More lines help nobody; a generated listing can hold millions of mistakes.
  static constexpr std::size_t kMaxLines = 100;

  std::vector<std::string> lines_;
  std::size_t count_ = 0;
};

}  // namespace red
