#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace red {

class MountedTree;

struct FuseOptions {
  std::string source;  ///< the mount table's first column
  bool allow_other = false;
  bool debug = false;
};

/// A mounted FUSE session that shows one MountedTree: requests in, answers out, Error to errno. The
/// only place that knows libfuse.
class FuseSession {
 public:
  /// Mounts. Throws Error{Mount} with the reason and what to do. `on_ready` is called once, from a
  /// session thread, when the kernel has accepted the mount.
  FuseSession(MountedTree& tree, const std::filesystem::path& mount_point,
              const FuseOptions& options, std::function<void()> on_ready);
  /// Unmounts if still mounted.
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  /// Serves until the mount is gone or request_exit() was called; then every open request has been
  /// answered.
  void run();

  /// Makes run() return soon. Thread-safe, not for signal handlers.
  void request_exit();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace red
