#include "common/protocols/sftp/sftp_links.h"

#include <algorithm>
#include <utility>

#include "common/logging.h"
#include "common/protocols/sftp/sftp_gather.h"

namespace red {
namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (!part.empty() && part != ".") parts.push_back(part);
  }
  return parts;
}

/// The shortest way from one directory of the tree to another place in it. It only climbs through
/// directories that are real ones in a mount, and never above the root.
std::string way(const RemotePath& from, const std::vector<std::string_view>& to) {
  const std::vector<std::string_view> start = from.components();
  const auto [at, onward] = std::ranges::mismatch(start, to);
  std::string path;
  const auto add = [&path](std::string_view part) {
    if (!path.empty()) path += '/';
    path += part;
  };
  for (auto each = at; each != start.end(); ++each) add("..");
  for (auto each = onward; each != to.end(); ++each) add(*each);
  return path.empty() ? "." : path;
}

/// What follows `root` in `path`; nothing if that is not below it.
std::optional<std::string_view> below(std::string_view root, std::string_view path) {
  while (root.ends_with('/')) root.remove_suffix(1);
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

bool has_way_up(const std::vector<std::string_view>& parts) {
  return std::ranges::find(parts, "..") != parts.end();
}

/// Whether a failure is the link's alone: it leads nowhere, or where this user may not look. Its
/// neighbours have nothing to do with that.
bool is_about_the_link(const Error& error) {
  return !error.retryable() && error.kind() != ErrorKind::Cancelled &&
         error.kind() != ErrorKind::Authentication;
}

}  // namespace

SftpLinks::SftpLinks(std::shared_ptr<SftpClient> client, const SftpPaths& paths, Policy policy)
    : client_(std::move(client)), paths_(paths), policy_(policy) {}

void SftpLinks::resolve(const RemotePath& directory, std::vector<Entry>& entries,
                        const RequestContext& context) {
  std::vector<Entry*> open;
  for (Entry& entry : entries) {
    if (entry.kind == EntryKind::Symlink) open.push_back(&entry);
  }
  if (open.empty()) return;
  if (policy_ == Policy::Follow) {
    follow(directory, open, context);
  } else if (tells_links_truly(context)) {
    // Most need no more than that.
    read_targets(directory, open, context);
    follow(directory, without_target(open), context);
  } else {
    follow(directory, open, context);
    // What leads nowhere.
    read_targets(directory, without_target(open), context);
  }
  std::erase_if(entries, [](const Entry& entry) {
    return entry.kind == EntryKind::Symlink && entry.link_target.empty();
  });
}

std::vector<Entry*> SftpLinks::without_target(std::vector<Entry*> entries) {
  std::erase_if(entries, [](const Entry* entry) {
    return entry->kind != EntryKind::Symlink || !entry->link_target.empty();
  });
  return entries;
}

bool SftpLinks::is_hidden_link(const RemotePath& path, const RequestContext& context) {
  if (tells_links_truly(context)) return false;
  try {
    client_->read_link(on_server(path), context);
    return true;
  } catch (const Error& error) {
    if (!is_about_the_link(error)) throw;
    return false;
  }
}

std::string SftpLinks::text_from(const RemotePath& link, const RemotePath& directory,
                                 const RequestContext& context) {
  const std::string target = client_->read_link(on_server(link), context);
  return safe_target(directory, target, context).value_or(target);
}

/// ProFTPD tells a path that it has made of a link's text, which need not be where the link leads,
/// and what it tells of a link that leads somewhere is of the file there.
bool SftpLinks::tells_links_truly(const RequestContext& context) {
  {
    const std::lock_guard lock(mutex_);
    if (tells_links_truly_) return *tells_links_truly_;
  }
  const bool is_true = client_->connect(context).banner.find("mod_sftp") == std::string::npos;
  const std::lock_guard lock(mutex_);
  tells_links_truly_ = is_true;
  return is_true;
}

/// Links whose text tells that they stay inside need no more.
void SftpLinks::read_targets(const RemotePath& directory, const std::vector<Entry*>& entries,
                             const RequestContext& context) {
  struct Answer {
    std::string target;
    std::optional<Error> error;
  };
  std::vector<Answer> answers(entries.size());
  SftpGather gather;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    gather.begin();
    client_->read_link(on_server(directory.child(entries[i]->name)), context,
                       [&, i](const Error* error, std::string target) {
                         if (error != nullptr) answers[i].error = *error;
                         answers[i].target = std::move(target);
                         gather.end();
                       });
  }
  gather.wait();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (answers[i].error && !is_about_the_link(*answers[i].error)) throw Error(*answers[i].error);
    if (auto safe = safe_target(directory, answers[i].target, context)) {
      entries[i]->link_target = std::move(*safe);
    }
  }
}

