#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "common/keyed_hash.h"
#include "common/unique_fd.h"

namespace red {

/// The directory of a cache on disk: whose it is, who may share it, and the key of its names.
/// What is not this user's alone, nor shared on purpose, and what is on a network file system is
/// refused. Immutable, hence thread-safe.
class CacheDirectory {
 public:
  /// Makes what is missing of `directory`, and the directory of this format inside it. Throws why
  /// there can be no cache: Error{PermissionDenied}, Error{Unsupported}, Error{LocalIo}.
  static CacheDirectory open(const std::filesystem::path& directory);

  /// Throws why `directory`, which exists, cannot hold a cache. Makes nothing.
  static void check(const std::filesystem::path& directory);

  int fd() const noexcept { return directory_.get(); }
  const HashValue& key() const noexcept { return key_; }

  /// An opened directory below this one, made if it is missing. Throws Error{LocalIo}.
  UniqueFd open_directory(const std::string& name) const;
  /// Opens a file for reading and writing, made if it is missing; a symbolic link is refused.
  /// `path` is relative to this directory. Throws Error{LocalIo}.
  UniqueFd open_file(const std::string& path) const;

  struct Space {
    std::uint64_t total = 0;  ///< bytes
    std::uint64_t free = 0;   ///< bytes that this user may still use
  };
  /// Of the file system. Throws Error{LocalIo}.
  Space space() const;

 private:
  CacheDirectory(UniqueFd directory, mode_t shared_bits);

  UniqueFd directory_;
  mode_t shared_bits_;  ///< what others may do with what is made here, as bits of the "other" class
                        ///< and the group's; 0: private
  HashValue key_{};
};

}  // namespace red
