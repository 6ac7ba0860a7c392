#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/cache/buffer_pool.h"
#include "common/clock.h"
#include "common/error.h"

namespace red {

/// One version of one file: two versions never share an id, so their blocks never mix.
using ContentId = std::uint64_t;

/// Memory of one block. Whoever holds it keeps the memory, also after the cache has dropped it.
class Block {
 public:
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }

 private:
  friend class BlockCache;
  explicit Block(class BlockMemory& memory);

  BlockMemory& memory_;
  std::byte* data_;
};

/// Counts and lends the memory of blocks.
class BlockMemory {
 public:
  explicit BlockMemory(std::size_t bytes) : pool_(bytes) {}

  std::byte* take();
  void give_back(std::byte* buffer) noexcept;
  std::size_t bytes_in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }

 private:
  BufferPool pool_;
  std::atomic<std::size_t> in_use_{0};
};

/// A run of blocks of one content, [first, end).
struct BlockRun {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  bool operator==(const BlockRun&) const = default;
};

/// One reader's wish for a run of blocks. It completes exactly once: when all blocks are there,
/// when one failed, or when it is abandoned.
class BlockRequest {
 public:
  /// Null error: `blocks` holds all of the run. Called without any lock held, on the thread that
  /// brought the last block, or inside BlockCache::request().
  using Completion =
      std::function<void(const Error* error, std::vector<std::shared_ptr<Block>> blocks)>;

  BlockRequest(BlockRun run, TimePoint deadline, Completion completion)
      : run_(run), deadline_(deadline), completion_(std::move(completion)) {}

  const BlockRun& run() const noexcept { return run_; }
  TimePoint deadline() const noexcept { return deadline_; }

 private:
  friend class BlockCache;

  const BlockRun run_;
  const TimePoint deadline_;
  Completion completion_;
  // guarded by the mutex of the cache
  std::vector<std::shared_ptr<Block>> blocks_;
  std::size_t missing_ = 0;
  bool done_ = false;
};

/// Blocks of files in memory, within a byte budget, least recently used out first; and the state
/// "somebody fetches this": of any number of requests for a missing block, exactly one is told to
/// fetch it. Thread-safe; no completion runs under its lock.
class BlockCache {
 public:
  explicit BlockCache(std::size_t max_bytes);
  /// All requests must have completed.
  ~BlockCache();

  /// Asks for the request's blocks. Returns the runs that the caller now has to fetch; it must end
  /// each of their blocks with publish() or fail(). Completes the request at once if nothing is
  /// missing.
  std::vector<BlockRun> request(ContentId content, const std::shared_ptr<BlockRequest>& request);

  /// Claims missing blocks of a run for a fetch that nobody waits for yet. Returns the runs to
  /// fetch; nothing where memory is short.
  std::vector<BlockRun> claim_ahead(ContentId content, BlockRun run);

  /// The memory of a claimed block, for its fetcher to fill.
  std::shared_ptr<Block> claimed(ContentId content, std::uint64_t index);

  /// The claimed block is filled, with so many bytes. If `keep` is false it goes to its waiters
  /// only.
  void publish(ContentId content, std::uint64_t index, bool keep = true,
               std::size_t bytes = kBlockSize);

  /// The fetch of these claimed blocks failed. Requests that wait for one of them and whose
  /// deadline is later than `retry_before` keep waiting: the blocks they need stay claimed and are
  /// returned, to be fetched again by the caller. All others fail.
  std::vector<BlockRun> fail(ContentId content, BlockRun run, const Error& error,
                             TimePoint retry_before);

  /// Gives claimed blocks up without an answer: their requests are returned, uncompleted, for the
  /// caller to serve from elsewhere (each once).
  std::vector<std::shared_ptr<BlockRequest>> release(ContentId content, BlockRun run);

  /// Ends a request that has not completed with the error; false if it has.
  bool abandon(const std::shared_ptr<BlockRequest>& request, const Error& error);

  /// Takes a request that release() returned to serve it from elsewhere; false if it has completed.
  bool take_over(const std::shared_ptr<BlockRequest>& request);

  /// Forgets those blocks of the run that are present.
  void drop(ContentId content, BlockRun run);

  /// Bytes of the budget that something else uses from now on (metadata, spooled files); negative
  /// gives back. Blocks are evicted to make room, but at least a quarter of the budget stays
  /// theirs.
  void reserve(std::int64_t bytes);

  std::size_t max_bytes() const noexcept { return max_bytes_; }
  /// Memory of blocks, cached, being filled or still lent.
  std::size_t bytes_in_use() const noexcept { return memory_.bytes_in_use(); }
  /// Bytes of blocks that were filled and that nobody has asked for, cached or gone again.
  std::uint64_t bytes_without_use() const;

 private:
  struct Key {
    ContentId content;
    std::uint64_t index;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept {
      return static_cast<std::size_t>((key.content * 0x9E3779B97F4A7C15ULL) ^
                                      (key.index * 0xC2B2AE3D27D4EB4FULL));
    }
  };
  struct Slot {
    std::shared_ptr<Block> block;
    bool is_present = false;
    std::uint32_t bytes_without_use = 0;  ///< that were filled in, until somebody asks for them
    std::vector<std::shared_ptr<BlockRequest>> waiters;  // only while it is fetched
    std::list<Key>::iterator used;                       // only if present
  };
  using Slots = std::unordered_map<Key, Slot, KeyHash>;
  struct Finished;

  std::size_t block_budget() const;
  bool make_room_for(std::size_t bytes);
  Slot& add_claimed(const Key& key);
  void erase(Slots::iterator position);
  static void append(std::vector<BlockRun>& runs, std::uint64_t index);

  const std::size_t max_bytes_;
  BlockMemory memory_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  Slots slots_;
  std::list<Key> used_;  ///< present blocks, most recently used first
  std::int64_t reserved_ = 0;
  std::uint64_t bytes_without_use_ = 0;
};

}  // namespace red
