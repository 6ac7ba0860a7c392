#pragma once

#include <atomic>
#include <cstdint>

#include "transfer/progress.h"

namespace red::testing {

/// Adds up what a transfer tells.
class CountingProgress final : public Progress {
 public:
  void expect(std::uint64_t file_count, std::uint64_t byte_count) noexcept override {
    expected_files += file_count;
    expected_bytes += byte_count;
  }
  void advance(std::int64_t count) noexcept override { bytes += count; }
  void file_done() noexcept override { ++files; }

  std::atomic<std::uint64_t> expected_files{0};
  std::atomic<std::uint64_t> expected_bytes{0};
  std::atomic<std::int64_t> bytes{0};
  std::atomic<std::uint64_t> files{0};
};

}  // namespace red::testing
