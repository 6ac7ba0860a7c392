#include "common/cache/disk_cache.h"

#include <utility>

namespace red {
namespace {

DiskQuota::Limits limits_of(const DiskCache::Options& options, const CacheDirectory& directory) {
  DiskQuota::Limits limits = DiskQuota::limits_for(options.max_bytes, directory.space());
  limits.min_free = options.min_free.value_or(limits.min_free);
  return limits;
}

}  // namespace

std::shared_ptr<DiskCache> DiskCache::open(const Options& options) {
  return std::shared_ptr<DiskCache>(new DiskCache(options));
}

DiskCache::DiskCache(const Options& options)
    : options_(options),
      directory_(std::make_shared<const CacheDirectory>(CacheDirectory::open(options.directory))),
      health_(std::make_shared<DiskHealth>(options.directory.string())),
      quota_(directory_, limits_of(options, *directory_)),
      writer_(std::make_unique<DiskWriter>([this](std::uint64_t bytes) { written(bytes); })) {}

DiskCache::~DiskCache() {
  stop();
  writer_.reset();
  health_->attempt([this] {
    if (quota_.settle() != DiskQuota::State::Fine || is_eviction_due_) quota_.evict();
  });
}

void DiskCache::stop() {
  poller_.stop();
  workers_.stop();
}

std::shared_ptr<ContentHandle> DiskCache::content(const ContentName& name, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<ContentHandle>& known = contents_[name.file_name()];
  std::shared_ptr<ContentHandle> handle = known.lock();
  if (!handle) {
    handle = std::make_shared<ContentHandle>(directory_, health_, name, size);
    known = handle;
    constexpr std::size_t kEnough = 1024;
    if (contents_.size() % kEnough == 0) {
      std::erase_if(contents_, [](const auto& each) { return each.second.expired(); });
    }
  }
  return handle;
}

void DiskCache::run(Priority priority, std::function<void()> work) {
  workers_.submit(priority, std::move(work));
}

void DiskCache::written(std::uint64_t bytes) {
  const DiskQuota::State state = quota_.add(bytes);
  if (state == DiskQuota::State::Fine) return;
  if (state == DiskQuota::State::NoDiskSpace) {
    health_->pause_writing("little space is left on its file system");
  }
  if (is_eviction_due_.exchange(true)) return;
  workers_.submit(Priority::Background, [this] {
    health_->attempt([this] { quota_.evict(); });
    is_eviction_due_ = false;
  });
}

}  // namespace red
