#include "common/cache/block_cache.h"

#include <algorithm>
#include <utility>

namespace red {

Block::Block(BlockMemory& memory) : memory_(memory), data_(memory.take()) {}
Block::~Block() { memory_.give_back(data_); }

std::byte* BlockMemory::take() {
  std::byte* buffer = pool_.take();
  in_use_.fetch_add(kBlockSize, std::memory_order_relaxed);
  return buffer;
}

void BlockMemory::give_back(std::byte* buffer) noexcept {
  in_use_.fetch_sub(kBlockSize, std::memory_order_relaxed);
  pool_.give_back(buffer);
}

/// Requests that have completed under the lock, to be told when it is released.
struct BlockCache::Finished {
  std::vector<std::pair<std::shared_ptr<BlockRequest>, std::optional<Error>>> requests;

  void add(const std::shared_ptr<BlockRequest>& request, std::optional<Error> error) {
    request->done_ = true;
    requests.emplace_back(request, std::move(error));
  }

  void tell() {
    for (auto& [request, error] : requests) {
      const auto completion = std::exchange(request->completion_, nullptr);
      if (error) {
        completion(&*error, {});
      } else {
        completion(nullptr, std::move(request->blocks_));
      }
    }
  }
};

BlockCache::BlockCache(std::size_t max_bytes) : max_bytes_(max_bytes), memory_(max_bytes) {}

BlockCache::~BlockCache() = default;

std::size_t BlockCache::block_budget() const {
  const auto reserved = static_cast<std::size_t>(std::max<std::int64_t>(reserved_, 0));
  return std::max(max_bytes_ - std::min(max_bytes_, reserved), max_bytes_ / 4);
}

/// Evicts until so many more bytes fit; false if what is left is all in use.
bool BlockCache::make_room_for(std::size_t bytes) {
  const std::size_t budget = block_budget();
  while (memory_.bytes_in_use() + bytes > budget && !used_.empty()) {
    erase(slots_.find(used_.back()));
  }
  return memory_.bytes_in_use() + bytes <= budget;
}

void BlockCache::erase(Slots::iterator position) {
  if (position->second.is_present) used_.erase(position->second.used);
  slots_.erase(position);
}

BlockCache::Slot& BlockCache::add_claimed(const Key& key) {
  Slot& slot = slots_[key];
  slot.block = std::shared_ptr<Block>(new Block(memory_));
  return slot;
}

void BlockCache::append(std::vector<BlockRun>& runs, std::uint64_t index) {
  if (!runs.empty() && runs.back().end == index) {
    ++runs.back().end;
  } else {
    runs.push_back({index, index + 1});
  }
}

std::vector<BlockRun> BlockCache::request(ContentId content,
                                          const std::shared_ptr<BlockRequest>& request) {
  std::vector<BlockRun> to_fetch;
  Finished finished;
  {
    const std::lock_guard lock(mutex_);
    const BlockRun run = request->run();
    request->blocks_.resize(run.end - run.first);
    for (std::uint64_t index = run.first; index < run.end; ++index) {
      const Key key{content, index};
      const auto found = slots_.find(key);
      if (found != slots_.end() && found->second.is_present) {
        request->blocks_[index - run.first] = found->second.block;
        used_.splice(used_.begin(), used_, found->second.used);
        bytes_without_use_ -= std::exchange(found->second.bytes_without_use, 0);
        continue;
      }
      ++request->missing_;
      if (found != slots_.end()) {
        found->second.waiters.push_back(request);
        continue;
      }
      // Somebody waits for it, so it is fetched even if the budget is all in use: what the kernel
      // has outstanding bounds the excess.
      make_room_for(kBlockSize);
      add_claimed(key).waiters.push_back(request);
      append(to_fetch, index);
    }
    if (request->missing_ == 0) finished.add(request, std::nullopt);
  }
  finished.tell();
  return to_fetch;
}

std::vector<BlockRun> BlockCache::claim_ahead(ContentId content, BlockRun run) {
  std::vector<BlockRun> to_fetch;
  const std::lock_guard lock(mutex_);
  for (std::uint64_t index = run.first; index < run.end; ++index) {
    const Key key{content, index};
    if (slots_.contains(key)) continue;
    if (!make_room_for(kBlockSize)) break;
    add_claimed(key);
    append(to_fetch, index);
  }
  return to_fetch;
}

std::shared_ptr<Block> BlockCache::claimed(ContentId content, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  return slots_.at({content, index}).block;
}

void BlockCache::publish(ContentId content, std::uint64_t index, bool keep, std::size_t bytes) {
  Finished finished;
  {
    const std::lock_guard lock(mutex_);
    const auto position = slots_.find({content, index});
    Slot& slot = position->second;
    if (slot.waiters.empty()) slot.bytes_without_use = static_cast<std::uint32_t>(bytes);
    bytes_without_use_ += slot.bytes_without_use;
    for (const auto& request : std::exchange(slot.waiters, {})) {
      if (request->done_) continue;
      request->blocks_[index - request->run_.first] = slot.block;
      if (--request->missing_ == 0) finished.add(request, std::nullopt);
    }
    if (keep) {
      slot.is_present = true;
      slot.used = used_.insert(used_.begin(), position->first);
      make_room_for(0);  // what readers urged in beyond the budget goes again
    } else {
      slots_.erase(position);
    }
  }
  finished.tell();
}

std::vector<BlockRun> BlockCache::fail(ContentId content, BlockRun run, const Error& error,
                                       TimePoint retry_before) {
  std::vector<BlockRun> still_wanted;
  Finished finished;
  {
    const std::lock_guard lock(mutex_);
    for (std::uint64_t index = run.first; index < run.end; ++index) {
      const auto position = slots_.find({content, index});
      auto& waiters = position->second.waiters;
      std::erase_if(waiters, [&](const std::shared_ptr<BlockRequest>& request) {
        if (request->done_) return true;
        if (request->deadline() > retry_before) return false;
        finished.add(request, error);
        return true;
      });
      if (waiters.empty()) {
        slots_.erase(position);
      } else {
        append(still_wanted, index);
      }
    }
  }
  finished.tell();
  return still_wanted;
}

std::vector<std::shared_ptr<BlockRequest>> BlockCache::release(ContentId content, BlockRun run) {
  std::vector<std::shared_ptr<BlockRequest>> requests;
  const std::lock_guard lock(mutex_);
  for (std::uint64_t index = run.first; index < run.end; ++index) {
    const auto position = slots_.find({content, index});
    for (const auto& request : position->second.waiters) {
      if (!request->done_ && std::ranges::find(requests, request) == requests.end()) {
        requests.push_back(request);
      }
    }
    slots_.erase(position);
  }
  return requests;
}

bool BlockCache::take_over(const std::shared_ptr<BlockRequest>& request) {
  const std::lock_guard lock(mutex_);
  return !std::exchange(request->done_, true);
}

bool BlockCache::abandon(const std::shared_ptr<BlockRequest>& request, const Error& error) {
  if (!take_over(request)) return false;
  const auto completion = std::exchange(request->completion_, nullptr);
  completion(&error, {});
  return true;
}

void BlockCache::drop(ContentId content, BlockRun run) {
  const std::lock_guard lock(mutex_);
  for (std::uint64_t index = run.first; index < run.end; ++index) {
    const auto position = slots_.find({content, index});
    if (position != slots_.end() && position->second.is_present) erase(position);
  }
}

std::uint64_t BlockCache::bytes_without_use() const {
  const std::lock_guard lock(mutex_);
  return bytes_without_use_;
}

void BlockCache::reserve(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  reserved_ += bytes;
  make_room_for(0);
}

}  // namespace red
