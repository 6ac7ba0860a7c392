#include "common/cache/disk_cached_read.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace red {
namespace {

// What is loaded at once: small enough to stay in the processor's cache from the disk to the sink.
constexpr std::size_t kLoadBytes = 4 * kBlockSize;
// From here on the kernel is told what will be loaded.
constexpr std::uint64_t kWorthReadingAhead = 8 * kBlockSize;
// A whole file of unknown version that is larger is looked for in the cache when the server has
// told the version; a smaller one has arrived by then.
constexpr std::uint64_t kWorthCallingOff = 1024 * 1024;
// What is fetched although somebody else has claimed it.
constexpr std::uint64_t kMostUnclaimed = 4 * 1024 * 1024;
// After so long a wait for another process is thought over.
constexpr std::chrono::milliseconds kThinkAgain{100};
// A disk that is slower than that is not waited for.
constexpr int kMostWaits = 10;

std::span<std::byte> load_buffer() {
  thread_local std::vector<std::byte> buffer(kLoadBytes);
  return buffer;
}

}  // namespace

/// Fetches bytes of a read from the server: passes them on, and brings them to the disk as well.
/// Holds the claim of the blocks, and renews it while a long fetch goes on.
class DiskCachedRead::Fetch final : public ReadSink, public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(std::shared_ptr<DiskCachedRead> read, std::uint64_t end,
        std::shared_ptr<ContentHandle> handle, std::shared_ptr<const HeldClaim> claim)
      : read_(std::move(read)), end_(end), handle_(std::move(handle)), claim_(std::move(claim)) {}

  void start() {
    // The plainest request, where nothing speaks against it.
    const bool is_whole = !read_->range_ && read_->next_ == 0 && end_ == read_->end_;
    const auto range = is_whole ? std::nullopt : std::optional<ByteRange>({read_->next_, end_});
    is_range_asked_ = range.has_value();
    read_->file_->remote().read(range, shared_from_this(), read_->context_);
  }

  bool begin(const ReadAnswer& told) override {
    read_->file_->answered(told);
    can_go_on_later_ = told.ranges_supported;
    if (is_range_asked_ && !told.is_range) {
      // The server serves no ranges: what comes is the whole file, and the reader's business.
      is_readers_ = true;
      if (handle_) end_ = handle_->size();
    }
    if (!is_range_asked_ && !handle_ && !is_readers_ && look_for_content()) return false;
    if (read_->has_begun_ && told.offset == read_->next_) return true;
    ReadAnswer answer = told;
    answer.is_range = told.is_range && read_->range_.has_value();
    if (!read_->sink_->begin(answer)) return false;
    read_->file_->answer_is_told();
    read_->has_begun_ = true;
    read_->next_ = told.offset;
    block_.reset();
    return true;
  }

  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    read_->next_ = offset + bytes.size();
    const bool is_wanted = read_->sink_->receive(offset, bytes);
    if (handle_) keep(offset, bytes);
    has_stopped_ = is_wanted && read_->next_ >= stop_at_;
    return is_wanted && !has_stopped_;
  }

  void finish(const Error* error) noexcept override {
    keep_nothing();
    if (is_on_disk_ || has_stopped_) return read_->go_on();
    const bool goes_on =
        error == nullptr && !is_readers_ && read_->next_ >= end_ && read_->next_ < read_->end_;
    goes_on ? read_->go_on() : read_->finish(error);
  }

 private:
  void keep_nothing() {
    handle_.reset();
    claim_.reset();
    next_claim_.reset();
    block_.reset();
  }

  /// The server has told the version of a file of which nothing was known. True if it is on disk.
  bool look_for_content() {
    try {
      const DiskCachedFile::Place place = read_->file_->place();
      if (!place.content || has_looked_) return false;
      has_looked_ = true;
      if (place.content->size() > kWorthCallingOff) {
        const auto content = place.content->open();
        is_on_disk_ = content &&
                      content->count_present({0, content->block_count()}) == content->block_count();
      }
      if (!is_on_disk_) handle_ = place.content;
      if (is_on_disk_) read_->end_ = place.content->size();
    } catch (...) {
      return false;  // then it is not kept
    }
    return is_on_disk_;
  }

  void keep(std::uint64_t offset, std::span<const std::byte> bytes) {
    const ContentLayout layout(handle_->size());
    while (!bytes.empty() && offset < layout.size) {
      const std::uint64_t index = offset / kBlockSize;
      const std::size_t within = offset % kBlockSize;
      const std::size_t count = std::min(bytes.size(), layout.block_bytes(index) - within);
      if (within == 0) begin_block(index);
      if (block_ && filled_ == within) {
        std::memcpy(block_.get() + within, bytes.data(), count);
        filled_ += count;
        if (filled_ == layout.block_bytes(index)) end_block(index);
      }
      offset += count;
      bytes = bytes.subspan(count);
    }
  }

  void begin_block(std::uint64_t index) {
    filled_ = 0;
    block_ = read_->cache().is_writable() ? read_->cache().writer().take_buffer() : nullptr;
    if (claim_ && index >= claim_->run().end) claim_ = std::move(next_claim_);
    if (claim_ && !next_claim_) renew_claim(index);
  }

  void end_block(std::uint64_t index) {
    read_->cache().writer().write({handle_, index, std::move(block_), filled_, claim_});
    block_.reset();
  }

  /// Half of a claim before its end. Where the others are at work, or were, this fetch ends.
  void renew_claim(std::uint64_t index) {
    const BlockRun held = claim_->run();
    const std::uint64_t last = (end_ + kBlockSize - 1) / kBlockSize;
    if (held.end >= last || index + DiskContent::kMostClaimed / 2 < held.end) return;
    const auto content = handle_->open();
    handle_->health().attempt([&] {
      BlockRun next{held.end, std::min(last, held.end + DiskContent::kMostClaimed)};
      next.end = next.first + content->count_missing(next);
      next.end = next.first + content->claim(next);
      if (next.first < next.end) next_claim_ = std::make_shared<HeldClaim>(content, next);
    });
    if (!next_claim_ && can_go_on_later_ && !is_readers_) stop_at_ = held.end * kBlockSize;
  }

  const std::shared_ptr<DiskCachedRead> read_;
  std::uint64_t end_;                      ///< of what comes
  std::shared_ptr<ContentHandle> handle_;  ///< null: nothing is kept
  std::shared_ptr<const HeldClaim> claim_;
  std::shared_ptr<const HeldClaim> next_claim_;
  bool is_range_asked_ = false;
  bool is_readers_ = false;  ///< what comes is not what was asked for
  bool has_looked_ = false;
  bool is_on_disk_ = false;
  bool can_go_on_later_ = false;         ///< by asking for the rest
  std::uint64_t stop_at_ = kUnknownEnd;  ///< where the reader goes on otherwise
  bool has_stopped_ = false;
  DiskWriter::Buffer block_;  ///< the one being filled, if there is room for it
  std::size_t filled_ = 0;
};

