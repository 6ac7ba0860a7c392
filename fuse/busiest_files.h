#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"

namespace red {

/// What was read of one file. Of a file that was forgotten in between: since then.
struct FileReads {
  std::string path;
  std::uint64_t reads = 0;
  std::uint64_t bytes = 0;  ///< that readers got
  Duration waited{};        ///< by all its readers together
};

/// What one open handle reads. Thread-safe.
class FileUse {
 public:
  explicit FileUse(std::string path) : path_(std::move(path)) {}

  void add_read(std::uint64_t bytes, Duration waited) noexcept;
  FileReads reads() const;

 private:
  const std::string path_;
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<Duration::rep> waited_{0};
};

/// Which files most bytes were read of, in bounded memory however many files there are: the heavy
/// hitters by the space-saving algorithm (Metwally, Agrawal, El Abbadi, 2005). No file with more
/// than one part in `max_remembered` of all bytes is missed. Thread-safe.
class BusiestFiles {
 public:
  explicit BusiestFiles(std::size_t max_remembered = 512) : max_remembered_(max_remembered) {}

  /// For a handle that is being opened. This must outlive the handle.
  std::shared_ptr<FileUse> open(std::string path);
  std::size_t open_count() const;

  /// The first by bytes, those that are open included.
  std::vector<FileReads> busiest(std::size_t count) const;

 private:
  struct Remembered {
    FileReads reads;
    std::uint64_t inherited = 0;  ///< bytes of files that had to make room for it
  };
  using Files = std::unordered_map<std::string, Remembered>;

  void closed(FileUse* use);
  static void add(Remembered& to, const FileReads& reads);
  std::uint64_t forget_least();

  const std::size_t max_remembered_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  Files files_;
  std::set<FileUse*> open_;
};

}  // namespace red
