#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "common/cache/block_cache.h"
#include "common/cache/stream_spool.h"
#include "common/remote/remote_store.h"
#include "common/timer.h"

namespace red {

/// Bytes that were read, in pieces that stay valid as long as this lives.
struct ReadBytes {
  std::vector<std::span<const std::byte>> pieces;
  std::vector<std::shared_ptr<const void>> owners;

  std::size_t size() const;
};

/// One content of a remote file, read through the block cache: what is missing is fetched exactly
/// once however many readers wait for it. A server that does not serve ranges is noticed, and the
/// file then streams into a spool once. Thread-safe; must be held by a shared_ptr.
class CachedFile : public std::enable_shared_from_this<CachedFile> {
 public:
  /// Exactly once. Null error: the bytes, shorter than asked only at the end of the file.
  using Completion = std::function<void(const Error* error, ReadBytes bytes)>;

  struct Environment {
    BlockCache& cache;
    Timer& timer;
    Duration read_limit;   ///< a read that takes longer ends with Error{TimedOut}
    bool keep_blocks;      ///< false: blocks are given to their readers only
    std::stop_token stop;  ///< ends all fetches
  };
  /// Is told what answers of the server say about the content, on the transport's thread, and
  /// failures of fetches that have to be heard of (ChangedRemotely, errors in the background).
  struct Listener {
    std::function<void(const ReadAnswer&)> on_answer;
    std::function<void(const Error&)> on_failure;
  };

  CachedFile(std::shared_ptr<RemoteFile> remote, ContentId content,
             std::optional<std::uint64_t> size, const Environment& environment, Listener listener);
  ~CachedFile();

  /// Never blocks; completes at once, on the caller's thread, when everything is there. Returns a
  /// function that ends the read early with the given error; it does nothing after completion.
  std::function<void(const Error&)> read(ByteRange range, Completion completion);

  /// Fetches in the background what is missing of the range, in parallel pieces; `stop` calls it
  /// off.
  void read_ahead(ByteRange range, std::stop_token stop);

  /// Lets the cache forget the whole blocks of the range that nobody waits for.
  void drop(ByteRange range);

  /// The bytes are not what they should be: what is kept of them beside the memory is forgotten.
  void distrust() { remote_->distrust(); }

  /// Bytes, if it is known.
  std::optional<std::uint64_t> size() const;
  bool serves_ranges() const { return !spooled_.load(std::memory_order_acquire); }
  Version version() const { return remote_->version(); }

 private:
  struct PendingRead;
  class Fetch;
  /// Blocks whose fetch ran into its deadline a moment ago: the kernel asks again, page by page,
  /// for what it could not read ahead, and must not wait the whole time once more.
  struct RecentFailure {
    BlockRun run;
    TimePoint until;
    Error error;
  };

  void start_fetches(const std::vector<BlockRun>& runs, std::uint64_t max_blocks,
                     const RequestContext& context);
  void fetch_failed(BlockRun run, const Error& error);
  ByteRange bytes_of(BlockRun run) const;
  std::function<void(const Error&)> read_blocks(ByteRange range, TimePoint deadline,
                                                Completion completion);

  std::shared_ptr<StreamSpool> spool_or_new(bool& is_new);
  std::shared_ptr<StreamSpool> started_spool();
  void move_to_spool(const std::vector<std::shared_ptr<BlockRequest>>& requests);
  std::function<void(const Error&)> read_spooled(ByteRange range, Completion completion);
  void watch_spooled(const std::shared_ptr<StreamSpool>& spool, std::uint64_t ticket,
                     std::uint64_t arrived_before);

  void remember_failure(BlockRun run, const Error& error);
  std::optional<Error> recent_failure(BlockRun run);
  void answered(const ReadAnswer& answer);
  RequestContext context_for(Priority priority, std::stop_token stop) const;
  TimePoint now() const { return std::chrono::steady_clock::now(); }

  const std::shared_ptr<RemoteFile> remote_;
  const ContentId content_;
  const Environment environment_;
  const Listener listener_;
  std::atomic<bool> spooled_{false};

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::optional<std::uint64_t> size_;
  std::shared_ptr<StreamSpool> spool_;
  std::vector<RecentFailure> failures_;
};

}  // namespace red
