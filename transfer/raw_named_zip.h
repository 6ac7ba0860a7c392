#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_source.h"

namespace red {

/// A zip archive with headers of its members such that libarchive keeps the bytes of their names.
/// It would convert names that are marked as UTF-8 into the locale and put them into NFC, or fail
/// to, and take backslashes for slashes where a member looks as if it came from DOS. Where the
/// archive is not as it should be, nothing is changed: reading it tells what is wrong.
class RawNamedZip final : public ByteSource {
 public:
  /// Reads the central directory. `zip` must outlive this. Throws Error{Protocol} for names with
  /// NUL, of which libarchive would show the beginning only, and for more members than
  /// `max_members`.
  RawNamedZip(ByteSource& zip, std::uint64_t max_members);

  /// Whether it is the archive without members, which libarchive does not take for one.
  bool is_empty() const { return is_empty_; }

  std::uint64_t size() const override { return zip_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override;

 private:
  struct Change {
    std::uint64_t offset = 0;
    std::byte value{};
  };

  void look_at_member(std::uint64_t local_header, bool is_from_unix);

  ByteSource& zip_;
  bool is_empty_ = false;
  std::vector<Change> changes_;  ///< by offset
};

}  // namespace red
