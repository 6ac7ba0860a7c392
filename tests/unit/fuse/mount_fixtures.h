#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "common/unique_fd.h"
#include "fuse/mount_table.h"
#include "fuse/process_handle.h"

namespace red::testing {

/// Removed at the end with all that is in it; what is mounted below it is detached first.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern =
        (std::filesystem::canonical(std::filesystem::temp_directory_path()) / "mountXXXXXX")
            .string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    const MountTable table = read_mount_table();
    for (auto entry = table.rbegin(); entry != table.rend(); ++entry) {
      if (entry->mount_point.string().starts_with(path_.string() + "/")) {
        ::umount2(entry->mount_point.c_str(), MNT_DETACH);
      }
    }
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path make(const std::string& name) const {
    std::filesystem::create_directory(path_ / name);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// A child process that runs `work`; killed at the end of its life here.
class ChildProcess {
 public:
  explicit ChildProcess(const std::function<int()>& work) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(work());
  }
  ~ChildProcess() {
    if (!reaped_) kill_child(pid_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// Its exit code; -1 if it was killed or has not ended within the time.
  int wait(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto status = wait_for_child(pid_, limit);
    reaped_ = status.has_value();
    return status && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
  }

 private:
  pid_t pid_;
  bool reaped_ = false;
};

/// Waits for what no event tells.
inline bool eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

inline bool is_our_mount(const std::filesystem::path& path) {
  const MountTable table = read_mount_table();
  const MountEntry* top = find_top_mount(table, path);
  return top != nullptr && top->is_ours();
}

/// A mount of our type whose daemon answers nothing, like that of a server that stalls for ever;
/// dead once its device is closed.
class SilentMount {
 public:
  explicit SilentMount(std::filesystem::path path)
      : path_(std::move(path)), device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    const std::string options = "fd=" + std::to_string(device_.get()) +
                                ",rootmode=40000,user_id=" + std::to_string(::geteuid()) +
                                ",group_id=" + std::to_string(::getegid());
    mounted_ = ::mount("somewhere", path_.c_str(), std::string(kMountType).c_str(), 0,
                       options.c_str()) == 0;
  }
  ~SilentMount() {
    device_.reset();
    if (is_our_mount(path_)) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SilentMount(const SilentMount&) = delete;
  SilentMount& operator=(const SilentMount&) = delete;

  bool mounted() const { return mounted_; }
  void kill_daemon() { device_.reset(); }
  MountEntry entry() const {
    const MountTable table = read_mount_table();
    return *find_top_mount(table, path_);
  }

 private:
  std::filesystem::path path_;
  UniqueFd device_;
  bool mounted_ = false;
};

inline bool can_mount_as_root() {
  return ::geteuid() == 0 && UniqueFd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
}

}  // namespace red::testing
