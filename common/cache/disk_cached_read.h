#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "common/cache/disk_cached_file.h"

namespace red {

/// One read of a file through the cache on disk: goes through its blocks in order, takes from the
/// disk those that are there, claims and fetches those that are not, and waits for those that
/// somebody else fetches, as long as that goes on. One step at a time, on whatever thread the last
/// one has ended; what touches the disk runs on the cache's workers.
class DiskCachedRead : public std::enable_shared_from_this<DiskCachedRead> {
 public:
  DiskCachedRead(std::shared_ptr<DiskCachedFile> file, std::optional<ByteRange> range,
                 std::shared_ptr<ReadSink> sink, const RequestContext& context);
  /// A read that nobody goes on with has been called off.
  ~DiskCachedRead();
  DiskCachedRead(const DiskCachedRead&) = delete;
  DiskCachedRead& operator=(const DiskCachedRead&) = delete;

  void start() { go_on(); }
  /// The next step, on a worker.
  void go_on();
  /// The rest comes from the server, and is not kept.
  void pass_by() { fetch(end_, nullptr, nullptr); }

 private:
  class Fetch;
  static constexpr std::uint64_t kUnknownEnd = UINT64_MAX;

  void step();
  bool has_ended();
  void serve(const std::shared_ptr<ContentHandle>& handle);
  bool deliver_from_disk(DiskContent& content, DiskHealth& health);
  bool deliver(std::span<const std::byte> blocks);
  void fetch_or_wait(const std::shared_ptr<ContentHandle>& handle, DiskContent& content);
  bool may_wait_for(DiskContent& content);
  void wait_for_block(const std::shared_ptr<DiskContent>& content);
  void wait_for_writer();
  void fetch(std::uint64_t end, std::shared_ptr<ContentHandle> handle,
             std::shared_ptr<const HeldClaim> claim);
  void finish(const Error* error) noexcept;

  std::uint64_t next_block() const { return next_ / kBlockSize; }
  DiskCache& cache() const { return file_->cache(); }

  const std::shared_ptr<DiskCachedFile> file_;
  const std::optional<ByteRange> range_;  ///< as asked
  const std::shared_ptr<ReadSink> sink_;
  const RequestContext context_;

  // used by one step at a time
  std::uint64_t next_;  ///< offset of the next byte for the sink
  std::uint64_t end_;
  bool has_begun_ = false;
  bool is_read_ahead_ = false;  ///< the kernel has been told what comes
  int waits_for_writer_ = 0;
  std::optional<TimePoint> give_up_waiting_;
  std::atomic<bool> is_finished_{false};
};

}  // namespace red
