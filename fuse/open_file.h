#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "common/cache/cached_file.h"
#include "common/cache/content_check.h"
#include "common/cache/read_ahead.h"
#include "fuse/edited_file.h"
#include "fuse/mount_stats.h"

namespace red {

/// Shares the memory for reading ahead among the streams of a mount.
class ReadAheadBudget {
 public:
  explicit ReadAheadBudget(std::uint64_t cache_bytes) : bytes_(cache_bytes / 2) {}

  void add_stream() { streams_.fetch_add(1, std::memory_order_relaxed); }
  void remove_stream() { streams_.fetch_sub(1, std::memory_order_relaxed); }
  /// Bytes that one stream may be ahead.
  std::uint64_t share() const;

 private:
  const std::uint64_t bytes_;
  std::atomic<std::uint32_t> streams_{0};
};

/// What one open handle remembers. Thread-safe: the kernel reads one handle in parallel.
class OpenFile {
 public:
  /// `check` is null if nothing is promised about the content; `budget` is null if nothing is to be
  /// read ahead. `counters` must outlive this and its reads.
  OpenFile(std::shared_ptr<CachedFile> file, std::shared_ptr<ContentCheck> check, std::string path,
           ReadAheadBudget* budget, MountCounters& counters);
  /// Of a file that is being written; `writes`: by this handle, too.
  OpenFile(std::shared_ptr<EditedFile> edited, std::string path, bool writes,
           MountCounters& counters);
  /// Calls off what was read ahead for this handle.
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  /// As CachedFile::read; reads ahead as the pattern suggests.
  std::function<void(const Error&)> read(ByteRange range, CachedFile::Completion completion);

  /// Somebody begins to write the file: from now on this handle reads what is written.
  void switch_to(std::shared_ptr<EditedFile> edited);
  /// Null while nobody writes the file through the mount.
  std::shared_ptr<EditedFile> edited() const;
  bool writes() const noexcept { return writes_; }

  const std::string& path() const noexcept { return path_; }

 private:
  void read_ahead(ByteRange range);
  CachedFile::Completion counted(const std::shared_ptr<OperationTimer>& timer,
                                 CachedFile::Completion completion);
  std::function<void(const Error&)> start_read(ByteRange range, CachedFile::Completion completion);

  const std::shared_ptr<CachedFile> file_;  ///< null if it was opened while it was being written
  const std::shared_ptr<ContentCheck> check_;
  const std::string path_;
  ReadAheadBudget* const budget_;  ///< null: nothing is read ahead
  const bool writes_ = false;
  MountCounters& counters_;
  const std::shared_ptr<FileUse> use_;
  std::stop_source stop_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::shared_ptr<EditedFile> edited_;
  ReadAheadPolicy policy_;
  bool is_stream_ = false;
};

}  // namespace red
