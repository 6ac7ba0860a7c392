#pragma once

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>

#include "common/error.h"
#include "common/unique_fd.h"

namespace red {

/// What a writable mount could not bring to the server, on the disk beside its record: the daemon
/// writes it, and umount-dir, which opened it before the daemon ended, reports it. Thread-safe.
class WriteLosses {
 public:
  /// Makes an empty file. Without one (a full disk) the losses are in the log only.
  explicit WriteLosses(const std::filesystem::path& path);

  /// A file is told once, however much of it is lost.
  void add(const std::string& path, const Error& error);

 private:
  std::mutex mutex_;
  // guarded by mutex_
  UniqueFd file_;
  std::size_t bytes_ = 0;
  std::set<std::string> told_;  ///< the paths
};

/// Opened before the daemon ends, read after. One line for each file; empty if there was none.
class WriteLossesReader {
 public:
  explicit WriteLossesReader(const std::filesystem::path& path);
  std::string read() const;

 private:
  UniqueFd file_;
};

}  // namespace red
