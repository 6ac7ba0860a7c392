#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "common/cache/cached_file.h"
#include "common/cache/read_ahead.h"

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
  OpenFile(std::shared_ptr<CachedFile> file, std::string path, ReadAheadBudget* budget);
  /// Calls off what was read ahead for this handle.
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  /// As CachedFile::read; reads ahead as the pattern suggests.
  std::function<void(const Error&)> read(ByteRange range, CachedFile::Completion completion);

  const std::string& path() const noexcept { return path_; }

 private:
  void read_ahead(ByteRange range);

  const std::shared_ptr<CachedFile> file_;
  const std::string path_;
  ReadAheadBudget* const budget_;  ///< null: nothing is read ahead
  std::stop_source stop_;

  std::mutex mutex_;
  // guarded by mutex_
  ReadAheadPolicy policy_;
  bool is_stream_ = false;
};

}  // namespace red
