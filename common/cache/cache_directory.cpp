#include "common/cache/cache_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

namespace fs = std::filesystem;

// With another format it has another name, so that versions can share a directory.
constexpr const char* kFormatDirectory = "red-connector-1";
constexpr const char* kKeyFile = "key";
constexpr mode_t kPrivateDirectory = 0700;
constexpr mode_t kPrivateFile = 0600;

/// File systems whose locks or whose caches do not reach the other processes at once, or that ask a
/// network themselves (statfs(2); linux/magic.h and the file systems' own sources).
constexpr std::array<std::pair<std::uint32_t, const char*>, 20> kNetworkFileSystems{{
    {0x00006969U, "NFS"},    {0xFF534D42U, "CIFS"},  {0xFE534D42U, "SMB"},
    {0x0000517BU, "SMB"},    {0x65735546U, "FUSE"},  {0x01021997U, "9p"},
    {0x0BD00BD0U, "Lustre"}, {0x47504653U, "GPFS"},  {0x19830326U, "BeeGFS"},
    {0x00C36400U, "Ceph"},   {0x5346414FU, "AFS"},   {0x6B414653U, "AFS"},
    {0x73757245U, "Coda"},   {0x0000564CU, "NCP"},   {0x7461636FU, "OCFS2"},
    {0x01161970U, "GFS2"},   {0xAAD7AAEAU, "PanFS"}, {0x20030528U, "OrangeFS"},
    {0x786F4256U, "vboxsf"}, {0x013111A8U, "IBRIX"},
}};

std::string random_name(const std::string& stem) {
  const HashValue random = random_key();
  std::string name = stem + ".";
  for (std::size_t i = 0; i < 8; ++i) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", std::to_integer<unsigned>(random[i]));
    name += hex.data();
  }
  return name;
}

UniqueFd open_directory_at(int parent, const char* name) {
  return UniqueFd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// It appears with its permissions: others may be waiting for it.
void make_directory_at(int parent, const std::string& name, mode_t mode) {
  const std::string temporary = random_name(name);
  if (::mkdirat(parent, temporary.c_str(), kPrivateDirectory) != 0) {
    throw Error::local_io(errno, "cannot make a directory");
  }
  int failure = 0;
  if (const UniqueFd made = open_directory_at(parent, temporary.c_str());
      !made || ::fchmod(made.get(), mode) != 0 ||
      ::renameat2(parent, temporary.c_str(), parent, name.c_str(), RENAME_NOREPLACE) != 0) {
    failure = errno;
  }
  if (failure == 0) return;
  ::unlinkat(parent, temporary.c_str(), AT_REMOVEDIR);
  if (failure != EEXIST) throw Error::local_io(failure, "cannot make a directory");
}

UniqueFd open_or_make_directory(int parent, const std::string& name, mode_t mode) {
  UniqueFd found = open_directory_at(parent, name.c_str());
  if (!found && errno == ENOENT) {
    make_directory_at(parent, name, mode);
    found = open_directory_at(parent, name.c_str());
  }
  if (!found) throw Error::local_io(errno, "cannot open " + name);
  return found;
}

struct stat status_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw Error::local_io(errno, "cannot look at it");
  return status;
}

void refuse_network_file_system(int fd) {
  struct statfs status {};
  if (::fstatfs(fd, &status) != 0) throw Error::local_io(errno, "cannot look at the file system");
  const auto magic = static_cast<std::uint32_t>(status.f_type);
  const auto* found =
      std::ranges::find(kNetworkFileSystems, magic, &std::pair<std::uint32_t, const char*>::first);
  if (found == kNetworkFileSystems.end()) return;
  throw Error(ErrorKind::Unsupported, std::string("it is on a network file system (") +
                                          found->second +
                                          "), where processes do not see each "
                                          "other's locks in time");
}

/// What others may do here: nothing, unless the owner has shared the directory by the set-group-ID
/// bit together with write permission for the group, or for everybody.
mode_t shared_bits_of(const struct stat& status) {
  const bool is_shared = (status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IWGRP) != 0;
  if (is_shared) return (status.st_mode & S_IWOTH) != 0 ? 066 : 060;
  if (status.st_uid != ::geteuid()) {
    throw Error(ErrorKind::PermissionDenied, "it belongs to somebody else");
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw Error(ErrorKind::PermissionDenied,
                "others may write there (to share it with its group: chmod 2770)");
  }
  return 0;
}

/// The directory that somebody has given, and what others may do in it.
struct GivenDirectory {
  UniqueFd fd;
  mode_t shared_bits;
};

GivenDirectory open_given(const fs::path& directory) {
  UniqueFd fd = open_directory_at(AT_FDCWD, directory.c_str());
  if (!fd) throw Error::local_io(errno, "cannot open the directory");
  refuse_network_file_system(fd.get());
  const mode_t shared_bits = shared_bits_of(status_of(fd.get()));
  return {std::move(fd), shared_bits};
}

mode_t directory_mode(mode_t shared_bits) {
  if (shared_bits == 0) return kPrivateDirectory;
  return S_ISGID | kPrivateDirectory | shared_bits | (shared_bits & 044) >> 2;
}

