#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/cache/block_cache.h"
#include "common/remote/remote_store.h"

namespace red {

/// A whole file as it streams in from a server that does not serve ranges: readers get bytes as
/// soon as they have arrived. Kept in memory that is taken from the cache's budget while it is
/// small enough, else in an unlinked temporary file. Thread-safe.
class StreamSpool final : public ReadSink {
 public:
  /// Exactly once; null error: the bytes, shorter than asked only at the end of the file.
  using Completion = std::function<void(const Error* error, std::vector<std::byte> bytes)>;

  /// `cache` lends the budget and must outlive the spool. `on_answer` is told the first answer.
  StreamSpool(BlockCache& cache, std::function<void(const ReadAnswer&)> on_answer);
  ~StreamSpool() override;

  /// Completes when the bytes are there, at once if they are. Returns a ticket for abandon().
  std::uint64_t read(ByteRange range, Completion completion);
  /// Ends a waiting read with the error; false if it has completed.
  bool abandon(std::uint64_t ticket, const Error& error);

  bool begin(const ReadAnswer& answer) override;
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override;
  void finish(const Error* error) noexcept override;

  bool is_waiting(std::uint64_t ticket) const;

  std::uint64_t bytes_arrived() const;

  /// The spool is not read any more: the stream ends at its next bytes.
  void close() { closed_.store(true, std::memory_order_relaxed); }

 private:
  struct Waiter {
    std::uint64_t ticket;
    ByteRange range;
    Completion completion;
  };

  void open_storage(std::optional<std::uint64_t> size);
  std::vector<std::byte> load(ByteRange range) const;
  void serve(const Waiter& waiter) const;
  bool is_ready(const Waiter& waiter) const;
  void wake_ready();
  void fail(Error error);

  BlockCache& cache_;
  const std::function<void(const ReadAnswer&)> on_answer_;
  std::atomic<bool> closed_{false};

  // set once, by the first begin(), before anything has arrived
  int descriptor_ = -1;
  std::int64_t reserved_ = 0;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::vector<Waiter> waiters_;
  std::uint64_t arrived_ = 0;
  bool finished_ = false;
  std::optional<Error> error_;
  std::uint64_t next_ticket_ = 1;
};

}  // namespace red
