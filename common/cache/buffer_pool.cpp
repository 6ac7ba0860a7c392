#include "common/cache/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <new>

namespace red {

BufferPool::BufferPool(std::size_t retained_bytes) : max_slabs_(retained_bytes / kSlabBytes) {}

BufferPool::~BufferPool() {
  for (std::byte* slab : slabs_) munmap(slab, kSlabBytes);
}

std::byte* BufferPool::map(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

std::byte* BufferPool::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    if (slabs_.size() >= max_slabs_) return map(kBlockSize);
    std::byte* slab = map(kSlabBytes);
    slabs_.insert(std::upper_bound(slabs_.begin(), slabs_.end(), slab, std::less<>()), slab);
    free_.reserve(slabs_.size() * (kSlabBytes / kBlockSize));
    for (std::size_t at = kSlabBytes; at > 0; at -= kBlockSize) {
      free_.push_back(slab + (at - kBlockSize));
    }
  }
  std::byte* buffer = free_.back();
  free_.pop_back();
  return buffer;
}

void BufferPool::give_back(std::byte* buffer) noexcept {
  const std::lock_guard lock(mutex_);
  const auto after = std::upper_bound(slabs_.begin(), slabs_.end(), buffer, std::less<>());
  if (after != slabs_.begin() && buffer < *std::prev(after) + kSlabBytes) {
    free_.push_back(buffer);  // within the reserved capacity: cannot throw
  } else {
    munmap(buffer, kBlockSize);
  }
}

}  // namespace red
