#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_source.h"

namespace red {

/// A zip archive with the mark "this name is UTF-8" taken from its members. libarchive converts
/// marked names into the locale and puts them into NFC, or fails to; unmarked ones keep their
/// bytes. Where the archive is not as it should be, nothing is changed: reading it tells what is
/// wrong.
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
  void look_at_member(std::uint64_t local_header);

  ByteSource& zip_;
  bool is_empty_ = false;
  std::vector<std::uint64_t> marked_;  ///< offsets of the bytes with the mark, ascending
};

}  // namespace red