DiskCachedRead::DiskCachedRead(std::shared_ptr<DiskCachedFile> file, std::optional<ByteRange> range,
                               std::shared_ptr<ReadSink> sink, const RequestContext& context)
    : file_(std::move(file)),
      range_(range),
      sink_(std::move(sink)),
      context_(context),
      next_(range ? range->begin : 0),
      end_(range ? range->end : file_->version().size.value_or(kUnknownEnd)) {}

DiskCachedRead::~DiskCachedRead() {
  const Error error(ErrorKind::Cancelled, "the read was called off");
  finish(&error);
}

void DiskCachedRead::go_on() {
  cache().run(context_.priority, [self = shared_from_this()] { self->step(); });
}

void DiskCachedRead::step() {
  if (has_ended()) return;
  try {
    const DiskCachedFile::Place place = file_->place();
    if (place.standing == DiskCachedFile::Standing::Kept) return serve(place.content);
    const bool can_ask = place.standing == DiskCachedFile::Standing::Unknown && range_;
    if (can_ask) return file_->ask_version(shared_from_this(), context_);
  } catch (...) {
    if (is_finished_) return;
  }
  pass_by();
}

bool DiskCachedRead::has_ended() {
  if (context_.stop.stop_requested()) {
    const Error error(ErrorKind::Cancelled, "the read was called off");
    finish(&error);
  } else if (std::chrono::steady_clock::now() >= context_.deadline) {
    const Error error(ErrorKind::TimedOut, "the server did not deliver in time");
    finish(&error);
  }
  return is_finished_;
}

void DiskCachedRead::serve(const std::shared_ptr<ContentHandle>& handle) {
  const std::shared_ptr<DiskContent> content = handle->open();
  if (!content) return pass_by();
  end_ = std::min(end_, content->size());
  while (next_ < end_) {
    if (has_ended()) return;
    if (!deliver_from_disk(*content, handle->health())) return fetch_or_wait(handle, *content);
    if (is_finished_) return;
  }
  finish(nullptr);
}

/// False if the next block is not there.
bool DiskCachedRead::deliver_from_disk(DiskContent& content, DiskHealth& health) {
  const BlockRun run{next_block(), (end_ + kBlockSize - 1) / kBlockSize};
  std::size_t bytes = 0;
  health.attempt([&] {
    if (!std::exchange(is_read_ahead_, true) && end_ - next_ >= kWorthReadingAhead) {
      content.load_ahead(run);
    }
    bytes = content.load(run, load_buffer());
  });
  return bytes > 0 && deliver(load_buffer().first(bytes));
}

