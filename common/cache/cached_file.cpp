#include "common/cache/cached_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace red {
namespace {

constexpr std::uint64_t kMaxBlocksPerDemandFetch = 4 * 1024 * 1024 / kBlockSize;
// Pieces of reading ahead: large enough to amortise a request, small enough to come in parallel.
constexpr std::uint64_t kMinBlocksPerPiece = 512 * 1024 / kBlockSize;
constexpr std::uint64_t kMaxBlocksPerPiece = 4 * 1024 * 1024 / kBlockSize;
// What the kernel asks again directly after a failure is answered with that failure for so long.
constexpr std::chrono::milliseconds kFailureMemory{1000};

BlockRun blocks_of(ByteRange range) {
  return {range.begin / kBlockSize, (range.end + kBlockSize - 1) / kBlockSize};
}

ReadBytes slice(ByteRange range, std::vector<std::shared_ptr<Block>> blocks) {
  ReadBytes bytes;
  bytes.pieces.reserve(blocks.size());
  bytes.owners.reserve(blocks.size());
  std::uint64_t at = range.begin;
  for (std::shared_ptr<Block>& block : blocks) {
    const std::uint64_t within = at % kBlockSize;
    const std::uint64_t count = std::min(kBlockSize - within, range.end - at);
    const std::byte* data = block->data() + within;
    if (!bytes.pieces.empty() && bytes.pieces.back().data() + bytes.pieces.back().size() == data) {
      bytes.pieces.back() = {bytes.pieces.back().data(), bytes.pieces.back().size() + count};
    } else {
      bytes.pieces.emplace_back(data, count);
    }
    at += count;
    bytes.owners.push_back(std::move(block));
  }
  return bytes;
}

ReadBytes own(std::vector<std::byte> data) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(data));
  ReadBytes bytes;
  if (!owner->empty()) bytes.pieces.emplace_back(*owner);
  bytes.owners.push_back(std::move(owner));
  return bytes;
}

}  // namespace

std::size_t ReadBytes::size() const {
  std::size_t total = 0;
  for (const auto& piece : pieces) total += piece.size();
  return total;
}

/// A reader's request for blocks, with what it takes to serve it from a spool instead.
struct CachedFile::PendingRead : BlockRequest {
  PendingRead(Timer& timer_of_reads, ByteRange wanted, TimePoint deadline,
              CachedFile::Completion to_reply)
      : BlockRequest(blocks_of(wanted), deadline,
                     [this](const Error* error, std::vector<std::shared_ptr<Block>> blocks) {
                       disarm();
                       reply(error, error ? ReadBytes{} : slice(bytes, std::move(blocks)));
                     }),
        timer(timer_of_reads),
        bytes(wanted),
        reply(std::move(to_reply)) {}

  /// Called once the request waits; it may have completed meanwhile.
  void arm(std::function<void()> expire) {
    const Timer::Id id = timer.at(deadline(), std::move(expire));
    Timer::Id unarmed = 0;
    if (!armed.compare_exchange_strong(unarmed, id)) timer.cancel(id);
  }
  void disarm() {
    const Timer::Id id = armed.exchange(kCompleted);
    if (id != 0 && id != kCompleted) timer.cancel(id);
  }
  bool is_complete() const { return armed.load() == kCompleted; }

  static constexpr Timer::Id kCompleted = ~Timer::Id{0};

  Timer& timer;
  const ByteRange bytes;
  CachedFile::Completion reply;
  std::atomic<Timer::Id> armed{0};
};

/// Fills claimed blocks from one read of the remote file.
class CachedFile::Fetch final : public ReadSink {
 public:
  Fetch(std::shared_ptr<CachedFile> file, BlockRun run)
      : file_(std::move(file)), run_(run), range_(file_->bytes_of(run)), next_(range_.begin) {}

