#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "common/remote/remote_store.h"

namespace red {

/// Which bytes of a file are still missing and which read is to bring them. Every byte is claimed
/// exactly once, unless its read gives it back. Pure and not thread-safe.
class SegmentTable {
 public:
  using Id = std::size_t;
  static constexpr std::uint64_t kUnknownEnd = std::numeric_limits<std::uint64_t>::max();
  /// No read is worth its request for less.
  static constexpr std::uint64_t kMinPiece = 4 << 20;
  /// Pieces begin at multiples of it: caches on the way have blocks.
  static constexpr std::uint64_t kGrain = 64 << 10;

  struct Piece {
    Id id = 0;
    ByteRange range;
  };

  /// The read of the whole file, which comes first. Its end may be unknown yet.
  Id add_whole();
  /// The whole file's size has become known. Only while there is one segment.
  void set_size(std::uint64_t size);

  /// Something for a further read: what was given back, else the second half of the largest
  /// segment. Nothing if that would be too small.
  std::optional<Piece> take();

  /// The read brings `count` bytes at its position: how many of them are wanted.
  std::uint64_t claim(Id id, std::uint64_t count);
  /// Whether the read has nothing more to bring.
  bool is_complete(Id id) const;
  /// Whether the read brings more than its segment now wants, because others took its tail.
  bool is_cut_short(Id id) const;
  std::uint64_t position(Id id) const { return active_.at(id).next; }
  /// The whole file's read begins again. False if others share the work.
  bool start_over(Id id);
  /// The read has ended; what it did not bring goes back.
  void end(Id id);

  bool has_free_pieces() const { return !free_.empty(); }
  std::size_t active_reads() const { return active_.size(); }

 private:
  struct Segment {
    std::uint64_t next = 0;
    std::uint64_t end = kUnknownEnd;
    std::uint64_t request_end = kUnknownEnd;  ///< how far the read itself goes
  };

  Piece add(ByteRange range);
  bool give_to_predecessor(ByteRange missing);

  std::map<Id, Segment> active_;
  std::vector<ByteRange> free_;
  Id next_id_ = 0;
};

}  // namespace red
