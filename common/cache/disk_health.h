#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"

namespace red {

/// Whether the disk of a cache serves, as its failures show. The first is told to the log, once; a
/// full disk is not written to for a while, one that fails over and over is left alone.
/// Thread-safe.
class DiskHealth {
 public:
  explicit DiskHealth(std::string directory) : directory_(std::move(directory)) {}

  bool is_usable() const noexcept { return failures_.load() < kMostFailures; }
  bool is_writable() const noexcept;

  /// Runs something that touches the disk; false if it failed.
  bool attempt(const std::function<void()>& work) noexcept;
  /// There is no room: nothing is written for a while.
  void pause_writing(std::string_view why) noexcept;

 private:
  void failed(const Error& error) noexcept;
  void warn_once(std::string_view why) noexcept;

  static constexpr int kMostFailures = 8;

  const std::string directory_;
  std::atomic<int> failures_{0};
  std::atomic<bool> has_warned_{false};
  std::atomic<TimePoint::rep> writable_from_{0};
};

}  // namespace red
