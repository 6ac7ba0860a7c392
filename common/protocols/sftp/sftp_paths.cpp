#include "common/protocols/sftp/sftp_paths.h"

#include <sys/stat.h>

#include <chrono>

namespace red {
namespace {

constexpr std::uint16_t kStandardPort = 22;

/// SFTP knows no "~": a relative path begins in the home directory.
std::string without_tilde(std::string_view path) {
  if (path == "~" || path == "~/") return ".";
  if (path.starts_with("~/")) {
    path.remove_prefix(2);
    while (path.starts_with('/')) path.remove_prefix(1);
  }
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path.empty() ? "." : std::string(path);
}

}  // namespace

SftpPaths::SftpPaths(const SftpAccess& access) : root_(without_tilde(access.path)) {
  const bool is_ipv6 = access.host.find(':') != std::string::npos;
  server_ = "sftp://" + (is_ipv6 ? "[" + access.host + "]" : access.host);
  if (access.port != kStandardPort) server_ += ":" + std::to_string(access.port);
}

std::string SftpPaths::on_server(const RemotePath& path) const {
  return path.is_root() ? root_ : join_paths(root_, path.text());
}

std::string SftpPaths::location(const RemotePath& path) const {
  const std::string shown = on_server(path);
  return server_ + (shown.starts_with('/') ? shown : "/~/" + shown);
}

std::string join_paths(std::string_view directory, std::string_view name) {
  std::string joined(directory);
  if (!joined.ends_with('/')) joined += '/';
  return joined += name;
}

std::optional<FileTime> modified_of(const SftpAttributes& attributes) {
  if (!attributes.times) return std::nullopt;
  return FileTime(std::chrono::seconds(attributes.times->modified));
}

std::optional<Entry> to_entry(std::string name, const SftpAttributes& attributes) {
  Entry entry;
  entry.name = std::move(name);
  if (attributes.mode) {
    const std::uint32_t type = *attributes.mode & S_IFMT;
    entry.mode = *attributes.mode & kPermissionBits;
    if (type == S_IFDIR) {
      entry.kind = EntryKind::Directory;
    } else if (type == S_IFLNK) {
      entry.kind = EntryKind::Symlink;
    } else if (type != S_IFREG && type != 0) {
      return std::nullopt;
    }
  }
  if (entry.kind == EntryKind::File) entry.size = attributes.size;
  entry.modified = modified_of(attributes);
  entry.modified_is_exact = entry.modified.has_value();
  return entry;
}

}  // namespace red
