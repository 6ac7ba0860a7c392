#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/remote/remote_path.h"
#include "transfer/local_files.h"
#include "transfer/local_tree.h"

namespace red {

/// A tree that grows in a private directory inside of its target, and moves to its place when it
/// is whole and right; until then, and on every failure, nobody sees anything of it. Paths are
/// resolved without following symbolic links, here as in the target. Not thread-safe. Failures are
/// Error{LocalIo}; of what the tree must not hold, Error{Protocol}.
class StagedTree {
 public:
  /// `target` may be a link to a directory; its last component is made if missing.
  explicit StagedTree(const std::filesystem::path& target);
  /// Takes away what has not been moved, and the target if it was made here and is empty.
  ~StagedTree();
  StagedTree(const StagedTree&) = delete;
  StagedTree& operator=(const StagedTree&) = delete;

  /// The private directory.
  const FileDescriptor& directory() const { return *stage_directory_; }
  const std::filesystem::path& path() const { return stage_path_; }

  // What comes later under a name replaces what was there, but never a directory something else or
  // the other way round.

  /// The attributes are set at the very end.
  void add_directory(const RemotePath& path, const LocalAttributes& attributes);
  /// To be written and committed.
  std::unique_ptr<LocalTarget> new_file(const RemotePath& path);
  /// `text` is what the link says, raw.
  void add_symlink(const RemotePath& path, const std::string& text,
                   const LocalAttributes& attributes);
  /// A further name for a file of this tree.
  void add_hard_link(const RemotePath& path, const RemotePath& existing);

  /// Throws if a symbolic link leads out of the tree, be it by way of others, or may once what it
  /// names is there.
  void check_symlinks(const std::stop_token& stop) const;

  /// Puts everything into the target. Files and links that are there already are replaced,
  /// directories are merged and keep their attributes; what stands in the way is noticed before
  /// anything has moved.
  void move_into_place();

 private:
  struct Position;

  std::string free_name(const FileDescriptor& directory, const RemotePath& path);
  void remember(const RemotePath& path);
  std::optional<std::string> read_link(const std::string& path) const;
  bool leads_out(const RemotePath& link) const;
  void check_merge(const FileDescriptor& from, const FileDescriptor& to, const RemotePath& path);
  void merge(const FileDescriptor& from, const FileDescriptor& to, const RemotePath& path);

  // set once
  LocalTree target_;
  const std::string stage_name_;
  const std::filesystem::path stage_path_;
  const std::shared_ptr<const FileDescriptor> stage_directory_;
  LocalTree stage_;

  std::map<RemotePath, LocalAttributes> directories_;
  std::vector<RemotePath> symlinks_;
  std::uint64_t remembered_bytes_ = 0;
  mutable std::uint64_t lookups_ = 0;  ///< of check_symlinks()
  bool is_in_place_ = false;
};

}  // namespace red
