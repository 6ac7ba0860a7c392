#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "transfer/byte_stream.h"

namespace red {

/// Keeps what an archive becomes within bounds: as many bytes as small archives may need, and
/// beyond that a multiple of the compressed bytes that have come so far. No honest data compresses
/// better; an archive that was made to fill a disk does.
class ExpansionLimit {
 public:
  static constexpr std::uint64_t kFree = 256 << 20;
  static constexpr std::uint64_t kMostPerByte = 500;

  void consume(std::uint64_t compressed_bytes) { consumed_ += compressed_bytes; }
  /// Throws Error{Protocol} when the bound is passed.
  void produce(std::uint64_t bytes);

 private:
  std::uint64_t consumed_ = 0;
  std::uint64_t produced_ = 0;
};

/// Tells how many bytes of another stream have been read.
class CountedStream final : public ByteStream {
 public:
  /// `stream` must outlive this; what `count` throws comes out of read().
  CountedStream(ByteStream& stream, std::function<void(std::size_t bytes)> count)
      : stream_(stream), count_(std::move(count)) {}

  std::size_t read(std::span<std::byte> buffer) override {
    const std::size_t bytes = stream_.read(buffer);
    count_(bytes);
    return bytes;
  }

 private:
  ByteStream& stream_;
  const std::function<void(std::size_t)> count_;
};

}  // namespace red
