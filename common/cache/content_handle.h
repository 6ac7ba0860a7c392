#pragma once

#include <memory>
#include <mutex>

#include "common/cache/disk_content.h"
#include "common/cache/disk_health.h"

namespace red {

/// A content that is opened when it is first needed, by a thread that may touch the disk. A disk
/// that fails makes it nothing, never an error. Thread-safe.
class ContentHandle {
 public:
  ContentHandle(std::shared_ptr<const CacheDirectory> directory, std::shared_ptr<DiskHealth> health,
                const ContentName& name, std::uint64_t size)
      : directory_(std::move(directory)), health_(std::move(health)), name_(name), size_(size) {}

  /// Null if the disk does not let us.
  std::shared_ptr<DiskContent> open() {
    const std::lock_guard lock(mutex_);
    if (!content_ && !has_failed_ && health_->is_usable()) {
      has_failed_ = !health_->attempt(
          [this] { content_ = std::make_shared<DiskContent>(*directory_, name_, size_); });
    }
    return content_;
  }

  DiskHealth& health() const noexcept { return *health_; }
  std::uint64_t size() const noexcept { return size_; }

 private:
  const std::shared_ptr<const CacheDirectory> directory_;
  const std::shared_ptr<DiskHealth> health_;
  const ContentName name_;
  const std::uint64_t size_;

  std::mutex mutex_;
  // guarded by mutex_
  std::shared_ptr<DiskContent> content_;
  bool has_failed_ = false;
};

}  // namespace red
