#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "fuse/busiest_files.h"
#include "fuse/latency_histogram.h"

namespace red {

/// What a mount has done so far.
struct MountStats {
  std::filesystem::path mount_point;
  std::string source;  ///< without credentials and query
  pid_t pid = 0;       ///< of the daemon
  std::chrono::sys_seconds since;
  Duration uptime{};
  bool is_writable = false;

  // What programs asked for.
  std::uint64_t reads = 0;
  std::uint64_t reads_at_once = 0;  ///< answered without waiting
  std::uint64_t read_bytes = 0;     ///< that readers got
  LatencySummary read_waits;        ///< of reads that waited
  std::uint64_t metadata = 0;       ///< lookups, attributes, listings, opens, changes of names
  LatencySummary metadata_waits;    ///< of those that waited
  std::uint64_t writes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t lost_writes = 0;  ///< that could not be brought to the server
  std::uint64_t opened_files = 0;
  std::uint64_t open_files = 0;

  // What it took.
  std::uint64_t list_requests = 0;
  std::uint64_t stat_requests = 0;
  std::uint64_t read_requests = 0;
  std::uint64_t retries = 0;
  std::uint64_t fetched_bytes = 0;
  std::uint64_t wasted_bytes = 0;  ///< fetched, and of no use to any reader
  std::uint64_t cache_used_bytes = 0;
  std::uint64_t cache_bound_bytes = 0;

  std::uint64_t proved_files = 0;                           ///< by a checksum
  std::uint64_t refuted_files = 0;                          ///< likewise
  std::vector<std::pair<ErrorKind, std::uint64_t>> errors;  ///< that programs got; none is 0
  std::vector<FileReads> busiest_files;                     ///< by bytes
};

/// From the call of an operation to its answer.
class OperationTimer {
 public:
  OperationTimer() : began_(std::chrono::steady_clock::now()) {}

  /// The call has returned: an answer that comes now was waited for.
  void call_returned() noexcept { waits_.store(true, std::memory_order_relaxed); }
  bool has_waited() const noexcept { return waits_.load(std::memory_order_relaxed); }
  Duration elapsed() const { return std::chrono::steady_clock::now() - began_; }

 private:
  const TimePoint began_;
  std::atomic<bool> waits_{false};
};

/// Counts what a mount does. Thread-safe; on the way of a read there are a few relaxed additions
/// and no lock.
class MountCounters {
 public:
  /// For a handle that is being opened; add its reads with read_answered(). This must outlive it.
  std::shared_ptr<FileUse> opened(std::string path);
  /// Null error: `bytes` were delivered.
  void read_answered(FileUse& file, const OperationTimer& timer, const Error* error,
                     std::uint64_t bytes) noexcept;
  void metadata_answered(const OperationTimer& timer) noexcept;
  /// An operation other than a read ended with an error.
  void failed(const Error& error) noexcept;
  void wrote(std::uint64_t bytes) noexcept;
  void lost_write() noexcept { lost_writes_.fetch_add(1, std::memory_order_relaxed); }
  void checked(bool is_proved) noexcept;

  /// Fills in what is counted here.
  void add_to(MountStats& stats) const;

 private:
  using Count = std::atomic<std::uint64_t>;
  static constexpr std::size_t kKinds = static_cast<std::size_t>(ErrorKind::Internal) + 1;

  Count reads_{0};
  Count reads_at_once_{0};
  Count read_bytes_{0};
  Count metadata_{0};
  Count writes_{0};
  Count written_bytes_{0};
  Count lost_writes_{0};
  Count opened_files_{0};
  Count proved_files_{0};
  Count refuted_files_{0};
  std::array<Count, kKinds> errors_{};
  LatencyHistogram read_waits_;
  LatencyHistogram metadata_waits_;
  BusiestFiles files_;
};

}  // namespace red
