#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/cache/buffer_pool.h"
#include "common/cache/content_handle.h"

namespace red {

/// The right to fetch a run of blocks, given back by the last who holds on to it: the one who
/// fetches, or what waits for being written.
class HeldClaim {
 public:
  HeldClaim(std::shared_ptr<DiskContent> content, BlockRun run)
      : content_(std::move(content)), run_(run) {}
  ~HeldClaim() { content_->give_back(run_); }
  HeldClaim(const HeldClaim&) = delete;
  HeldClaim& operator=(const HeldClaim&) = delete;

  BlockRun run() const noexcept { return run_; }

 private:
  const std::shared_ptr<DiskContent> content_;
  const BlockRun run_;
};

/// Brings blocks to the disk on a thread of its own, so that nobody else waits for that. What it
/// holds is bounded; what there is no room for is not kept. Thread-safe.
class DiskWriter {
 public:
  using Buffer = std::shared_ptr<std::byte[]>;
  struct Task {
    std::shared_ptr<ContentHandle> content;
    std::uint64_t index = 0;
    Buffer bytes;
    std::size_t count = 0;
    std::shared_ptr<const HeldClaim> claim;  ///< null: the block was not claimed
  };
  /// Told, on the writer's thread, how many bytes of the disk have been taken.
  using Written = std::function<void(std::uint64_t bytes)>;

  explicit DiskWriter(Written written);
  /// Writes what it has been given first.
  ~DiskWriter();

  /// Room for one block; null if there is none.
  Buffer take_buffer();
  void write(Task task);
  /// Whether what could wait with its bytes should.
  bool is_busy() const { return buffers_out_.load(std::memory_order_relaxed) > kMostBuffers / 2; }

 private:
  void run();
  std::vector<Task> next_batch();
  void write_batch(const std::vector<Task>& batch);

  static constexpr std::size_t kMostBuffers = 16 * 1024 * 1024 / kBlockSize;
  static constexpr std::size_t kMostInBatch = 16;

  const Written written_;
  BufferPool pool_{kMostBuffers * kBlockSize};
  std::atomic<std::size_t> buffers_out_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::deque<Task> tasks_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace red
