#include "transfer/local_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/error.h"
#include "transfer/printable_name.h"

namespace red {
namespace {

// Enough for the directories that are worked on at a time, far below every limit of open files.
constexpr std::size_t kRecentDirectories = 64;
constexpr mode_t kDirectoryMode = 0777;

}  // namespace

LocalTree::LocalTree(std::filesystem::path root) : root_path_(std::move(root)) {
  has_made_root_ = ::mkdir(root_path_.c_str(), kDirectoryMode) == 0;
  if (!has_made_root_ && errno != EEXIST) {
    throw Error::local_io(errno, "making the directory " + root_path_.string());
  }
  root_ = open_directory(root_path_);
}

std::shared_ptr<const FileDescriptor> LocalTree::directory(const RemotePath& path) {
  if (path.is_root()) return root_;
  if (auto recent = find_recent(path)) return recent;
  const auto parent = directory(path.parent());
  const std::string name(path.name());
  if (::mkdirat(parent->get(), name.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
    throw Error::local_io(errno, "making the directory " + shown_name(path));
  }
  auto made = std::make_shared<const FileDescriptor>(
      ::openat(parent->get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!*made) throw Error::local_io(errno, "opening the directory " + shown_name(path));
  remember(path, made);
  return made;
}

std::unique_ptr<LocalTarget> LocalTree::new_file(const RemotePath& path) {
  return std::make_unique<AtomicFile>(directory(path.parent()), std::string(path.name()),
                                      shown_name(path), Durability::ByCaller);
}

void LocalTree::remove_if_unused() const {
  if (has_made_root_) ::rmdir(root_path_.c_str());
}

void LocalTree::sync() const {
  // Once for all files: measured with 10,000 small files on ext4, 0.15 s instead of 7 s for an
  // fsync of each.
  if (::syncfs(root_->get()) != 0) throw Error::local_io(errno, "writing " + root_path_.string());
}

std::shared_ptr<const FileDescriptor> LocalTree::find_recent(const RemotePath& path) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(recent_.begin(), recent_.end(),
                                  [&](const Recent& recent) { return recent.first == path; });
  if (found == recent_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found);
  return recent_.front().second;
}

void LocalTree::remember(const RemotePath& path, std::shared_ptr<const FileDescriptor> directory) {
  const std::lock_guard lock(mutex_);
  recent_.emplace_front(path, std::move(directory));
  if (recent_.size() > kRecentDirectories) recent_.pop_back();
}

std::string LocalTree::shown_name(const RemotePath& path) const {
  return (root_path_ / printable_name(path.text())).string();
}

}  // namespace red