/// A text is safe if, whatever the other names on the way are, it never climbs above the root: all
/// its steps up come first, or it is absolute and begins with the root.
std::optional<std::string> SftpLinks::safe_target(const RemotePath& directory,
                                                  const std::string& target,
                                                  const RequestContext& context) {
  if (target.empty() || is_below_a_link(directory)) return std::nullopt;
  const std::size_t depth = directory.components().size();
  if (!target.starts_with('/')) {
    std::vector<std::string_view> parts = split(target);
    std::size_t up = 0;
    while (up < parts.size() && parts[up] == "..") ++up;
    parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(up));
    if (up > depth || has_way_up(parts)) return std::nullopt;
    return target;
  }
  std::optional<std::string_view> rest = below(real_root(context), target);
  const std::string root = paths_.on_server({});
  if (!rest && root.starts_with('/')) rest = below(root, target);
  if (!rest || has_way_up(split(*rest))) return std::nullopt;
  return way(directory, split(*rest));
}

void SftpLinks::follow(const RemotePath& directory, const std::vector<Entry*>& entries,
                       const RequestContext& context) {
  if (entries.empty()) return;
  const std::string& root = real_root(context);
  std::vector<Link> links(entries.size());
  SftpGather gather;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string path = on_server(directory.child(entries[i]->name));
    gather.begin();
    client_->stat(path, context, [&, i](const Error* error, SftpAttributes found) {
      if (error != nullptr) {
        links[i].error = *error;
      } else {
        links[i].leads_to = found;
      }
      gather.end();
    });
    gather.begin();
    client_->real_path(path, context, [&, i](const Error* error, std::string real_path) {
      if (error == nullptr) links[i].real_path = std::move(real_path);
      gather.end();
    });
  }
  gather.wait();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const RemotePath path = directory.child(entries[i]->name);
    if (links[i].error && !is_about_the_link(*links[i].error)) {
      throw links[i].error->within("following the link " + paths_.location(path));
    }
    const auto inside = below(root, links[i].real_path);
    if (policy_ == Policy::KeepInside && inside && !links[i].real_path.empty()) {
      entries[i]->link_target = way(directory, split(*inside));
    } else {
      show_what_it_leads_to(path, *entries[i], links[i]);
    }
  }
}

void SftpLinks::show_what_it_leads_to(const RemotePath& path, Entry& entry, const Link& link) {
  const auto leave_out = [&](const char* why) {
    log(policy_ == Policy::Follow ? LogLevel::Warning : LogLevel::Info,
        paths_.location(path) + ": left out: " + why);
  };
  if (link.error && link.error->kind() == ErrorKind::PermissionDenied) {
    return leave_out("the link leads to something that must not be looked at");
  }
  if (!link.leads_to) return leave_out("the link leads to nothing");
  auto shown = to_entry(entry.name, *link.leads_to);
  if (!shown) return leave_out("the link leads to something that is neither file nor directory");
  if (shown->kind == EntryKind::Directory) {
    if (link.real_path.empty()) return leave_out("the server does not say where the link leads");
    if (const auto ancestor = find_on_the_way(path.parent(), link.real_path)) {
      if (policy_ == Policy::Follow) {
        return leave_out("the link leads back to a directory that holds it");
      }
      std::vector<std::string_view> parts = path.components();
      parts.resize(*ancestor);
      entry.link_target = way(path.parent(), parts);
      return;
    }
    const std::lock_guard lock(mutex_);
    real_paths_[path] = link.real_path;
  }
  entry = std::move(*shown);
}

/// How deep in the tree the directory of that real path is, if it is the given one or holds it.
std::optional<std::size_t> SftpLinks::find_on_the_way(const RemotePath& directory,
                                                      const std::string& real_path) const {
  const std::lock_guard lock(mutex_);
  RemotePath path;
  std::string real = real_root_;
  if (real == real_path) return 0;
  std::size_t depth = 0;
  for (const std::string_view name : directory.components()) {
    path = path.child(name);
    ++depth;
    const auto known = real_paths_.find(path);
    real = known != real_paths_.end() ? known->second : join_paths(real, name);
    if (real == real_path) return depth;
  }
  return std::nullopt;
}

std::string SftpLinks::on_server(const RemotePath& path) const {
  const std::lock_guard lock(mutex_);
  std::string below;
  for (RemotePath at = path; !at.is_root(); at = at.parent()) {
    const auto known = real_paths_.find(at);
    if (known != real_paths_.end()) return known->second + below;
    below.insert(0, "/" + std::string(at.name()));
  }
  return paths_.on_server(path);
}

bool SftpLinks::is_below_a_link(const RemotePath& directory) const {
  const std::lock_guard lock(mutex_);
  for (RemotePath path = directory; !path.is_root(); path = path.parent()) {
    if (real_paths_.contains(path)) return true;
  }
  return false;
}

const std::string& SftpLinks::real_root(const RequestContext& context) {
  {
    const std::lock_guard lock(mutex_);
    if (!real_root_.empty()) return real_root_;
  }
  std::string real = client_->real_path(paths_.on_server({}), context);
  const std::lock_guard lock(mutex_);
  if (real_root_.empty()) real_root_ = std::move(real);
  return real_root_;
}

}  // namespace red
