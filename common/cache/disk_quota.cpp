#include "common/cache/disk_quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <random>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/cache/disk_content.h"
#include "common/error.h"

namespace red {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr const char* kUsageFile = "usage";
constexpr const char* kEvictionFile = "eviction";
constexpr std::size_t kFolderName = 2;          // hexadecimal digits
constexpr std::size_t kPathDigits = 30;         // the rest of a path's 16 bytes
constexpr std::uint64_t kBytesPerSector = 512;  // of st_blocks, whatever the file system's are

/// What all contents take, as the processes have told; anything else is not to be believed.
struct Usage {
  std::uint64_t bytes = 0;
  std::uint64_t complement = 0;
};

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const Directory stream(copy < 0 ? nullptr : ::fdopendir(copy));
  if (!stream) {
    if (copy >= 0) ::close(copy);
    return names;
  }
  while (const dirent* entry = ::readdir(stream.get())) names.emplace_back(entry->d_name);
  return names;
}

bool is_folder(const std::string& name) {
  return name.size() == kFolderName &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

struct Found {
  std::string name;
  std::uint64_t bytes = 0;  ///< of the disk
  std::int64_t used = 0;    ///< seconds; the smallest number for one that has been followed
};

std::vector<Found> contents_of(int folder) {
  std::vector<Found> contents;
  for (std::string& name : names_in(folder)) {
    struct stat status {};
    if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISREG(status.st_mode)) continue;
    contents.push_back({std::move(name),
                        static_cast<std::uint64_t>(status.st_blocks) * kBytesPerSector,
                        status.st_mtim.tv_sec});
  }
  return contents;
}

/// Of several versions of one file the last used counts.
void mark_followed(std::vector<Found>& contents) {
  std::unordered_map<std::string_view, Found*> latest;
  for (Found& each : contents) {
    Found*& last = latest[std::string_view(each.name).substr(0, kPathDigits)];
    if (last == nullptr) {
      last = &each;
      continue;
    }
    Found* older = last->used < each.used ? std::exchange(last, &each) : &each;
    if (older->used < last->used) older->used = INT64_MIN;
  }
}

}  // namespace

/// One eviction: the bytes of all contents, and what goes.
class DiskQuota::Scan {
 public:
  Scan(const CacheDirectory& directory, const Limits& limits)
      : directory_(directory), limits_(limits) {}

  /// Returns the bytes that are left.
  std::uint64_t run() {
    for_each([this](int, const Found& content) {
      total_ += content.bytes;
      bytes_by_use_[content.used] += content.bytes;
    });
    target_ = target();
    if (total_ > target_) remove_unused(cutoff());
    if (total_ > target_) remove_unused(INT64_MAX);
    if (total_ > target_) punch();
    return total_;
  }

 private:
  template <typename Visit>
  void for_each(Visit visit) {
    for (const std::string& name : names_in(directory_.fd())) {
      if (!is_folder(name)) continue;
      const UniqueFd folder(
          ::openat(directory_.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!folder) continue;
      std::vector<Found> contents = contents_of(folder.get());
      mark_followed(contents);
      for (const Found& content : contents) visit(folder.get(), content);
    }
  }

  /// Some more than necessary goes, so that it is not to do again at once.
  std::uint64_t target() const {
    std::uint64_t bytes =
        total_ <= limits_.max_bytes / 100 * 95 ? total_ : limits_.max_bytes / 100 * 85;
    const std::uint64_t free = directory_.space().free;
    if (free < limits_.min_free) {
      const std::uint64_t lacking = limits_.min_free - free + limits_.min_free / 10;
      bytes = std::min(bytes, total_ - std::min(total_, lacking));
    }
    return bytes;
  }

  /// The use before which everything has to go.
  std::int64_t cutoff() const {
    std::uint64_t left = total_;
    for (const auto& [used, bytes] : bytes_by_use_) {
      left -= bytes;
      if (left <= target_) return used;
    }
    return INT64_MAX;
  }

  void remove_unused(std::int64_t used_until) {
    for_each([&](int folder, const Found& content) {
      if (total_ <= target_ || content.used > used_until) return;
      const UniqueFd file(
          ::openat(folder, content.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return;
      if (::unlinkat(folder, content.name.c_str(), 0) != 0) return;
      total_ -= std::min(total_, content.bytes);
    });
  }

  /// All that is left is in use: each loses as large a part as has to go.
  void punch() {
    const double part = static_cast<double>(total_ - target_) /
                        static_cast<double>(std::max<std::uint64_t>(total_, 1));
    std::mt19937_64 random(std::random_device{}());
    for_each([&](int folder, const Found& content) {
      const UniqueFd file(
          ::openat(folder, content.name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (file) total_ -= std::min(total_, DiskContent::punch_part(file.get(), part, random));
    });
  }

  const CacheDirectory& directory_;
  const Limits& limits_;
  std::uint64_t total_ = 0;
  std::uint64_t target_ = 0;
  std::map<std::int64_t, std::uint64_t> bytes_by_use_;
};

DiskQuota::Limits DiskQuota::limits_for(std::optional<std::uint64_t> max_bytes,
                                        const CacheDirectory::Space& space) {
  return {max_bytes.value_or(std::min(10 * kGiB, space.total / 10)),
          std::max(kGiB, space.total / 20)};
}

DiskQuota::DiskQuota(std::shared_ptr<const CacheDirectory> directory, const Limits& limits)
    : directory_(std::move(directory)),
      limits_(limits),
      step_(std::min(4 * kMiB, limits.max_bytes / 32)) {}

DiskQuota::State DiskQuota::add(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    untold_ += bytes;
    if (untold_ < step_) return State::Fine;
  }
  return settle();
}

DiskQuota::State DiskQuota::settle() {
  std::uint64_t untold = 0;
  {
    const std::lock_guard lock(mutex_);
    untold = std::exchange(untold_, 0);
  }
  if (untold == 0) return State::Fine;
  const std::uint64_t usage = add_to_usage(untold);
  if (directory_->space().free < limits_.min_free) return State::NoDiskSpace;
  return usage > limits_.max_bytes ? State::Full : State::Fine;
}

/// Returns what all contents take; too much if nobody knows.
std::uint64_t DiskQuota::add_to_usage(std::uint64_t bytes) {
  const UniqueFd file = directory_->open_file(kUsageFile);
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) {
    const std::lock_guard guard(mutex_);
    untold_ += bytes;  // somebody else is at it: the next time
    return 0;
  }
  Usage usage;
  const bool is_known = ::pread(file.get(), &usage, sizeof(usage), 0) == sizeof(usage) &&
                        usage.complement == ~usage.bytes;
  if (!is_known) return UINT64_MAX;
  usage.bytes += bytes;
  usage.complement = ~usage.bytes;
  if (::pwrite(file.get(), &usage, sizeof(usage), 0) != sizeof(usage)) {
    throw Error::local_io(errno, "writing the cache's use");
  }
  return usage.bytes;
}

void DiskQuota::write_usage(std::uint64_t bytes) {
  const UniqueFd file = directory_->open_file(kUsageFile);
  const Usage usage{bytes, ~bytes};
  if (::pwrite(file.get(), &usage, sizeof(usage), 0) != sizeof(usage)) {
    throw Error::local_io(errno, "writing the cache's use");
  }
}

void DiskQuota::evict() {
  const UniqueFd file = directory_->open_file(kEvictionFile);
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) return;
  write_usage(Scan(*directory_, limits_).run());
}

}  // namespace red