  bool begin(const ReadAnswer& answer) override {
    if (diverted_) return diverted_->begin(answer);
    file_->answered(answer);
    const bool is_all_we_want =
        run_.first == 0 && answer.version.size && *answer.version.size <= range_.end;
    if (!answer.is_range && !is_all_we_want) return divert(answer);
    // Of what nobody has seen yet, another beginning may take the place.
    if (answer.offset == range_.begin && done_ == run_.first) next_ = range_.begin;
    return answer.offset == next_;
  }

  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (diverted_) return diverted_->receive(offset, bytes);
    while (!bytes.empty() && next_ < range_.end) {
      if (!block_) block_ = file_->environment_.cache.claimed(file_->content_, done_);
      const std::uint64_t within = next_ % kBlockSize;
      const std::uint64_t block_end = std::min((done_ + 1) * kBlockSize, range_.end);
      const std::size_t count = std::min<std::size_t>(bytes.size(), block_end - next_);
      std::memcpy(block_->data() + within, bytes.data(), count);
      bytes = bytes.subspan(count);
      next_ += count;
      if (next_ == block_end) publish(block_end - done_ * kBlockSize);
    }
    return bytes.empty();
  }

  void finish(const Error* error) noexcept override {
    if (diverted_) {
      diverted_->finish(error);
    } else if (done_ < run_.end) {
      file_->fetch_failed(
          {done_, run_.end},
          error ? *error : Error(ErrorKind::Protocol, "the answer is shorter than asked"));
    }
  }

 private:
  void publish(std::size_t bytes) {
    block_.reset();
    file_->environment_.cache.publish(file_->content_, done_++, file_->environment_.keep_blocks,
                                      bytes);
  }

  /// The server sends the whole file: it goes to the spool, and so do those who wait for blocks.
  bool divert(const ReadAnswer& answer) {
    bool is_new = false;
    const std::shared_ptr<StreamSpool> spool = file_->spool_or_new(is_new);
    const auto requests = file_->environment_.cache.release(file_->content_, {done_, run_.end});
    done_ = run_.end;
    block_.reset();
    bool wanted = false;
    if (is_new) {
      diverted_ = spool;
      wanted = spool->begin(answer);
    }
    file_->move_to_spool(requests);
    return wanted;
  }

  const std::shared_ptr<CachedFile> file_;
  const BlockRun run_;
  const ByteRange range_;
  std::uint64_t next_;               ///< offset of the next byte
  std::uint64_t done_ = run_.first;  ///< blocks before it are published
  std::shared_ptr<Block> block_;     ///< the one being filled
  std::shared_ptr<StreamSpool> diverted_;
};

CachedFile::CachedFile(std::shared_ptr<RemoteFile> remote, ContentId content,
                       std::optional<std::uint64_t> size, const Environment& environment,
                       Listener listener)
    : remote_(std::move(remote)),
      content_(content),
      environment_(environment),
      listener_(std::move(listener)),
      spooled_(!size.has_value()),
      size_(size) {}

CachedFile::~CachedFile() {
  if (spool_) spool_->close();
}

std::optional<std::uint64_t> CachedFile::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

RequestContext CachedFile::context_for(Priority priority, std::stop_token stop) const {
  return {now() + environment_.read_limit, std::move(stop), priority};
}

ByteRange CachedFile::bytes_of(BlockRun run) const {
  return {run.first * kBlockSize, std::min(run.end * kBlockSize, size().value_or(UINT64_MAX))};
}

std::function<void(const Error&)> CachedFile::read(ByteRange range, Completion completion) {
  if (const auto known = size()) range.end = std::min(range.end, *known);
  if (range.begin >= range.end) {
    completion(nullptr, {});
    return [](const Error&) {};
  }
  if (!serves_ranges()) return read_spooled(range, std::move(completion));
  if (const auto failure = recent_failure(blocks_of(range))) {
    completion(&*failure, {});
    return [](const Error&) {};
  }
  return read_blocks(range, now() + environment_.read_limit, std::move(completion));
}

std::function<void(const Error&)> CachedFile::read_blocks(ByteRange range, TimePoint deadline,
                                                          Completion completion) {
  auto request =
      std::make_shared<PendingRead>(environment_.timer, range, deadline, std::move(completion));
  const std::vector<BlockRun> missing = environment_.cache.request(content_, request);
  if (request->is_complete()) return [](const Error&) {};
  const std::weak_ptr<PendingRead> waiting = request;
  const auto abandon = [self = weak_from_this(), waiting](const Error& error) {
    const auto file = self.lock();
    const auto pending = waiting.lock();
    return file && pending && file->environment_.cache.abandon(pending, error);
  };
  request->arm([self = weak_from_this(), run = request->run(), abandon] {
    const Error error(ErrorKind::TimedOut, "the server did not deliver in time");
    const auto file = self.lock();
    if (!file) return;
    file->remember_failure(run, error);
    abandon(error);
  });
  start_fetches(missing, kMaxBlocksPerDemandFetch,
                context_for(Priority::Demand, environment_.stop));
  return [abandon](const Error& error) { abandon(error); };
}

void CachedFile::read_ahead(ByteRange range, std::stop_token stop) {
  if (!serves_ranges()) return;
  const std::vector<BlockRun> missing =
      environment_.cache.claim_ahead(content_, {range.begin / kBlockSize, blocks_of(range).end});
  const std::uint64_t piece =
      std::clamp(range.size() / kBlockSize / 4, kMinBlocksPerPiece, kMaxBlocksPerPiece);
  start_fetches(missing, piece, context_for(Priority::Background, std::move(stop)));
}

void CachedFile::drop(ByteRange range) {
  environment_.cache.drop(content_,
                          {(range.begin + kBlockSize - 1) / kBlockSize, range.end / kBlockSize});
}

