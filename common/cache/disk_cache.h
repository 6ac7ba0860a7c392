#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/cache/content_handle.h"
#include "common/cache/disk_quota.h"
#include "common/cache/disk_writer.h"
#include "common/cache/poller.h"
#include "common/worker_pool.h"

namespace red {

/// This process' part in a cache on disk that it shares with others (DISK_CACHE.md): the contents
/// that it has open, and the threads that touch the disk. Thread-safe; must be held by a
/// shared_ptr.
class DiskCache : public std::enable_shared_from_this<DiskCache> {
 public:
  struct Options {
    std::filesystem::path directory;
    std::optional<std::uint64_t> max_bytes = {};  ///< nothing: as DiskQuota::limits_for() says
    std::optional<std::uint64_t> min_free = {};   ///< likewise
    /// A claim of somebody else that brings nothing for so long is not waited for.
    Duration stall_limit = std::chrono::seconds(5);
  };

  /// Throws why there can be no cache in the directory (CacheDirectory::open()).
  static std::shared_ptr<DiskCache> open(const Options& options);
  /// Writes what has come.
  ~DiskCache();
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  /// Ends what waits; later calls do nothing. Not to be called on one of its threads.
  void stop();

  const HashValue& key() const noexcept { return directory_->key(); }
  Duration stall_limit() const noexcept { return options_.stall_limit; }

  std::shared_ptr<ContentHandle> content(const ContentName& name, std::uint64_t size);

  /// On a thread that may touch the disk. Dropped, with what it holds, if the cache has stopped.
  void run(Priority priority, std::function<void()> work);
  Poller& poller() noexcept { return poller_; }
  DiskWriter& writer() noexcept { return *writer_; }
  /// False: the disk is left alone for now.
  bool is_writable() const noexcept { return health_->is_writable(); }

 private:
  explicit DiskCache(const Options& options);
  void written(std::uint64_t bytes);

  static constexpr std::size_t kMaxWorkers = 16;

  const Options options_;
  const std::shared_ptr<const CacheDirectory> directory_;
  const std::shared_ptr<DiskHealth> health_;
  DiskQuota quota_;
  std::atomic<bool> is_eviction_due_{false};

  std::mutex mutex_;
  /// By their file names; guarded by mutex_.
  std::map<std::string, std::weak_ptr<ContentHandle>> contents_;

  WorkerPool workers_{kMaxWorkers};
  Poller poller_;
  std::unique_ptr<DiskWriter> writer_;
};

}  // namespace red
