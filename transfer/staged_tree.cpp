#include "transfer/staged_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/error.h"
#include "transfer/local_walk.h"
#include "transfer/printable_name.h"

namespace red {
namespace {

constexpr std::size_t kNameLetters = 12;
constexpr int kMaxLinks = 40;  // as the kernel's own limit (path_resolution(7))
// Only directories and links are kept in memory, with a little more than their names.
constexpr std::uint64_t kMaxRemembered = std::uint64_t{1} << 30;
constexpr std::uint64_t kBytesAroundName = 100;
// Half a minute's worth; links of honest trees are short.
constexpr std::uint64_t kMaxLookups = 50'000'000;

std::string shown(const RemotePath& path) { return printable_name(path.text()); }

[[noreturn]] void throw_clash(const RemotePath& path) {
  throw Error(
      ErrorKind::Protocol,
      "\"" + shown(path) + "\" is a directory and, elsewhere in the archive, something else");
}

std::shared_ptr<const FileDescriptor> open_below(const FileDescriptor& directory,
                                                 const std::string& name, const RemotePath& path) {
  auto opened = std::make_shared<const FileDescriptor>(
      ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!*opened) throw Error::local_io(errno, "opening the directory " + shown(path));
  return opened;
}

/// Of whatever has the name, links not followed; nothing if there is nothing.
std::optional<mode_t> type_of(const FileDescriptor& directory, const std::string& name) {
  struct stat status {};
  if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::nullopt;
  }
  return status.st_mode & S_IFMT;
}

bool is_directory(std::optional<mode_t> type) { return type && S_ISDIR(*type); }

std::string make_private_directory(LocalTree& target) {
  const auto root = target.directory({});
  for (;;) {
    const std::string name = ".red-" + random_letters(kNameLetters);
    if (::mkdirat(root->get(), name.c_str(), 0700) == 0) return name;
    if (errno != EEXIST) {
      const Error error = Error::local_io(errno, "making a temporary directory");
      target.remove_if_unused();
      throw Error(error);
    }
  }
}

/// Puts the components of a link's text before what is still to be followed.
void prepend(std::deque<std::string>& components, std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto slash = text.find('/');
    const std::string_view part = text.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    text = slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
  }
  components.insert(components.begin(), parts.begin(), parts.end());
}

}  // namespace

StagedTree::StagedTree(const std::filesystem::path& target)
    : target_(target),
      stage_name_(make_private_directory(target_)),
      stage_path_(target / stage_name_),
      stage_directory_(open_below(*target_.directory({}), stage_name_, {})),
      stage_(stage_directory_, target) {}

StagedTree::~StagedTree() {
  std::error_code ignored;
  std::filesystem::remove_all(stage_path_, ignored);
  if (!is_in_place_) target_.remove_if_unused();
}

void StagedTree::remember(const RemotePath& path) {
  remembered_bytes_ += path.text().size() + kBytesAroundName;
  if (remembered_bytes_ > kMaxRemembered) {
    throw Error(ErrorKind::Protocol, "the archive has too many directories and links");
  }
}

void StagedTree::add_directory(const RemotePath& path, const LocalAttributes& attributes) {
  if (path.is_root()) return;
  stage_.directory(path.parent());
  try {
    stage_.directory(path);
  } catch (const Error& error) {
    if (error.error_number() == ENOTDIR || error.error_number() == ELOOP) throw_clash(path);
    throw;
  }
  remember(path);
  directories_[path] = attributes;
}

/// Makes room for what is not a file, and returns its name.
std::string StagedTree::free_name(const FileDescriptor& directory, const RemotePath& path) {
  std::string name(path.name());
  if (::unlinkat(directory.get(), name.c_str(), 0) == 0 || errno == ENOENT) return name;
  if (is_directory(type_of(directory, name))) throw_clash(path);
  throw Error::local_io(errno, "making " + shown(path));
}

std::unique_ptr<LocalTarget> StagedTree::new_file(const RemotePath& path) {
  const auto parent = stage_.directory(path.parent());
  if (is_directory(type_of(*parent, std::string(path.name())))) throw_clash(path);
  return stage_.new_file(path);
}

void StagedTree::add_symlink(const RemotePath& path, const std::string& text,
                             const LocalAttributes& attributes) {
  const auto parent = stage_.directory(path.parent());
  const std::string name = free_name(*parent, path);
  if (::symlinkat(text.c_str(), parent->get(), name.c_str()) != 0) {
    throw Error::local_io(errno, "making the symbolic link " + shown(path));
  }
  apply_link_time(*parent, name, attributes);
  remember(path);
  symlinks_.push_back(path);
}

