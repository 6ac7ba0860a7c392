#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/remote/remote_path.h"
#include "common/remote/remote_store.h"
#include "transfer/local_files.h"

namespace red {

/// A local file or directory that is to be sent. Its name in the remote tree is that of the link
/// that led to it, if one did.
struct LocalNode {
  RemotePath path;
  std::filesystem::path local;
  bool is_directory = false;
  std::uint64_t size = 0;  ///< bytes; files only
  LocalAttributes attributes;
  std::vector<LocalNode> children;  ///< directories only, by name
};

/// The names in an open directory, ascending. Throws Error{LocalIo}; `shown_name` is for that.
std::vector<std::string> names_in(const FileDescriptor& directory, const std::string& shown_name);

/// All that is in a directory, symbolic links followed. Throws Error{LocalIo} that names what
/// cannot be sent: a link to nothing or to a directory that holds it, a pipe, a socket, a device,
/// what the user may not read.
LocalNode walk_local_tree(const std::filesystem::path& root);

/// One file or directory, without its children; the same errors.
LocalNode look_at_local(const std::filesystem::path& local, RemotePath path);

}  // namespace red
