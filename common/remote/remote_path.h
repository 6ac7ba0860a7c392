#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace red {

/// A path below what the access data names; `RemotePath{}` is that very thing, file or directory.
/// Components are raw bytes, never empty, ".", "..", and hold neither '/' nor NUL: a RemotePath
/// that leads out of its root cannot be written.
class RemotePath {
 public:
  RemotePath() = default;

  /// Throws Error{Protocol} if `name` is no valid component.
  RemotePath child(std::string_view name) const;
  /// Of a path that is not the root.
  RemotePath parent() const;

  bool is_root() const noexcept { return text_.empty(); }
  /// The last component; empty for the root.
  std::string_view name() const noexcept;
  /// Components joined by '/', without a leading one; empty for the root. For messages, too.
  const std::string& text() const noexcept { return text_; }
  std::vector<std::string_view> components() const;

  /// Whether `name` can be a component.
  static bool is_valid_name(std::string_view name) noexcept;

  auto operator<=>(const RemotePath&) const = default;

 private:
  std::string text_;
};

}  // namespace red
