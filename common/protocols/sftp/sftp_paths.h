#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_wire.h"
#include "common/remote/entry.h"
#include "common/remote/remote_path.h"

namespace red {

/// Where the files of an access form are on its server.
class SftpPaths {
 public:
  explicit SftpPaths(const SftpAccess& access);

  /// As the server takes it: absolute, or from the home directory, which is where SFTP begins.
  std::string on_server(const RemotePath& path) const;
  /// A URL for people.
  std::string location(const RemotePath& path) const;

 private:
  std::string root_;
  std::string server_;  ///< sftp://host:port
};

/// "a" + "b" -> "a/b", with one slash between them.
std::string join_paths(std::string_view directory, std::string_view name);

/// What an SFTP server tells of a file; nothing for what is neither file, directory nor link.
std::optional<Entry> to_entry(std::string name, const SftpAttributes& attributes);

/// The times of SFTP have full seconds.
std::optional<FileTime> modified_of(const SftpAttributes& attributes);

}  // namespace red
