#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "common/byte_source.h"

namespace red::testing {

/// Bytes in memory, to be sent. Thread-safe.
class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}

  std::uint64_t size() const override { return text_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    ++reads_;
    const auto at = static_cast<std::size_t>(std::min<std::uint64_t>(offset, text_.size()));
    const std::size_t count = std::min(buffer.size(), text_.size() - at);
    std::memcpy(buffer.data(), text_.data() + at, count);
    return count;
  }
  int reads() const { return reads_; }

 private:
  const std::string text_;
  std::atomic<int> reads_{0};
};

}  // namespace red::testing
