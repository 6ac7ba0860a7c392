#include "common/cache/disk_content.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

constexpr std::array<char, 8> kMagic{'R', 'E', 'D', 'C', 'A', 'C', 'H', 'E'};
constexpr std::uint32_t kFormat = 1;
constexpr std::uint64_t kPage = 4096;
// What is used is noted in the file's time, no more often than that.
constexpr std::chrono::seconds kUseGrain{30};
constexpr std::chrono::seconds kForgotten{10};

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Returns the bytes that are there.
std::size_t read_at(int fd, void* buffer, std::size_t bytes, std::uint64_t offset) {
  std::size_t filled = 0;
  while (filled < bytes) {
    const ssize_t count = ::pread(fd, static_cast<char*>(buffer) + filled, bytes - filled,
                                  static_cast<off_t>(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::local_io(errno, "reading the cache on disk");
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

void write_at(int fd, const void* bytes, std::size_t count, std::uint64_t offset) {
  std::size_t written = 0;
  while (written < count) {
    const ssize_t done = ::pwrite(fd, static_cast<const char*>(bytes) + written, count - written,
                                  static_cast<off_t>(offset + written));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error::local_io(errno, "writing the cache on disk");
    written += static_cast<std::size_t>(done);
  }
}

struct flock lock_on(BlockRun run, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(run.first);
  lock.l_len = static_cast<off_t>(run.end - run.first);
  return lock;
}

}  // namespace

ContentLayout::ContentLayout(std::uint64_t content_size)
    : size(content_size), blocks((content_size + kBlockSize - 1) / kBlockSize) {
  // A file of one block stays small; others have their blocks on pages.
  data_offset = round_up(entry_offset(blocks), blocks == 1 ? 128 : kPage);
}

std::size_t ContentLayout::block_bytes(std::uint64_t index) const {
  return static_cast<std::size_t>(std::min<std::uint64_t>(size - index * kBlockSize, kBlockSize));
}

struct DiskContent::Header {
  std::array<char, 8> magic{};
  std::uint32_t format = 0;
  std::uint32_t block_size = 0;
  std::uint64_t size = 0;
  std::array<std::byte, 16> path{};
  std::array<std::byte, 8> version{};
  std::uint64_t unused = 0;
  std::uint64_t check = 0;

  static Header of(const ContentName& name, std::uint64_t size) {
    Header header{.magic = kMagic,
                  .format = kFormat,
                  .block_size = kBlockSize,
                  .size = size,
                  .path = name.path,
                  .version = name.version};
    header.check = XXH3_64bits_withSeed(&header, offsetof(Header, check), name.seed);
    return header;
  }
  bool operator==(const Header&) const = default;
};

DiskContent::DiskContent(const CacheDirectory& directory, const ContentName& name,
                         std::uint64_t size)
    : name_(name), layout_(size) {
  static_assert(sizeof(Header) == ContentLayout::kHeaderBytes);
  static_assert(sizeof(Entry) == ContentLayout::kEntryBytes);
  constexpr int kTries = 3;
  const std::string file_name = name.file_name();
  for (int tries = 0; tries < kTries; ++tries) {
    file_ = open_in_use(directory, file_name);
    if (!file_) continue;
    if (has_header()) return;
    // It is no content, or another one: those who have it open keep it, everybody else gets a new.
    ::unlinkat(directory.fd(), file_name.c_str(), 0);
  }
  throw Error::local_io(EBUSY, "a file of the cache");
}

/// Eviction spares what is in use. Nothing if it has just been evicted.
UniqueFd DiskContent::open_in_use(const CacheDirectory& directory, const std::string& file_name) {
  UniqueFd file = directory.open_file(file_name);
  struct stat status {};
  if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0 || ::fstat(file.get(), &status) != 0 ||
      status.st_nlink == 0) {
    return {};
  }
  if (!S_ISREG(status.st_mode)) throw Error::local_io(EINVAL, "a file of the cache");
  return file;
}

/// A file that is new, or whose maker did not get to it, gets its header: everybody would write the
/// same.
bool DiskContent::has_header() const {
  Header found;
  const std::size_t bytes = read_at(file_.get(), &found, sizeof(found), 0);
  const Header expected = Header::of(name_, layout_.size);
  if (bytes == sizeof(found) && found == expected) return true;
  if (bytes != 0 && found != Header{}) return false;
  write_at(file_.get(), &expected, sizeof(expected), 0);
  return true;
}

DiskContent::Entry DiskContent::entry_for(std::uint64_t index,
                                          std::span<const std::byte> block) const {
  Entry entry;
  entry.checksum = XXH3_64bits_withSeed(block.data(), block.size(), name_.seed ^ index);
  const std::array<std::uint64_t, 2> checked{entry.checksum, index};
  entry.check = XXH3_64bits_withSeed(checked.data(), sizeof(checked), name_.seed);
  return entry;
}

bool DiskContent::is_valid(const Entry& entry, std::uint64_t index) const {
  const std::array<std::uint64_t, 2> checked{entry.checksum, index};
  return entry.check == XXH3_64bits_withSeed(checked.data(), sizeof(checked), name_.seed);
}

std::vector<DiskContent::Entry> DiskContent::read_entries(BlockRun run) const {
  std::vector<Entry> entries(static_cast<std::size_t>(run.end - run.first));
  read_at(file_.get(), entries.data(), entries.size() * sizeof(Entry),
          layout_.entry_offset(run.first));
  return entries;
}

std::uint64_t DiskContent::count(BlockRun run, bool present) const {
  constexpr std::uint64_t kAtATime = 1024;
  std::uint64_t index = run.first;
  while (index < run.end) {
    const BlockRun part{index, std::min(run.end, index + kAtATime)};
    for (const Entry& entry : read_entries(part)) {
      if (is_valid(entry, index) != present) return index - run.first;
      ++index;
    }
  }
  return index - run.first;
}

std::size_t DiskContent::load(BlockRun run, std::span<std::byte> buffer) {
  run.end = std::min(run.end, run.first + buffer.size() / kBlockSize);
  const std::vector<Entry> entries = read_entries(run);
  std::uint64_t end = run.first;
  std::size_t wanted = 0;
  while (end < run.end && is_valid(entries[end - run.first], end)) {
    wanted += layout_.block_bytes(end++);
  }
  if (wanted == 0) return 0;
  const std::size_t read =
      read_at(file_.get(), buffer.data(), wanted, layout_.block_offset(run.first));
  std::size_t right = 0;
  for (std::uint64_t index = run.first; index < end; ++index) {
    const std::size_t bytes = layout_.block_bytes(index);
    const bool is_right =
        right + bytes <= read && entry_for(index, buffer.subspan(right, bytes)).checksum ==
                                     entries[index - run.first].checksum;
    if (!is_right) {
      drop(index);
      break;
    }
    right += bytes;
  }
  note_use();
  return right;
}

void DiskContent::load_ahead(BlockRun run) const {
  const std::uint64_t begin = layout_.block_offset(run.first);
  ::posix_fadvise(file_.get(), static_cast<off_t>(begin),
                  static_cast<off_t>(layout_.block_offset(run.end) - begin), POSIX_FADV_WILLNEED);
}

void DiskContent::drop(std::uint64_t index) {
  const Entry none;
  write_at(file_.get(), &none, sizeof(none), layout_.entry_offset(index));
}

void DiskContent::drop_all() {
  const std::vector<Entry> none(static_cast<std::size_t>(layout_.blocks));
  write_at(file_.get(), none.data(), none.size() * sizeof(Entry), layout_.entry_offset(0));
}

/// First the blocks, then the entries that tell of them; what a crash leaves of that shows.
void DiskContent::store(std::uint64_t first, std::span<const std::span<const std::byte>> blocks) {
  std::vector<iovec> pieces;
  std::vector<Entry> entries;
  std::size_t bytes = 0;
  for (const auto& block : blocks) {
    pieces.push_back({const_cast<std::byte*>(block.data()), block.size()});
    entries.push_back(entry_for(first + entries.size(), block));
    bytes += block.size();
  }
  const auto offset = static_cast<off_t>(layout_.block_offset(first));
  const ssize_t written =
      ::pwritev(file_.get(), pieces.data(), static_cast<int>(pieces.size()), offset);
  if (written < 0) throw Error::local_io(errno, "writing the cache on disk");
  if (static_cast<std::size_t>(written) != bytes) {
    throw Error::local_io(ENOSPC, "writing the cache on disk");
  }
  write_at(file_.get(), entries.data(), entries.size() * sizeof(Entry),
           layout_.entry_offset(first));
  const std::lock_guard lock(mutex_);
  bytes_stored_ += round_up(bytes, kPage) + (layout_.blocks == 1 ? kPage : 0);
}

std::uint64_t DiskContent::take_bytes_stored() {
  const std::lock_guard lock(mutex_);
  return std::exchange(bytes_stored_, 0);
}

/// What was used last is evicted last.
void DiskContent::note_use() {
  {
    const TimePoint now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    if (now - use_noted_ < kUseGrain) return;
    use_noted_ = now;
  }
  ::futimens(file_.get(), nullptr);
}

/// Whoever reads meanwhile finds that the checksum is wrong, and fetches anew.
std::uint64_t DiskContent::punch_part(int file, double part, std::mt19937_64& random) {
  constexpr std::uint64_t kPiece = 4 * 1024 * 1024 / kBlockSize;
  Header header;
  struct stat status {};
  if (read_at(file, &header, sizeof(header), 0) != sizeof(header) || header.magic != kMagic ||
      ::fstat(file, &status) != 0) {
    return 0;
  }
  const ContentLayout layout(header.size);
  const std::uint64_t blocks =
      std::min(layout.blocks, static_cast<std::uint64_t>(status.st_size) / kBlockSize + 1);
  std::bernoulli_distribution is_chosen(part);
  for (std::uint64_t first = 0; first < blocks; first += kPiece) {
    if (!is_chosen(random)) continue;
    const std::uint64_t end = std::min(blocks, first + kPiece);
    const std::vector<Entry> none(static_cast<std::size_t>(end - first));
    write_at(file, none.data(), none.size() * sizeof(Entry), layout.entry_offset(first));
    ::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(layout.block_offset(first)),
                static_cast<off_t>((end - first) * kBlockSize));
  }
  struct stat after {};
  if (::fstat(file, &after) != 0 || after.st_blocks > status.st_blocks) return 0;
  return static_cast<std::uint64_t>(status.st_blocks - after.st_blocks) * 512;
}

// --- claims ---

/// Locks of open file descriptions (fcntl(2)): the others' descriptions conflict with ours, our own
/// claims do not, and are told apart here.
std::uint64_t DiskContent::claim(BlockRun run) {
  const std::lock_guard lock(mutex_);
  run.end = std::min(run.end, run.first + kMostClaimed);
  if (run.first >= run.end) return 0;
  const auto next = claims_.upper_bound(run.first);
  if (next != claims_.begin() && std::prev(next)->second > run.first) return 0;
  if (next != claims_.end()) run.end = std::min(run.end, next->first);
  while (run.first < run.end) {
    struct flock lock_wanted = lock_on(run, F_WRLCK);
    if (::fcntl(file_.get(), F_OFD_SETLK, &lock_wanted) == 0) {
      claims_[run.first] = run.end;
      std::erase_if(watched_, [&](const Progress& watched) {
        return watched.first >= run.first && watched.first < run.end;
      });
      return run.end - run.first;
    }
    if (errno != EAGAIN && errno != EACCES) throw Error::local_io(errno, "locking the cache");
    // All that is before the first lock of the others.
    const BlockRun taken = claimed_by_others(run);
    if (taken.first == taken.end) continue;  // given back meanwhile
    run.end = std::max(run.first, taken.first);
  }
  return 0;
}

void DiskContent::give_back(BlockRun run) noexcept {
  const std::lock_guard lock(mutex_);
  claims_.erase(run.first);
  struct flock lock_held = lock_on(run, F_UNLCK);
  ::fcntl(file_.get(), F_OFD_SETLK, &lock_held);
}

/// The first lock of another description in the run; an empty run if there is none.
BlockRun DiskContent::claimed_by_others(BlockRun run) const {
  struct flock lock = lock_on(run, F_WRLCK);
  if (::fcntl(file_.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return {};
  const auto first = static_cast<std::uint64_t>(lock.l_start);
  return {first, lock.l_len == 0 ? layout_.blocks : first + static_cast<std::uint64_t>(lock.l_len)};
}

/// The claim that a block is part of; an empty run if there is none.
BlockRun DiskContent::holder_of(std::uint64_t index) const {
  const auto next = claims_.upper_bound(index);
  if (next != claims_.begin()) {
    const auto& [first, end] = *std::prev(next);
    if (index < end) return {first, end};
  }
  return claimed_by_others({index, index + 1});
}

bool DiskContent::is_claimed(std::uint64_t index) const {
  const std::lock_guard lock(mutex_);
  const BlockRun holder = holder_of(index);
  return holder.first != holder.end;
}

Duration DiskContent::stalled_for(std::uint64_t index, TimePoint now) {
  const std::lock_guard lock(mutex_);
  BlockRun holder = holder_of(index);
  if (holder.first == holder.end) return {};
  holder.end = std::min({holder.end, layout_.blocks, holder.first + kMostClaimed});
  const std::vector<Entry> entries = read_entries(holder);
  std::uint64_t present = 0;
  for (std::uint64_t at = 0; at < entries.size(); ++at) {
    if (is_valid(entries[at], holder.first + at)) ++present;
  }
  // What nobody has looked at for a while may be the claim of somebody else by now.
  std::erase_if(watched_,
                [now](const Progress& watched) { return now - watched.seen > kForgotten; });
  auto known = std::ranges::find(watched_, holder.first, &Progress::first);
  if (known == watched_.end()) {
    known = watched_.insert(known, {holder.first, present, now, now});
  } else if (known->present != present) {
    *known = {holder.first, present, now, now};
  }
  known->seen = now;
  return now - known->since;
}

}  // namespace red
