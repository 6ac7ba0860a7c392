#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <vector>

#include "common/cache/block_cache.h"
#include "common/cache/cache_directory.h"
#include "common/cache/content_name.h"
#include "common/clock.h"

namespace red {

/// Where things are in the file of a content of so many bytes (DISK_CACHE.md).
struct ContentLayout {
  explicit ContentLayout(std::uint64_t content_size);

  static constexpr std::uint64_t kHeaderBytes = 64;
  static constexpr std::uint64_t kEntryBytes = 16;

  std::uint64_t size;         ///< bytes of the content
  std::uint64_t blocks;       ///< how many
  std::uint64_t data_offset;  ///< of the first block

  std::uint64_t entry_offset(std::uint64_t index) const {
    return kHeaderBytes + index * kEntryBytes;
  }
  std::uint64_t block_offset(std::uint64_t index) const { return data_offset + index * kBlockSize; }
  std::size_t block_bytes(std::uint64_t index) const;
};

/// One content in a cache on disk: which of its blocks are there, their bytes, and who fetches the
/// others. All processes that have the directory share it. Thread-safe. Calls touch the disk, but
/// wait for nobody; those that can fail throw Error{LocalIo}.
class DiskContent {
 public:
  /// Made if it is missing; what is there and cannot be this content is replaced.
  DiskContent(const CacheDirectory& directory, const ContentName& name, std::uint64_t size);
  /// All claims must have been given back.
  ~DiskContent() = default;
  DiskContent(const DiskContent&) = delete;
  DiskContent& operator=(const DiskContent&) = delete;

  std::uint64_t size() const noexcept { return layout_.size; }
  std::uint64_t block_count() const noexcept { return layout_.blocks; }

  /// How many of the blocks from run.first on, one after the other, are there.
  std::uint64_t count_present(BlockRun run) const { return count(run, true); }
  /// How many of them, one after the other, are not.
  std::uint64_t count_missing(BlockRun run) const { return count(run, false); }

  /// Reads blocks from run.first on into `buffer`, as many as are there, whole and right, and fit.
  /// Returns their bytes. A block that is not what was stored is dropped.
  std::size_t load(BlockRun run, std::span<std::byte> buffer);
  /// Tells the kernel that these blocks are going to be loaded.
  void load_ahead(BlockRun run) const;

  /// Blocks from `first` on, each of the size that it has in the content.
  void store(std::uint64_t first, std::span<const std::span<const std::byte>> blocks);

  /// Forgets everything, for all processes: a checksum of the whole says that it is wrong.
  void drop_all();

  /// More than so many blocks are not claimed at once: others can share the work.
  static constexpr std::uint64_t kMostClaimed = 4 * 1024 * 1024 / kBlockSize;

  /// Claims the right to fetch blocks from run.first on. Returns how many: 0 if somebody has
  /// claimed the first. The kernel gives claims back when the process dies.
  std::uint64_t claim(BlockRun run);
  void give_back(BlockRun run) noexcept;
  bool is_claimed(std::uint64_t index) const;

  /// For how long the claim that this block is part of has brought nothing, as far as this process
  /// has looked. Zero if nobody has claimed it.
  Duration stalled_for(std::uint64_t index, TimePoint now);

  /// Frees a random part (0 to 1) of what is in an opened content file. Returns the bytes.
  static std::uint64_t punch_part(int file, double part, std::mt19937_64& random);

  /// Bytes of the disk that store() has taken since the last call, about.
  std::uint64_t take_bytes_stored();

 private:
  struct Entry {
    std::uint64_t checksum = 0;  ///< of the block's bytes
    std::uint64_t check = 0;     ///< of this entry, its index and the content; both 0: no block
  };
  struct Header;
  /// What a claim that was waited for has brought.
  struct Progress {
    std::uint64_t first;
    std::uint64_t present;
    TimePoint since;
    TimePoint seen;
  };

  static UniqueFd open_in_use(const CacheDirectory& directory, const std::string& file_name);
  bool has_header() const;
  void write_header();
  Entry entry_for(std::uint64_t index, std::span<const std::byte> block) const;
  bool is_valid(const Entry& entry, std::uint64_t index) const;
  std::vector<Entry> read_entries(BlockRun run) const;
  std::uint64_t count(BlockRun run, bool present) const;
  void note_use();
  void drop(std::uint64_t index);
  BlockRun claimed_by_others(BlockRun run) const;
  BlockRun holder_of(std::uint64_t index) const;

  const ContentName name_;
  const ContentLayout layout_;
  UniqueFd file_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::map<std::uint64_t, std::uint64_t> claims_;  ///< of this process: first block, end
  std::vector<Progress> watched_;                  ///< claims that were waited for
  std::uint64_t bytes_stored_ = 0;
  TimePoint use_noted_{};
};

}  // namespace red