/// The directory of the format is as private, or as shared, as the one that it is in.
void check_format_directory(int fd, mode_t shared_bits) {
  const struct stat status = status_of(fd);
  if (shared_bits != 0) {
    shared_bits_of(status);
    return;
  }
  if (status.st_uid != ::geteuid()) {
    throw Error(ErrorKind::PermissionDenied, std::string(kFormatDirectory) +
                                                 " in it belongs to "
                                                 "somebody else");
  }
  const bool is_private = (status.st_mode & 077) == 0;
  if (!is_private && ::fchmod(fd, kPrivateDirectory) != 0) {
    throw Error::local_io(errno, kFormatDirectory);
  }
}

bool read_key(int directory, HashValue& key) {
  const UniqueFd file(::openat(directory, kKeyFile, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return false;
    throw Error::local_io(errno, "cannot open its key");
  }
  return ::read(file.get(), key.data(), key.size()) == static_cast<ssize_t>(key.size());
}

/// The first who makes one wins. It is written through to the disk: without it all is lost.
void make_key(int directory, mode_t mode) {
  const HashValue key = random_key();
  const std::string temporary = random_name(kKeyFile);
  const UniqueFd file(::openat(directory, temporary.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kPrivateFile));
  const bool is_written =
      file && ::write(file.get(), key.data(), key.size()) == static_cast<ssize_t>(key.size()) &&
      ::fchmod(file.get(), mode) == 0 && ::fsync(file.get()) == 0;
  int failure = is_written ? 0 : errno;
  if (is_written && ::linkat(directory, temporary.c_str(), directory, kKeyFile, 0) != 0) {
    // What is there cannot be read as a key: a crash has left it so.
    HashValue other;
    const bool has_lost = errno == EEXIST && read_key(directory, other);
    if (!has_lost && ::renameat(directory, temporary.c_str(), directory, kKeyFile) != 0) {
      failure = errno;
    }
  }
  ::unlinkat(directory, temporary.c_str(), 0);
  if (failure != 0) throw Error::local_io(failure, "cannot write its key");
}

void check_locks(int directory) {
  const UniqueFd file(::openat(directory, kKeyFile, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) {
    throw Error::local_io(errno, "the file system cannot lock files");
  }
}

}  // namespace

CacheDirectory::CacheDirectory(UniqueFd directory, mode_t shared_bits)
    : directory_(std::move(directory)), shared_bits_(shared_bits) {}

void CacheDirectory::check(const fs::path& directory) {
  try {
    open_given(directory);
  } catch (const Error& error) {
    throw error.within("cache directory " + directory.string());
  }
}

CacheDirectory CacheDirectory::open(const fs::path& directory) {
  try {
    if (std::error_code failure; !fs::exists(directory, failure)) {
      const fs::path parent = directory.parent_path();
      if (!parent.empty()) fs::create_directories(parent, failure);
      if (::mkdir(directory.c_str(), kPrivateDirectory) != 0 && errno != EEXIST) {
        throw Error::local_io(errno, "cannot make the directory");
      }
    }
    const auto [outer, shared_bits] = open_given(directory);
    CacheDirectory opened(
        open_or_make_directory(outer.get(), kFormatDirectory, directory_mode(shared_bits)),
        shared_bits);
    check_format_directory(opened.fd(), shared_bits);
    if (!read_key(opened.fd(), opened.key_)) {
      make_key(opened.fd(), kPrivateFile | shared_bits);
      if (!read_key(opened.fd(), opened.key_)) {
        throw Error(ErrorKind::Unsupported, "its key cannot be read");
      }
    }
    check_locks(opened.fd());
    return opened;
  } catch (const Error& error) {
    throw error.within("cache directory " + directory.string());
  }
}

UniqueFd CacheDirectory::open_directory(const std::string& name) const {
  return open_or_make_directory(fd(), name, directory_mode(shared_bits_));
}

UniqueFd CacheDirectory::open_file(const std::string& path) const {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  const auto open_or_make = [&] {
    return UniqueFd(::openat(fd(), path.c_str(), kFlags | O_CREAT, kPrivateFile));
  };
  const bool is_shared = shared_bits_ != 0;
  UniqueFd file = is_shared ? UniqueFd(::openat(fd(), path.c_str(), kFlags)) : open_or_make();
  if (file || errno != ENOENT) {
    if (!file) throw Error::local_io(errno, "cannot open a file of the cache");
    return file;
  }
  if (is_shared) file = open_or_make();
  if (const auto slash = path.find('/'); !file && slash != std::string::npos) {
    open_directory(path.substr(0, slash));
    file = open_or_make();
  }
  if (!file) throw Error::local_io(errno, "cannot make a file of the cache");
  // Only its maker may; whoever came second finds it done.
  if (is_shared) ::fchmod(file.get(), kPrivateFile | shared_bits_);
  return file;
}

CacheDirectory::Space CacheDirectory::space() const {
  struct statvfs status {};
  if (::fstatvfs(fd(), &status) != 0) throw Error::local_io(errno, "the cache's file system");
  return {static_cast<std::uint64_t>(status.f_blocks) * status.f_frsize,
          static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize};
}

}  // namespace red