/// `blocks` begin with the block of the next byte. False if it is not in them.
bool DiskCachedRead::deliver(std::span<const std::byte> blocks) {
  const std::size_t within = next_ % kBlockSize;
  if (within >= blocks.size()) return false;
  auto bytes = blocks.subspan(within);
  bytes =
      bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), end_ - next_)));
  if (!std::exchange(has_begun_, true)) {
    ReadAnswer answer = file_->answer_from_cache();
    answer.offset = next_;
    answer.is_range = range_.has_value();
    if (!sink_->begin(answer)) {
      const Error error(ErrorKind::Cancelled, "the read is no longer wanted");
      finish(&error);
      return true;
    }
  }
  const std::uint64_t offset = std::exchange(next_, next_ + bytes.size());
  if (!sink_->receive(offset, bytes)) {
    const Error error(ErrorKind::Cancelled, "the read is no longer wanted");
    finish(&error);
  }
  return true;
}

void DiskCachedRead::fetch_or_wait(const std::shared_ptr<ContentHandle>& handle,
                                   DiskContent& content) {
  BlockRun run{next_block(), (end_ + kBlockSize - 1) / kBlockSize};
  const bool may_wait = context_.priority == Priority::Background && waits_for_writer_ < kMostWaits;
  if (may_wait && cache().writer().is_busy()) return wait_for_writer();
  run.end = run.first + std::max<std::uint64_t>(content.count_missing(run), 1);
  const std::uint64_t claimed = cache().is_writable() ? content.claim(run) : 0;
  if (claimed > 0) {
    BlockRun held{run.first, run.first + claimed};
    auto claim = std::make_shared<HeldClaim>(handle->open(), held);
    // Whoever had it before may have brought it since we looked.
    const std::uint64_t missing = content.count_missing(held);
    if (missing == 0) return go_on();
    const bool is_long = claimed == DiskContent::kMostClaimed && missing == claimed;
    const std::uint64_t last = is_long ? run.end : held.first + missing;
    return fetch(std::min(end_, last * kBlockSize), handle, std::move(claim));
  }
  if (may_wait_for(content)) return wait_for_block(handle->open());
  fetch(std::min(std::min(end_, run.end * kBlockSize), next_ + kMostUnclaimed), handle, nullptr);
}

/// Whoever has claimed the next block may have been stopped, or have a far slower way to the
/// server; and half of our own time has to be left for our own try.
bool DiskCachedRead::may_wait_for(DiskContent& content) {
  if (!cache().is_writable()) return false;
  const TimePoint now = std::chrono::steady_clock::now();
  if (!give_up_waiting_) {
    give_up_waiting_ = context_.deadline == TimePoint::max() ? context_.deadline
                                                             : now + (context_.deadline - now) / 2;
  }
  return now < *give_up_waiting_ && content.stalled_for(next_block(), now) <= cache().stall_limit();
}

void DiskCachedRead::wait_for_block(const std::shared_ptr<DiskContent>& content) {
  const TimePoint think_again = std::chrono::steady_clock::now() + kThinkAgain;
  const auto is_over = [content, index = next_block(), think_again, stop = context_.stop] {
    if (stop.stop_requested() || std::chrono::steady_clock::now() >= think_again) return true;
    try {
      return content->count_present({index, index + 1}) > 0 || !content->is_claimed(index);
    } catch (...) {
      return true;  // the next step sees it, too
    }
  };
  cache().poller().wait(is_over, [self = shared_from_this()] { self->go_on(); });
}

/// Only what is read ahead waits for room in the writer's queue.
void DiskCachedRead::wait_for_writer() {
  ++waits_for_writer_;
  const TimePoint think_again = std::chrono::steady_clock::now() + kThinkAgain;
  const auto is_over = [file = file_, think_again, stop = context_.stop] {
    return stop.stop_requested() || !file->cache().writer().is_busy() ||
           std::chrono::steady_clock::now() >= think_again;
  };
  cache().poller().wait(is_over, [self = shared_from_this()] { self->go_on(); });
}

void DiskCachedRead::fetch(std::uint64_t end, std::shared_ptr<ContentHandle> handle,
                           std::shared_ptr<const HeldClaim> claim) {
  std::make_shared<Fetch>(shared_from_this(), end, std::move(handle), std::move(claim))->start();
}

void DiskCachedRead::finish(const Error* error) noexcept {
  if (!is_finished_.exchange(true)) sink_->finish(error);
}

}  // namespace red
