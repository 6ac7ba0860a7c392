#pragma once

#include <cstdint>

namespace red {

/// Is told how a transfer goes; draws it or not. Thread-safe, cheap, never throws. Bytes that are
/// fetched again after a break count once.
class Progress {
 public:
  virtual ~Progress() = default;
  /// More work has become known.
  virtual void expect(std::uint64_t files, std::uint64_t bytes) noexcept = 0;
  virtual void advance(std::int64_t bytes) noexcept = 0;  ///< negative when a file starts over
  virtual void file_done() noexcept = 0;
};

class SilentProgress final : public Progress {
 public:
  void expect(std::uint64_t, std::uint64_t) noexcept override {}
  void advance(std::int64_t) noexcept override {}
  void file_done() noexcept override {}
};

}  // namespace red
