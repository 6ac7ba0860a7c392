#include "fuse/mount_stats.h"

namespace red {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::size_t kBusiestShown = 20;

}  // namespace

std::shared_ptr<FileUse> MountCounters::opened(std::string path) {
  opened_files_.fetch_add(1, kRelaxed);
  return files_.open(std::move(path));
}

void MountCounters::read_answered(FileUse& file, const OperationTimer& timer, const Error* error,
                                  std::uint64_t bytes) noexcept {
  Duration waited{};
  reads_.fetch_add(1, kRelaxed);
  if (timer.has_waited()) {
    waited = timer.elapsed();
    read_waits_.record(waited);
  } else {
    reads_at_once_.fetch_add(1, kRelaxed);
  }
  if (error != nullptr) failed(*error);
  read_bytes_.fetch_add(bytes, kRelaxed);
  file.add_read(bytes, waited);
}

void MountCounters::metadata_answered(const OperationTimer& timer) noexcept {
  metadata_.fetch_add(1, kRelaxed);
  if (timer.has_waited()) metadata_waits_.record(timer.elapsed());
}

/// What is called off because its caller is gone, or the mount, is no failure.
void MountCounters::failed(const Error& error) noexcept {
  if (error.kind() == ErrorKind::Cancelled) return;
  errors_[static_cast<std::size_t>(error.kind())].fetch_add(1, kRelaxed);
}

void MountCounters::wrote(std::uint64_t bytes) noexcept {
  writes_.fetch_add(1, kRelaxed);
  written_bytes_.fetch_add(bytes, kRelaxed);
}

void MountCounters::checked(bool is_proved) noexcept {
  (is_proved ? proved_files_ : refuted_files_).fetch_add(1, kRelaxed);
}

void MountCounters::add_to(MountStats& stats) const {
  stats.reads = reads_.load(kRelaxed);
  stats.reads_at_once = reads_at_once_.load(kRelaxed);
  stats.read_bytes = read_bytes_.load(kRelaxed);
  stats.read_waits = read_waits_.summary();
  stats.metadata = metadata_.load(kRelaxed);
  stats.metadata_waits = metadata_waits_.summary();
  stats.writes = writes_.load(kRelaxed);
  stats.written_bytes = written_bytes_.load(kRelaxed);
  stats.lost_writes = lost_writes_.load(kRelaxed);
  stats.opened_files = opened_files_.load(kRelaxed);
  stats.open_files = files_.open_count();
  stats.proved_files = proved_files_.load(kRelaxed);
  stats.refuted_files = refuted_files_.load(kRelaxed);
  for (std::size_t kind = 0; kind < errors_.size(); ++kind) {
    const std::uint64_t count = errors_[kind].load(kRelaxed);
    if (count > 0) stats.errors.emplace_back(static_cast<ErrorKind>(kind), count);
  }
  stats.busiest_files = files_.busiest(kBusiestShown);
}

}  // namespace red
