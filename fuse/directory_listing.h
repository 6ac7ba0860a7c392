#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/remote/entry.h"
#include "fuse/files_ahead.h"

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
  std::optional<std::uint16_t> mode;  ///< permission bits, where the protocol has them
  std::string link_target;            ///< of a Symlink
  bool modified_is_exact = false;
  bool etag_is_listed = false;  ///< the listing itself tells ETags
  bool size_is_untold = false;  ///< the server was asked and does not say

  Version version() const;
  bool is_complete(TimePoint now) const;
};

/// One answer of the server about a directory: its names, in the server's order. Readers of a
/// directory hold on to the listing they began with.
class DirectoryListing {
 public:
  DirectoryListing(std::vector<Entry> entries, FileTime default_time, TimePoint valid_until);

  /// The same with names added, or in the place of what is known of them, and others left out.
  DirectoryListing(const DirectoryListing& older,
                   std::map<std::string, ChildEntry, std::less<>> added,
                   const std::function<bool(const std::string&)>& is_removed);

  std::size_t size() const noexcept { return entries_.size(); }
  ChildEntry& operator[](std::size_t index) noexcept { return entries_[index]; }
  /// The position of a name, if it is listed.
  std::optional<std::size_t> find(std::string_view name) const;

  /// Where a listed name stands in each order of files.
  std::optional<FileRanks> ranks_of(std::string_view name);
  /// The entry that has the rank, which must be less than size().
  ChildEntry& at(FileOrder order, std::size_t rank);

  /// Takes over what is known more exactly from the listing before.
  void inherit(const DirectoryListing& older, TimePoint now);

  /// What it tells of files has to be asked for again, one by one.
  void distrust_files();

  TimePoint valid_until() const noexcept { return valid_until_; }
  void expire() noexcept { valid_until_ = {}; }
  /// Bytes of memory, about.
  std::size_t footprint() const noexcept { return footprint_; }

  /// How far something has been asked for ahead of a reader who goes through the names.
  struct Ahead {
    std::size_t frontier = 0;
    std::size_t window = 0;

    /// The positions to ask for next, [first, second), when the reader is at `position`; more the
    /// longer it goes on. Whoever jumps back behind what has been asked starts over from there.
    std::pair<std::size_t, std::size_t> advance(std::size_t position, std::size_t first_window,
                                                std::size_t max_window, std::size_t size);
  };
  Ahead stat_ahead;  ///< sizes that the listing does not tell
  Ahead list_ahead;  ///< listings of its directories

 private:
  void add(ChildEntry entry);
  void sort_names();
  void sort_numerically();

  std::vector<ChildEntry> entries_;
  std::vector<std::uint32_t> by_name_;      ///< positions, sorted by name
  std::vector<std::uint32_t> numerically_;  ///< positions, sorted by numeric order; made when used
  TimePoint valid_until_;
  std::size_t footprint_ = 0;
};

}  // namespace red
