#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/ssh_access.h"
#include "tests/servers/ssh_server.h"
#include "tests/support/file_tree.h"

namespace red::testing {

/// A time long before the tests, as a second that every protocol can tell.
constexpr time_t kLongAgo = 987'654'321;

/// Mounts directories of SFTP servers.
class SshMountFixture : public MountFixture {
 protected:
  SshMountFixture() : MountFixture("red-connector-ssh") {}

  /// mount-dir of what the server's clients call `directory` in its root().
  Outcome mount_of(const SshServer& server, const std::string& directory = "") {
    return mount(access_to(server, "dirPath", server.path_of(directory)));
  }
  Outcome mount_writable(const SshServer& server, const std::string& directory = "") {
    return mount(writable(access_to(server, "dirPath", server.path_of(directory))));
  }
  static Json writable(Json access) {
    access["writable"] = true;
    return access;
  }
};

/// Puts files on the server that belong to its account.
inline void serve(const SshServer& server, const FileTree& tree) {
  write_tree(server.root(), tree);
  server.own_root();
}

/// The error number of a system call that has just returned `result`, 0 for none.
inline int error_of(long result) { return result < 0 ? errno : 0; }

/// Of the path itself, also of a link.
inline struct stat status_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(error_of(::lstat(path.c_str(), &status)), 0) << path;
  return status;
}

inline mode_t mode_of(const std::filesystem::path& path) {
  return status_of(path).st_mode & 07777u;
}
inline time_t time_of(const std::filesystem::path& path) { return status_of(path).st_mtime; }

inline void set_mode(const std::filesystem::path& path, mode_t mode) {
  ASSERT_EQ(error_of(::chmod(path.c_str(), mode)), 0) << path;
}
inline void set_time(const std::filesystem::path& path, time_t time) {
  const timespec times[] = {{time, 0}, {time, 0}};
  ASSERT_EQ(error_of(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW)), 0) << path;
}

}  // namespace red::testing
