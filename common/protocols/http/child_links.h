#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/url.h"
#include "common/remote/entry.h"

namespace red {

/// A direct child of a directory, as a URL names it.
struct ChildLink {
  std::string name;           ///< decoded, a valid path component
  bool is_directory = false;  ///< written with a trailing '/'
};

/// Tells which links lead to direct children of a directory, however either is encoded.
class ChildLinks {
 public:
  explicit ChildLinks(const Url& directory);

  /// `path` as in a Url. Nothing if it is no direct child or its name is no valid component.
  std::optional<ChildLink> find(std::string_view path) const;
  /// Follows a reference from the directory's page. Nothing, too, if it leads to another server or
  /// has a query.
  std::optional<ChildLink> follow(std::string_view reference) const;
  /// Whether `path`, with or without a trailing '/', is the directory itself.
  bool is_directory(std::string_view path) const;

 private:
  Url directory_;          ///< its path ends with '/'
  std::string canonical_;  ///< that path, every component in our own encoding
};

/// Leaves one entry per name, the first; what it does not know is filled from the later ones.
std::vector<Entry> merge_duplicates(std::vector<Entry> entries);

}  // namespace red
