#include "common/cache/read_ahead.h"

#include <algorithm>

namespace red {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kFirstWindow = kMiB;
// The kernel sends the reads of its own read-ahead in parallel, so they arrive a little out of
// order.
constexpr std::uint64_t kReorderSlack = 2 * kMiB;
// A run that does not start at the head of the file may be one large random read, which the kernel
// splits: it has to be this long before it counts as a stream.
constexpr std::uint64_t kMinRunInside = 2 * kMiB;
constexpr std::uint64_t kMinRunFromHead = 256 * 1024;
// The kernel's page cache has what was read. Reusing so little memory over and over is also faster:
// measured, a long scan took half of the daemon's time per byte that filling 256 MiB took.
constexpr std::uint64_t kKeptBehind = 32 * kMiB;
constexpr std::uint64_t kLeaveStep = kMiB;

}  // namespace

ReadAheadPolicy::Stream* ReadAheadPolicy::find(ByteRange range) {
  Stream* best = nullptr;
  for (Stream& stream : streams_) {
    if (stream.last_use == 0) continue;
    // Skips only as far as has been fetched already are read through; without read-ahead only what
    // follows directly belongs to the run.
    const std::uint64_t forward = stream.window == 0 ? 0 : stream.window;
    const bool touches = range.begin <= stream.position + forward &&
                         range.end + kReorderSlack >= stream.position &&
                         range.begin >= stream.start;
    if (touches && (best == nullptr || stream.last_use > best->last_use)) best = &stream;
  }
  return best;
}

ReadAheadPolicy::Stream& ReadAheadPolicy::replace_least_recent() {
  Stream& stream = *std::ranges::min_element(streams_, {}, &Stream::last_use);
  stream = Stream{};
  return stream;
}

std::optional<ByteRange> ReadAheadPolicy::observe(ByteRange range, std::uint64_t file_size,
                                                  const Limits& limits) {
  Stream* found = find(range);
  if (found == nullptr) {
    found = &replace_least_recent();
    found->start = range.begin;
    found->position = range.begin;
    found->kept_from = range.begin;
  }
  last_ = static_cast<std::size_t>(found - streams_.data());
  Stream& stream = *found;
  stream.last_use = ++uses_;
  stream.position = std::max(stream.position, range.end);
  stream.ahead = std::max(stream.ahead, stream.position);

  const std::uint64_t run = stream.position - stream.start;
  if (run < (stream.start == 0 ? kMinRunFromHead : kMinRunInside)) return std::nullopt;

  if (stream.window == 0) stream.window = kFirstWindow;
  const std::uint64_t cap = std::min(limits.max_window, run);
  std::uint64_t window = std::min(stream.window, cap);
  // More only when half of the window is used up: fewer, larger requests.
  if (stream.ahead - stream.position > window / 2) return std::nullopt;
  if (window == stream.window) stream.window = std::min(stream.window * 2, limits.max_window);
  window = std::min(stream.window, cap);

  const ByteRange next{stream.ahead, std::min(stream.position + window, file_size)};
  if (next.begin >= next.end) return std::nullopt;
  stream.ahead = next.end;
  return next;
}

std::optional<ByteRange> ReadAheadPolicy::left_behind() {
  Stream& stream = streams_[last_];
  if (stream.position < stream.kept_from + kKeptBehind + kLeaveStep) return std::nullopt;
  const ByteRange behind{stream.kept_from, stream.position - kKeptBehind};
  stream.kept_from = behind.end;
  return behind;
}

bool ReadAheadPolicy::is_sequential() const {
  return std::ranges::any_of(streams_, [](const Stream& stream) { return stream.window != 0; });
}

}  // namespace red
