#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/remote/remote_store.h"

namespace red {

/// Decides from the offsets that a reader asks for what to fetch next. Recognises up to four
/// sequential streams in one file, each with a window that doubles while its reader has to wait for
/// the network and never exceeds what the stream has read so far: a reader that turns out to be a
/// random one costs only what it touches. Pure: no clock, no threads.
class ReadAheadPolicy {
 public:
  struct Limits {
    std::uint64_t max_window;  ///< bytes ahead of the reader, per stream
  };

  /// A read of `range` from a file of `file_size` bytes. Returns what to fetch beyond it.
  std::optional<ByteRange> observe(ByteRange range, std::uint64_t file_size, const Limits& limits);

  /// What the stream of the last read has left far behind, each byte told once: a long scan needs
  /// it no more, and must not push out of the cache what others come back to.
  std::optional<ByteRange> left_behind();

  /// Whether any stream is being read ahead.
  bool is_sequential() const;

 private:
  struct Stream {
    std::uint64_t start = 0;     ///< where the run began
    std::uint64_t position = 0;  ///< the end of the furthest read
    std::uint64_t ahead = 0;     ///< the end of what has been asked for
    std::uint64_t window = 0;    ///< 0: not yet read ahead
    std::uint64_t last_use = 0;
    std::uint64_t kept_from = 0;  ///< what lies before has been told as left behind
  };

  Stream* find(ByteRange range);
  Stream& replace_least_recent();

  std::array<Stream, 4> streams_{};
  std::size_t last_ = 0;  ///< the stream of the last read
  std::uint64_t uses_ = 0;
};

}  // namespace red
