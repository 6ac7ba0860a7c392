#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace red::testing {

/// A new directory that every user can enter, and that goes away with all it holds. Mounts below it
/// are detached first, so that removing it never reaches a mounted tree.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Where all temporary directories of a process lie; the names of its own start with `prefix`.
std::filesystem::path temporary_root();
std::string temporary_prefix(int process);

/// Whether something is mounted exactly there. Never touches the mounted file system.
bool is_mounted(const std::filesystem::path& directory);

/// What is mounted at or below `directory`, lower ones of a stack included.
std::vector<std::string> mounts_below(const std::filesystem::path& directory);

/// Detaches every mount at or below `directory`, whatever its server does.
void detach_mounts_below(const std::filesystem::path& directory);

}  // namespace red::testing
