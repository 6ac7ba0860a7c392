#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/digest.h"

namespace red {

using FileTime = std::chrono::sys_time<std::chrono::nanoseconds>;

/// The present, as a file's time.
inline FileTime wall_clock() {
  return std::chrono::time_point_cast<FileTime::duration>(std::chrono::system_clock::now());
}

/// What of st_mode is permissions (inode(7)), set-user-id and its like included.
inline constexpr std::uint32_t kPermissionBits = 07777;

/// What tells two contents of a file apart (RFC 9110 section 8.8: validators). A field that the
/// server did not tell is empty.
struct Version {
  std::string etag;  ///< opaque, compared weakly: without a leading W/
  std::optional<FileTime> modified;
  std::optional<std::uint64_t> size;  ///< bytes

  /// Whether both may be the same content: no field that both know differs. Times of which one is
  /// known to the minute only do not belong here.
  bool may_equal(const Version& other) const;
  /// Whether it can prove a resumed transfer to be the same content (ETag or time).
  bool is_validator() const { return !etag.empty() || modified.has_value(); }
  /// Fills the fields that are unknown here from another answer about the same content.
  void complete_from(const Version& other);
};

enum class EntryKind {
  File,
  Directory,
  Symlink,  ///< only where a store shows links as links: for a mount
};

/// A file or directory as a listing or a stat shows it.
struct Entry {
  std::string name;  ///< one path component, exact bytes; empty for the root
  EntryKind kind = EntryKind::File;
  std::optional<std::uint64_t> size;  ///< bytes, only if exact; unknown otherwise
  std::optional<FileTime> modified;   ///< as listed; may be coarse (minutes)
  std::string etag;                   ///< empty if not told
  std::string content_type;           ///< empty if not told
  bool modified_is_exact = false;     ///< modified has full HTTP precision (seconds)
  std::optional<std::uint32_t> mode;  ///< permission bits (07777), where the protocol has them
  /// Of a Symlink: a relative path that never leaves the store's tree, whatever is resolved on the
  /// way.
  std::string link_target;
  std::optional<Checksum> checksum;  ///< of the content, where the listing has it

  Version version() const { return {etag, modified_is_exact ? modified : std::nullopt, size}; }
};

}  // namespace red