void CachedFile::start_fetches(const std::vector<BlockRun>& runs, std::uint64_t max_blocks,
                               const RequestContext& context) {
  for (const BlockRun& run : runs) {
    for (std::uint64_t first = run.first; first < run.end; first += max_blocks) {
      const BlockRun piece{first, std::min(first + max_blocks, run.end)};
      remote_->read(bytes_of(piece), std::make_shared<Fetch>(shared_from_this(), piece), context);
    }
  }
}

void CachedFile::fetch_failed(BlockRun run, const Error& error) {
  const bool may_try_again = error.retryable() || error.kind() == ErrorKind::Cancelled;
  const bool stopping = environment_.stop.stop_requested();
  // A fetch may be older than those who joined it: what they still have time for is fetched anew.
  const TimePoint retry_before =
      may_try_again && !stopping ? now() + std::chrono::seconds(1) : TimePoint::max();
  if (error.retryable()) remember_failure(run, error);
  if (!error.retryable() && error.kind() != ErrorKind::Cancelled) listener_.on_failure(error);
  const auto still_wanted = environment_.cache.fail(content_, run, error, retry_before);
  start_fetches(still_wanted, kMaxBlocksPerDemandFetch,
                context_for(Priority::Demand, environment_.stop));
}

void CachedFile::answered(const ReadAnswer& answer) {
  {
    const std::lock_guard lock(mutex_);
    if (!size_) size_ = answer.version.size;
  }
  if (!answer.is_from_cache) listener_.on_answer(answer);
}

void CachedFile::remember_failure(BlockRun run, const Error& error) {
  const std::lock_guard lock(mutex_);
  std::erase_if(failures_, [this](const RecentFailure& failure) { return failure.until < now(); });
  constexpr std::size_t kMaxRemembered = 64;
  if (failures_.size() < kMaxRemembered) failures_.push_back({run, now() + kFailureMemory, error});
}

std::optional<Error> CachedFile::recent_failure(BlockRun run) {
  const std::lock_guard lock(mutex_);
  for (const RecentFailure& failure : failures_) {
    const bool overlaps = failure.run.first < run.end && run.first < failure.run.end;
    if (overlaps && failure.until > now()) return failure.error;
  }
  return std::nullopt;
}

std::shared_ptr<StreamSpool> CachedFile::spool_or_new(bool& is_new) {
  const std::lock_guard lock(mutex_);
  is_new = spool_ == nullptr;
  if (is_new) {
    spool_ = std::make_shared<StreamSpool>(environment_.cache,
                                           [self = weak_from_this()](const ReadAnswer& answer) {
                                             if (const auto file = self.lock())
                                               file->answered(answer);
                                           });
    spooled_.store(true, std::memory_order_release);
  }
  return spool_;
}

std::shared_ptr<StreamSpool> CachedFile::started_spool() {
  bool is_new = false;
  std::shared_ptr<StreamSpool> spool = spool_or_new(is_new);
  if (is_new) {
    // The stream as a whole has no deadline: it may be long. Its stalls are found by the transport.
    remote_->read(std::nullopt, spool, {TimePoint::max(), environment_.stop, Priority::Demand});
  }
  return spool;
}

void CachedFile::move_to_spool(const std::vector<std::shared_ptr<BlockRequest>>& requests) {
  for (const auto& request : requests) {
    if (!environment_.cache.take_over(request)) continue;
    const auto pending = std::static_pointer_cast<PendingRead>(request);
    pending->disarm();
    read_spooled(pending->bytes, std::move(pending->reply));
  }
}

std::function<void(const Error&)> CachedFile::read_spooled(ByteRange range, Completion completion) {
  std::shared_ptr<StreamSpool> spool = started_spool();
  const std::uint64_t ticket = spool->read(
      range, [completion = std::move(completion)](const Error* error, std::vector<std::byte> data) {
        completion(error, error ? ReadBytes{} : own(std::move(data)));
      });
  watch_spooled(spool, ticket, spool->bytes_arrived());
  return [spool, ticket](const Error& error) { spool->abandon(ticket, error); };
}

/// A read of a stream waits as long as the stream goes on: what it wants may be far behind.
void CachedFile::watch_spooled(const std::shared_ptr<StreamSpool>& spool, std::uint64_t ticket,
                               std::uint64_t arrived_before) {
  if (!spool->is_waiting(ticket)) return;
  environment_.timer.at(
      now() + environment_.read_limit, [self = weak_from_this(), spool, ticket, arrived_before] {
        const auto file = self.lock();
        const std::uint64_t arrived = spool->bytes_arrived();
        if (file && arrived > arrived_before) {
          file->watch_spooled(spool, ticket, arrived);
        } else {
          spool->abandon(ticket, Error(ErrorKind::TimedOut, "the server did not deliver in time"));
        }
      });
}

}  // namespace red
