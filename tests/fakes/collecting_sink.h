#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/remote/remote_store.h"

namespace red::testing {

/// Keeps the bytes of one read, and what else the store told. Thread-safe.
class CollectingSink final : public ReadSink {
 public:
  /// Ends the read, by returning false, as soon as so many bytes are there.
  explicit CollectingSink(std::uint64_t enough = std::numeric_limits<std::uint64_t>::max())
      : enough_(enough) {}

  bool begin(const ReadAnswer& answer) override {
    const std::lock_guard lock(mutex_);
    if (answers_.empty()) first_offset_ = answer.offset;
    if (answer.offset < first_offset_ || answer.offset > first_offset_ + bytes_.size()) {
      is_torn_ = true;
      return false;
    }
    bytes_.resize(static_cast<std::size_t>(answer.offset - first_offset_));
    answers_.push_back(answer);
    return true;
  }

  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex_);
    is_torn_ = is_torn_ || offset != first_offset_ + bytes_.size();
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return bytes_.size() < enough_;
  }

  void finish(const Error* error) noexcept override {
    const std::lock_guard lock(mutex_);
    ++finishes_;
    if (error != nullptr) error_ = *error;
    finished_.notify_all();
  }

  /// False if the read has not ended by then.
  bool wait(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return finished_.wait_for(lock, limit, [this] { return finishes_ > 0; });
  }

  // After wait().
  std::string bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }
  std::optional<Error> error() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }
  int finishes() const {
    const std::lock_guard lock(mutex_);
    return finishes_;
  }
  std::vector<ReadAnswer> answers() const {
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  /// Whether an answer or a piece did not begin where the one before had ended.
  bool is_torn() const {
    const std::lock_guard lock(mutex_);
    return is_torn_;
  }

 private:
  const std::uint64_t enough_;

  mutable std::mutex mutex_;
  std::condition_variable finished_;
  // guarded by mutex_
  std::string bytes_;
  std::uint64_t first_offset_ = 0;
  std::vector<ReadAnswer> answers_;
  std::optional<Error> error_;
  int finishes_ = 0;
  bool is_torn_ = false;
};

}  // namespace red::testing
