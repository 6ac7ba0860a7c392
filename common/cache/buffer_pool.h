#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace red {

/// The unit of caching and the least that is fetched: a random read costs at most two of them more
/// than it asked for, that is 128 KiB.
inline constexpr std::size_t kBlockSize = 64 * 1024;

/// Memory of kBlockSize pieces. What lies within `retained_bytes` is kept for reuse, so that pages
/// are not faulted in again and again; what goes beyond is given back at once. Thread-safe.
class BufferPool {
 public:
  explicit BufferPool(std::size_t retained_bytes);
  /// All buffers must have been given back.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// Throws std::bad_alloc.
  std::byte* take();
  void give_back(std::byte* buffer) noexcept;

 private:
  static std::byte* map(std::size_t bytes);
  static std::byte* map_slab();

  static constexpr std::size_t kSlabBytes = 32 * kBlockSize;

  const std::size_t max_slabs_;

  std::mutex mutex_;
  // guarded by mutex_
  std::vector<std::byte*> slabs_;  ///< sorted by address
  std::vector<std::byte*> free_;
};

}  // namespace red
