#include "transfer/local_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

constexpr std::size_t kMaxDepth = 256;

using Identity = std::pair<dev_t, ino_t>;

[[noreturn]] void throw_unusable(const std::filesystem::path& path, const char* why) {
  throw Error(ErrorKind::LocalIo, "reading " + path.string() + ": " + why);
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return status;
  const int error = errno;
  struct stat link {};
  if (error == ENOENT && ::lstat(path.c_str(), &link) == 0) {
    throw_unusable(path, "a symbolic link to something that does not exist");
  }
  throw Error::local_io(error, "reading " + path.string());
}

/// `above`: the directories that hold this one, and itself.
void add_children(LocalNode& directory, std::vector<Identity>& above) {
  const struct stat status = status_of(directory.local);
  const Identity identity(status.st_dev, status.st_ino);
  if (std::find(above.begin(), above.end(), identity) != above.end()) {
    throw_unusable(directory.local, "a symbolic link back to a directory that holds it");
  }
  if (above.size() >= kMaxDepth) throw_unusable(directory.local, "too many directories deep");
  above.push_back(identity);
  for (const std::string& name : names_in(*open_directory(directory.local), directory.local)) {
    LocalNode node = look_at_local(directory.local / name, directory.path.child(name));
    if (node.is_directory) add_children(node, above);
    directory.children.push_back(std::move(node));
  }
  above.pop_back();
}

}  // namespace

std::vector<std::string> names_in(const FileDescriptor& directory, const std::string& shown_name) {
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  const int opened = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, Close> stream(opened < 0 ? nullptr : ::fdopendir(opened));
  if (!stream) throw Error::local_io(errno, "reading the directory " + shown_name);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (RemotePath::is_valid_name(entry->d_name)) names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) throw Error::local_io(errno, "reading the directory " + shown_name);
  std::sort(names.begin(), names.end());
  return names;
}

LocalNode look_at_local(const std::filesystem::path& local, RemotePath path) {
  const struct stat status = status_of(local);
  LocalNode node;
  node.path = std::move(path);
  node.local = local;
  node.is_directory = S_ISDIR(status.st_mode);
  node.attributes = attributes_of(status);
  if (!node.is_directory) {
    if (!S_ISREG(status.st_mode)) throw_unusable(local, "neither a file nor a directory");
    node.size = static_cast<std::uint64_t>(status.st_size);
  }
  if (::access(local.c_str(), R_OK) != 0) throw Error::local_io(errno, "reading " + local.string());
  return node;
}

LocalNode walk_local_tree(const std::filesystem::path& root) {
  LocalNode tree = look_at_local(root, {});
  if (!tree.is_directory) throw_unusable(root, "not a directory");
  std::vector<Identity> above;
  add_children(tree, above);
  return tree;
}

}  // namespace red
