#pragma once

#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "common/remote/remote_path.h"
#include "transfer/local_files.h"

namespace red {

/// A local directory that a remote tree is received into. Nothing below its root leads out of it:
/// symbolic links in the place of directories are errors. Thread-safe. Failures are Error{LocalIo}.
class LocalTree {
 public:
  /// `root` may be a link to a directory; its last component is made if missing.
  explicit LocalTree(std::filesystem::path root);
  /// An open directory, called `shown_root` in messages.
  LocalTree(std::shared_ptr<const FileDescriptor> root, std::filesystem::path shown_root)
      : root_path_(std::move(shown_root)), root_(std::move(root)) {}

  /// The directory, made with its parents where missing.
  std::shared_ptr<const FileDescriptor> directory(const RemotePath& path);
  /// A file to be written and committed; its directory is made if missing.
  std::unique_ptr<LocalTarget> new_file(const RemotePath& path);
  /// After a failure: takes the root away again if it was made here and nothing is in it.
  void remove_if_unused() const;
  /// Waits until all that was committed is on the disk.
  void sync() const;

 private:
  using Recent = std::pair<RemotePath, std::shared_ptr<const FileDescriptor>>;

  std::shared_ptr<const FileDescriptor> find_recent(const RemotePath& path);
  void remember(const RemotePath& path, std::shared_ptr<const FileDescriptor> directory);
  std::string shown_name(const RemotePath& path) const;

  // set once
  const std::filesystem::path root_path_;
  bool has_made_root_ = false;
  std::shared_ptr<const FileDescriptor> root_;

  std::mutex mutex_;
  std::list<Recent> recent_;  // guarded by mutex_; the latest first
};

}  // namespace red
