#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "common/error.h"
#include "transfer/byte_stream.h"

namespace red {

/// Carries bytes from one thread to another within a fixed amount of memory: the writer waits while
/// the pipe is full, the reader while it is empty. Thread-safe.
class BytePipe final : public ByteStream {
 public:
  explicit BytePipe(std::size_t capacity)
      : capacity_(capacity), ring_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

  /// Writer: waits until all is in the pipe. False once nobody reads any more.
  bool write(std::span<const std::byte> bytes);
  /// Writer, last: nothing more comes, for the reason of `error` if there is one.
  void end_writing(const Error* error) noexcept;

  /// Throws what the writer ended with, after the bytes before it, or close() was called with.
  std::size_t read(std::span<std::byte> buffer) override;
  /// Nobody reads any more: both sides are let go.
  void close(const Error& why) noexcept;
  /// Returns after end_writing().
  void wait_for_writer();

 private:
  std::size_t put(std::span<const std::byte> bytes);
  std::size_t get(std::span<std::byte> buffer);

  const std::size_t capacity_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  const std::unique_ptr<std::byte[]> ring_;
  std::size_t begin_ = 0;  ///< of the bytes in ring_
  std::size_t count_ = 0;
  bool has_ended_ = false;
  bool is_closed_ = false;
  std::optional<Error> error_;
};

}  // namespace red
