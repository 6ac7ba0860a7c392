#pragma once

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <string>

#include "common/error.h"
#include "fuse/unique_fd.h"

namespace red {

/// What a writable mount could not bring to the server, on the disk beside its record: the daemon
/// writes it, and umount-dir, which opened it before the daemon ended, reports it. Thread-safe.
class WriteLosses {
 public:
  /// Makes an empty file. Without one (a full disk) the losses are in the log only.
  explicit WriteLosses(const std::filesystem::path& path);

  void add(const std::string& path, const Error& error);

 private:
  std::mutex mutex_;
  // guarded by mutex_
  UniqueFd file_;
  std::size_t bytes_ = 0;
};

/// Opened before the daemon ends, read after. One line for each loss; empty if there was none.
class WriteLossesReader {
 public:
  explicit WriteLossesReader(const std::filesystem::path& path);
  std::string read() const;

 private:
  UniqueFd file_;
};

}  // namespace red