void StagedTree::add_hard_link(const RemotePath& path, const RemotePath& existing) {
  if (path == existing) return;
  const auto source = stage_.directory(existing.parent());
  const std::string source_name(existing.name());
  const auto type = type_of(*source, source_name);
  if (!type || !S_ISREG(*type)) {
    throw Error(ErrorKind::Protocol, "a hard link to \"" + shown(existing) +
                                         "\", which is no file of the archive that came before");
  }
  const auto parent = stage_.directory(path.parent());
  const std::string name = free_name(*parent, path);
  if (::linkat(source->get(), source_name.c_str(), parent->get(), name.c_str(), 0) != 0) {
    throw Error::local_io(errno, "making the hard link " + shown(path));
  }
}

/// The text of a link; empty if it is something else, nothing if it is not there.
std::optional<std::string> StagedTree::read_link(const std::string& path) const {
  std::array<char, PATH_MAX> text{};
  const ssize_t length =
      ::readlinkat(stage_directory_->get(), path.c_str(), text.data(), text.size());
  if (length >= 0) return std::string(text.data(), static_cast<std::size_t>(length));
  return errno == EINVAL ? std::optional<std::string>(std::in_place) : std::nullopt;
}

/// Where a link leads: follows it as the kernel would, but never out of the tree.
struct StagedTree::Position {
  std::vector<std::string> components;
  bool is_missing = false;  ///< the tree has nothing of that name: it may come to be anything

  std::string text() const {
    std::string path;
    for (const std::string& component : components) path += (path.empty() ? "" : "/") + component;
    return path;
  }
};

bool StagedTree::leads_out(const RemotePath& link) const {
  Position at;
  std::deque<std::string> ahead;
  prepend(ahead, link.text());
  for (int links = 0; !ahead.empty();) {
    std::string component = std::move(ahead.front());
    ahead.pop_front();
    if (component == "..") {
      // Behind a name that is not there, ".." could be the parent of any place.
      if (at.components.empty() || at.is_missing) return true;
      at.components.pop_back();
      continue;
    }
    at.components.push_back(std::move(component));
    if (at.is_missing) continue;
    ++lookups_;
    const auto text = read_link(at.text());
    at.is_missing = !text;
    if (!text || text->empty()) continue;
    if (text->starts_with('/')) return true;
    if (++links > kMaxLinks) return false;  // a loop: it leads nowhere
    at.components.pop_back();
    prepend(ahead, *text);
  }
  return false;
}

void StagedTree::check_symlinks(const std::stop_token& stop) const {
  for (const RemotePath& link : symlinks_) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
    if (leads_out(link)) {
      throw Error(ErrorKind::Protocol,
                  "the symbolic link \"" + shown(link) + "\" leads out of the directory");
    }
    if (lookups_ > kMaxLookups) {
      throw Error(ErrorKind::Protocol, "the symbolic links of the archive are too entangled");
    }
  }
}

void StagedTree::move_into_place() {
  const auto target = target_.directory({});
  check_merge(*stage_directory_, *target, {});
  merge(*stage_directory_, *target, {});
  // Last, since they may forbid what was still to be done; children before their parents.
  for (auto made = directories_.rbegin(); made != directories_.rend(); ++made) {
    apply_attributes(target_.directory(made->first)->get(), made->second, shown(made->first));
  }
  target_.sync();
  is_in_place_ = true;
}

void StagedTree::check_merge(const FileDescriptor& from, const FileDescriptor& to,
                             const RemotePath& path) {
  if (::faccessat(to.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    throw Error::local_io(errno, "writing into the directory " + shown(path));
  }
  for (const std::string& name : names_in(from, shown(path))) {
    const auto existing = type_of(to, name);
    if (!existing) continue;
    const RemotePath below = path.child(name);
    const bool is_new_directory = is_directory(type_of(from, name));
    if (is_new_directory != is_directory(existing)) {
      throw Error::local_io(is_new_directory ? ENOTDIR : EISDIR, "replacing " + shown(below));
    }
    if (is_new_directory) {
      check_merge(*open_below(from, name, below), *open_below(to, name, below), below);
    }
  }
}

void StagedTree::merge(const FileDescriptor& from, const FileDescriptor& to,
                       const RemotePath& path) {
  for (const std::string& name : names_in(from, shown(path))) {
    const RemotePath below = path.child(name);
    if (is_directory(type_of(from, name)) && type_of(to, name)) {
      directories_.erase(below);
      merge(*open_below(from, name, below), *open_below(to, name, below), below);
    } else if (::renameat(from.get(), name.c_str(), to.get(), name.c_str()) != 0) {
      throw Error::local_io(errno, "making " + shown(below));
    }
  }
}

}  // namespace red
