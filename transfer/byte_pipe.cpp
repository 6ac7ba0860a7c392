#include "transfer/byte_pipe.h"

#include <algorithm>

namespace red {

bool BytePipe::write(std::span<const std::byte> bytes) {
  std::unique_lock lock(mutex_);
  while (!bytes.empty()) {
    changed_.wait(lock, [this] { return count_ < capacity_ || is_closed_; });
    if (is_closed_) return false;
    bytes = bytes.subspan(put(bytes));
    changed_.notify_all();
  }
  return !is_closed_;
}

void BytePipe::end_writing(const Error* error) noexcept {
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  if (error != nullptr && !error_) error_ = *error;
  changed_.notify_all();
}

std::size_t BytePipe::read(std::span<std::byte> buffer) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return count_ > 0 || has_ended_ || is_closed_; });
  if (!is_closed_ && count_ > 0) {
    const std::size_t count = get(buffer);
    changed_.notify_all();
    return count;
  }
  if (error_) throw Error(*error_);
  return 0;
}

void BytePipe::close(const Error& why) noexcept {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  if (!error_) error_ = why;
  changed_.notify_all();
}

void BytePipe::wait_for_writer() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return has_ended_; });
}

std::size_t BytePipe::put(std::span<const std::byte> bytes) {
  const std::size_t at = (begin_ + count_) % capacity_;
  const std::size_t room = std::min(capacity_ - count_, capacity_ - at);
  const auto fitting = bytes.first(std::min(bytes.size(), room));
  std::copy(fitting.begin(), fitting.end(), ring_.get() + at);
  count_ += fitting.size();
  return fitting.size();
}

std::size_t BytePipe::get(std::span<std::byte> buffer) {
  const std::size_t count = std::min({buffer.size(), count_, capacity_ - begin_});
  std::copy_n(ring_.get() + begin_, count, buffer.begin());
  begin_ = (begin_ + count) % capacity_;
  count_ -= count;
  return count;
}

}  // namespace red
