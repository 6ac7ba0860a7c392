#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/remote/entry.h"

namespace red {

/// What is known of one name in a directory. Guarded by the tree's mutex, but for name and kind,
/// which never change.
struct ChildEntry {
  std::string name;
  std::string etag;
  std::optional<std::uint64_t> size;  ///< exact, or unknown
  FileTime modified{};
  TimePoint valid_until{};  ///< until then size, time and ETag are trusted
  EntryKind kind = EntryKind::File;
  bool modified_is_exact = false;
  bool size_is_untold = false;  ///< the server was asked and does not say

  Version version() const;
  bool is_complete(TimePoint now) const;
};

/// One answer of the server about a directory: its names, in the server's order. Readers of a
/// directory hold on to the listing they began with.
class DirectoryListing {
 public:
  DirectoryListing(std::vector<Entry> entries, FileTime default_time, TimePoint valid_until);

  std::size_t size() const noexcept { return entries_.size(); }
  ChildEntry& operator[](std::size_t index) noexcept { return entries_[index]; }
  /// The position of a name, if it is listed.
  std::optional<std::size_t> find(std::string_view name) const;

  /// Takes over what is known more exactly from the listing before.
  void inherit(const DirectoryListing& older, TimePoint now);

  TimePoint valid_until() const noexcept { return valid_until_; }
  void expire() noexcept { valid_until_ = {}; }
  /// Bytes of memory, about.
  std::size_t footprint() const noexcept { return footprint_; }

  /// How far the sizes of names that the listing does not size have been asked ahead.
  struct StatAhead {
    std::size_t frontier = 0;
    std::size_t window = 0;
  } stat_ahead;

 private:
  std::vector<ChildEntry> entries_;
  std::vector<std::uint32_t> by_name_;  ///< positions, sorted by name
  TimePoint valid_until_;
  std::size_t footprint_ = 0;
};

}  // namespace red
