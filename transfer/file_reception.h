#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/remote/remote_store.h"
#include "transfer/connection_ramp.h"
#include "transfer/local_files.h"
#include "transfer/progress.h"
#include "transfer/segment_table.h"

namespace red {

/// Brings one remote file into a LocalTarget, without a thread of its own: bytes are written on the
/// transport's threads. Begins with a read of the whole file, whose answer tells size, validator
/// and whether ranges work; large files are then shared among further reads while that is faster.
/// Thread-safe.
class FileReception : public std::enable_shared_from_this<FileReception> {
 public:
  /// Called on any thread, without a lock held; must be quick.
  struct Callbacks {
    std::function<void()> on_read_ended;  ///< tick() may now start another
    std::function<void()> on_done;        ///< exactly once, last: result() is there
  };

  /// `expected_size` is what a listing promised, and is part of what `progress` expects already;
  /// `expected_mode` is for answers that tell none.
  /// `progress` and `clock` must outlive this.
  FileReception(std::shared_ptr<RemoteFile> file, std::shared_ptr<LocalTarget> target,
                std::optional<std::uint64_t> expected_size,
                std::optional<std::uint32_t> expected_mode, int max_reads, Progress& progress,
                const Clock& clock, std::stop_token stop, Callbacks callbacks);

  void start();

  /// To be called every quarter of a second or so, from a thread that may block for a while: starts
  /// further reads, up to `max_reads` in all.
  void tick(int max_reads);

  /// Once done: why it failed, if it did.
  const std::optional<Error>& result() const { return error_; }
  /// Once done, for checksum and commit. Taken rather than lent, so that what was not committed
  /// goes away when the caller lets go of it and not whenever the transport lets go of this.
  std::shared_ptr<LocalTarget> take_target();

 private:
  class Sink;
  using Id = SegmentTable::Id;

  bool begin(Id id, const ReadAnswer& answer);
  bool begin_whole(Id id, const ReadAnswer& answer);
  bool receive(Id id, std::uint64_t offset, std::span<const std::byte> bytes);
  void finish(Id id, const Error* error) noexcept;

  // mutex_ must be held
  bool restart(Id id);
  void adopt_answer(const ReadAnswer& answer);
  std::optional<Error> shortcoming(Id id, const Error* error);
  void read_failed(const Error& error);
  std::vector<SegmentTable::Piece> pieces_to_start(int max_reads);

  void fail(const Error& error);
  void read(Id id, std::optional<ByteRange> range);

  // set once
  const std::shared_ptr<RemoteFile> file_;
  const std::optional<std::uint64_t> expected_size_;
  const std::optional<std::uint32_t> expected_mode_;  ///< permission bits
  const int max_reads_;
  Progress& progress_;
  const Clock& clock_;
  const Callbacks callbacks_;
  std::stop_source stop_;  ///< ends all reads, on the first error or when the caller asks for it

  std::mutex mutex_;
  // guarded by mutex_; reads that are in flight use the target without it
  std::shared_ptr<LocalTarget> target_;  ///< until taken
  SegmentTable segments_;
  std::optional<ConnectionRamp> ramp_;  ///< set while further reads are possible
  std::optional<std::uint64_t> size_;
  std::uint64_t received_ = 0;
  std::optional<Error> error_;  ///< constant once done
  bool is_done_ = false;

  std::stop_callback<std::function<void()>> stop_watch_;
};

}  // namespace red
