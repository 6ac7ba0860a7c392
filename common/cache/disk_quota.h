#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/cache/cache_directory.h"

namespace red {

/// Keeps the contents of a cache directory within its bounds, together with all other processes
/// that do the same. Thread-safe; calls touch the disk and throw Error{LocalIo}, but wait for
/// nobody.
class DiskQuota {
 public:
  struct Limits {
    std::uint64_t max_bytes = 0;  ///< of the disk, for all contents
    std::uint64_t min_free = 0;   ///< bytes of the file system that stay free
  };
  /// 10 GiB, or a tenth of the file system if that is less, unless given; the larger of 1 GiB and a
  /// twentieth of the file system stays free.
  static Limits limits_for(std::optional<std::uint64_t> max_bytes,
                           const CacheDirectory::Space& space);

  DiskQuota(std::shared_ptr<const CacheDirectory> directory, const Limits& limits);

  enum class State {
    Fine,
    Full,         ///< something has to go
    NoDiskSpace,  ///< and until then nothing must be written
  };
  /// So many bytes more have been taken. The others are told now and then.
  State add(std::uint64_t bytes);
  /// Tells the others what they have not been told yet.
  State settle();

  /// Removes what was used least recently, a little more than necessary: whole contents that nobody
  /// has open first, and of these the versions that have been followed by another; then parts of
  /// those in use. Does nothing while another process does it.
  void evict();

 private:
  class Scan;

  std::uint64_t add_to_usage(std::uint64_t bytes);
  void write_usage(std::uint64_t bytes);

  const std::shared_ptr<const CacheDirectory> directory_;
  const Limits limits_;
  const std::uint64_t step_;  ///< bytes that are not yet told to the others

  std::mutex mutex_;
  std::uint64_t untold_ = 0;  ///< guarded by mutex_
};

}  // namespace red
