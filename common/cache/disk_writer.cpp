#include "common/cache/disk_writer.h"

#include <utility>

namespace red {

DiskWriter::DiskWriter(Written written)
    : written_(std::move(written)), thread_([this] { run(); }) {}

DiskWriter::~DiskWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

DiskWriter::Buffer DiskWriter::take_buffer() {
  if (buffers_out_.fetch_add(1, std::memory_order_relaxed) >= kMostBuffers) {
    buffers_out_.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  return {pool_.take(), [this](std::byte* buffer) {
            pool_.give_back(buffer);
            buffers_out_.fetch_sub(1, std::memory_order_relaxed);
          }};
}

void DiskWriter::write(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
}

void DiskWriter::run() {
  while (true) {
    const std::vector<Task> batch = next_batch();
    if (batch.empty()) return;
    write_batch(batch);
  }
}

/// Blocks of one content that follow each other, so that they are written at once. Nothing at the
/// end.
std::vector<DiskWriter::Task> DiskWriter::next_batch() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
  std::vector<Task> batch;
  while (!tasks_.empty() && batch.size() < kMostInBatch) {
    const Task& next = tasks_.front();
    const bool follows = batch.empty() || (next.content == batch.back().content &&
                                           next.index == batch.back().index + 1);
    if (!follows) break;
    batch.push_back(std::move(tasks_.front()));
    tasks_.pop_front();
  }
  return batch;
}

void DiskWriter::write_batch(const std::vector<Task>& batch) {
  ContentHandle& handle = *batch.front().content;
  if (!handle.health().is_writable()) return;
  const std::shared_ptr<DiskContent> content = handle.open();
  if (!content) return;
  std::vector<std::span<const std::byte>> blocks;
  blocks.reserve(batch.size());
  for (const Task& task : batch) blocks.emplace_back(task.bytes.get(), task.count);
  handle.health().attempt([&] {
    content->store(batch.front().index, blocks);
    written_(content->take_bytes_stored());
  });
}

}  // namespace red
