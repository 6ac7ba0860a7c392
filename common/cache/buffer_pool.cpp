#include "common/cache/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
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

/// One huge page, where the kernel gives them: a fault per slab instead of hundreds.
std::byte* BufferPool::map_slab() {
  std::byte* memory = map(2 * kSlabBytes);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::size_t before = (kSlabBytes - address % kSlabBytes) % kSlabBytes;
  if (before > 0) munmap(memory, before);
  munmap(memory + before + kSlabBytes, kSlabBytes - before);
  madvise(memory + before, kSlabBytes, MADV_HUGEPAGE);
  return memory + before;
}

std::byte* BufferPool::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    if (slabs_.size() >= max_slabs_) return map(kBlockSize);
    std::byte* slab = map_slab();
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
