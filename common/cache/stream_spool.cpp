#include "common/cache/stream_spool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

namespace red {
namespace {

// A spool in memory may take so much of the budget; what is larger goes to disk.
constexpr std::size_t kMemoryShare = 4;

int open_unlinked_file() {
  const std::string directory = std::filesystem::temp_directory_path().string();
  int descriptor = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    std::string name = directory + "/red-spool-XXXXXX";
    descriptor = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor >= 0) unlink(name.c_str());
  }
  if (descriptor < 0) throw Error::local_io(errno, "temporary file in " + directory);
  return descriptor;
}

}  // namespace

StreamSpool::StreamSpool(BlockCache& cache, std::function<void(const ReadAnswer&)> on_answer)
    : cache_(cache), on_answer_(std::move(on_answer)) {}

StreamSpool::~StreamSpool() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (reserved_ != 0) cache_.reserve(-reserved_);
}

void StreamSpool::open_storage(std::optional<std::uint64_t> size) {
  if (size && *size <= cache_.max_bytes() / kMemoryShare) {
    descriptor_ = memfd_create("red-spool", MFD_CLOEXEC);
    if (descriptor_ >= 0) {
      reserved_ = static_cast<std::int64_t>(*size);
      cache_.reserve(reserved_);
      return;
    }
  }
  descriptor_ = open_unlinked_file();
}

std::uint64_t StreamSpool::bytes_arrived() const {
  const std::lock_guard lock(mutex_);
  return arrived_;
}

bool StreamSpool::begin(const ReadAnswer& answer) {
  if (closed_.load(std::memory_order_relaxed)) return false;
  if (answer.offset != bytes_arrived()) {
    // Readers have had bytes of which nothing proves that they belong to what would come now.
    fail(Error(ErrorKind::Network, "the stream broke off, and the server cannot resume it"));
    return false;
  }
  if (descriptor_ >= 0) return true;
  try {
    open_storage(answer.version.size);
  } catch (const Error& error) {
    fail(error);
    return false;
  }
  on_answer_(answer);
  return true;
}

bool StreamSpool::receive(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (closed_.load(std::memory_order_relaxed)) return false;
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(Error::local_io(errno, "temporary file for a server without ranges"));
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  {
    const std::lock_guard lock(mutex_);
    arrived_ = offset;
  }
  wake_ready();
  return true;
}

void StreamSpool::finish(const Error* error) noexcept {
  if (error != nullptr) {
    fail(*error);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  wake_ready();
}

/// The first failure counts: a stream that was ended for a reason ends with Cancelled afterwards.
void StreamSpool::fail(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    finished_ = true;
  }
  wake_ready();
}

bool StreamSpool::is_ready(const Waiter& waiter) const {
  return finished_ || waiter.range.end <= arrived_;
}

void StreamSpool::wake_ready() {
  std::vector<Waiter> ready;
  {
    const std::lock_guard lock(mutex_);
    const auto split =
        std::stable_partition(waiters_.begin(), waiters_.end(),
                              [this](const Waiter& waiter) { return !is_ready(waiter); });
    ready.assign(std::make_move_iterator(split), std::make_move_iterator(waiters_.end()));
    waiters_.erase(split, waiters_.end());
  }
  for (const Waiter& waiter : ready) serve(waiter);
}

std::uint64_t StreamSpool::read(ByteRange range, Completion completion) {
  Waiter waiter{0, range, std::move(completion)};
  {
    const std::lock_guard lock(mutex_);
    waiter.ticket = next_ticket_++;
    if (!is_ready(waiter)) {
      const std::uint64_t ticket = waiter.ticket;
      waiters_.push_back(std::move(waiter));
      return ticket;
    }
  }
  serve(waiter);
  return waiter.ticket;
}

bool StreamSpool::abandon(std::uint64_t ticket, const Error& error) {
  std::optional<Waiter> found;
  {
    const std::lock_guard lock(mutex_);
    const auto position = std::ranges::find(waiters_, ticket, &Waiter::ticket);
    if (position == waiters_.end()) return false;
    found = std::move(*position);
    waiters_.erase(position);
  }
  found->completion(&error, {});
  return true;
}

bool StreamSpool::is_waiting(std::uint64_t ticket) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::find(waiters_, ticket, &Waiter::ticket) != waiters_.end();
}

void StreamSpool::serve(const Waiter& waiter) const {
  ByteRange range = waiter.range;
  std::optional<Error> error;
  {
    const std::lock_guard lock(mutex_);
    if (range.end > arrived_) error = error_;
    range.end = std::min(range.end, std::max(arrived_, range.begin));
  }
  std::vector<std::byte> bytes;
  if (!error) {
    try {
      bytes = load(range);
    } catch (const Error& failure) {
      error = failure;
    }
  }
  waiter.completion(error ? &*error : nullptr, std::move(bytes));
}

std::vector<std::byte> StreamSpool::load(ByteRange range) const {
  std::vector<std::byte> bytes(range.size());
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = pread(descriptor_, bytes.data() + filled, bytes.size() - filled,
                                static_cast<off_t>(range.begin + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw Error::local_io(count < 0 ? errno : EIO, "temporary file");
    filled += static_cast<std::size_t>(count);
  }
  return bytes;
}

}  // namespace red
