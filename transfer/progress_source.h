#pragma once

#include <cstdint>
#include <span>

#include "common/byte_source.h"
#include "transfer/progress.h"

namespace red {

/// Tells a Progress how far the sending of a source is; starting over is taken back there. Both
/// must outlive this.
class ProgressSource final : public ByteSource {
 public:
  ProgressSource(ByteSource& source, Progress& progress) : source_(source), progress_(progress) {}

  std::uint64_t size() const override { return source_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::size_t count = source_.read_at(offset, buffer);
    const std::uint64_t position = offset + count;
    progress_.advance(static_cast<std::int64_t>(position) - static_cast<std::int64_t>(position_));
    position_ = position;
    return count;
  }

 private:
  ByteSource& source_;
  Progress& progress_;
  std::uint64_t position_ = 0;
};

}  // namespace red
