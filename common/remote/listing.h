#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace red {

/// One node of a CWL 1.0 directory listing (section 5.1.5.1, class Directory).
struct ListingEntry {
  enum class Kind { File, Directory };
  Kind kind = Kind::File;
  std::string basename;                ///< a valid path component
  std::optional<std::uint64_t> size;   ///< bytes, files only
  std::optional<std::string> sha1;     ///< 40 lower-case hex digits, files only
  std::vector<ListingEntry> children;  ///< directories only
};

using Listing = std::vector<ListingEntry>;

}  // namespace red
