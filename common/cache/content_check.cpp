#include "common/cache/content_check.h"

#include <algorithm>
#include <string>
#include <utility>

namespace red {
namespace {

// What is asked for at a time while proving; more is read ahead.
constexpr std::uint64_t kChunk = 1024 * 1024;
// The kernel's own reading ahead arrives a little out of order. Blocks that are further ahead are
// not kept for the hash, but read again when it gets there.
constexpr std::uint64_t kHeldBlocks = 2 * 1024 * 1024 / kBlockSize;

using Pieces = std::vector<std::span<const std::byte>>;

/// Goes through what was read from front to back.
class PieceReader {
 public:
  explicit PieceReader(const ReadBytes& bytes) : bytes_(bytes) {}

  /// The next `count` bytes, fewer at the end.
  Pieces take(std::uint64_t count) {
    Pieces taken;
    while (count > 0 && piece_ < bytes_.pieces.size()) {
      const auto rest = bytes_.pieces[piece_].subspan(offset_);
      const auto part =
          rest.first(static_cast<std::size_t>(std::min<std::uint64_t>(count, rest.size())));
      if (!part.empty()) taken.push_back(part);
      count -= part.size();
      offset_ += part.size();
      if (offset_ == bytes_.pieces[piece_].size()) {
        ++piece_;
        offset_ = 0;
      }
    }
    return taken;
  }

 private:
  const ReadBytes& bytes_;
  std::size_t piece_ = 0;
  std::size_t offset_ = 0;
};

/// The part [within] of bytes that begin at `begin` in the file.
ReadBytes part_of(const std::shared_ptr<const ReadBytes>& bytes, std::uint64_t begin,
                  ByteRange within) {
  PieceReader reader(*bytes);
  reader.take(within.begin - begin);
  return {reader.take(within.size()), {bytes}};
}

Error altered() {
  return Error(ErrorKind::Integrity, "the bytes are not those that were read there before");
}

Error cut_short() {
  return Error(ErrorKind::Integrity, "the content ends before the size that was promised");
}

}  // namespace

ContentCheck::ContentCheck(Checksum promised, std::optional<std::uint64_t> size,
                           const Limits& limits, Verdict on_verdict)
    : promised_(std::move(promised)),
      limits_(limits),
      is_proved_first_(!size || *size <= limits.proved_first),
      on_verdict_(std::move(on_verdict)),
      size_(size),
      hash_(promised_.algorithm) {
  if (size_) {
    unseen_ = (*size_ + kBlockSize - 1) / kBlockSize;
    digests_.resize(unseen_);
  }
  // Of an empty file nobody ever reads a byte.
  if (size_ == 0) conclude();
}

ContentCheck::~ContentCheck() { ahead_stop_.request_stop(); }

ContentCheck::State ContentCheck::state() const {
  const std::lock_guard lock(mutex_);
  if (failure_) return State::Refuted;
  return is_proved_ ? State::Proved : State::Unproved;
}

std::optional<Error> ContentCheck::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

bool ContentCheck::must_wait() const { return !is_proved_ && (is_proved_first_ || unseen_ == 0); }

ByteRange ContentCheck::blocks_around(ByteRange range) const {
  const std::uint64_t end = (range.end + kBlockSize - 1) / kBlockSize * kBlockSize;
  return {range.begin / kBlockSize * kBlockSize, size_ ? std::min(end, *size_) : end};
}

// --- readers ---

std::function<void(const Error&)> ContentCheck::read(const std::shared_ptr<CachedFile>& file,
                                                     ByteRange range, Completion completion) {
  std::optional<Error> refusal;
  bool waits = false;
  {
    const std::lock_guard lock(mutex_);
    if (size_) range.end = std::min(range.end, *size_);
    refusal = failure_;
    waits = must_wait();
  }
  if (refusal || range.begin >= range.end) {
    completion(refusal ? &*refusal : nullptr, {});
    return [](const Error&) {};
  }
  return waits ? wait_for_proof(file, range, std::move(completion))
               : read_now(file, range, std::move(completion));
}

std::function<void(const Error&)> ContentCheck::read_now(const std::shared_ptr<CachedFile>& file,
                                                         ByteRange range, Completion completion) {
  ByteRange around;
  {
    const std::lock_guard lock(mutex_);
    if (size_) range.end = std::min(range.end, *size_);
    around = blocks_around(range);
  }
  if (range.begin >= range.end) {
    completion(nullptr, {});
    return [](const Error&) {};
  }
  return file->read(
      around, [self = shared_from_this(), file, range, around, completion = std::move(completion)](
                  const Error* error, ReadBytes bytes) {
        if (error != nullptr) {
          completion(error, {});
        } else {
          self->answer(file, range, around, std::move(bytes), completion);
        }
      });
}

/// Blocks have been read for a reader.
void ContentCheck::answer(const std::shared_ptr<CachedFile>& file, ByteRange range,
                          ByteRange around, ReadBytes bytes, Completion completion) {
  const auto owner = std::make_shared<const ReadBytes>(std::move(bytes));
  if (owner->size() != around.size()) return refuse(file, around, cut_short(), completion);
  std::vector<SeenBlock> blocks = look_at(around.begin, owner);
  Finding finding = Finding::Good;
  {
    const std::lock_guard lock(mutex_);
    finding = take_note(blocks, Purpose::ForReader);
  }
  switch (finding) {
    case Finding::Altered:
      return refuse(file, around, altered(), completion);
    case Finding::MustWait:
      wait_for_proof(file, range, std::move(completion));
      return;
    case Finding::Good:
      completion(nullptr, part_of(owner, around.begin, range));
      advance(file);
  }
}

/// What was proved stays proved: then a copy has been damaged on its way, and is fetched anew by
/// whoever tries again. Before that nobody can say which of the two is right.
void ContentCheck::refuse(const std::shared_ptr<CachedFile>& file, ByteRange around,
                          const Error& why, const Completion& completion) {
  file->drop({around.begin, around.end + kBlockSize - 1});
  file->distrust();
  if (state() != State::Proved) refute(file, why);
  completion(&why, {});
}

std::function<void(const Error&)> ContentCheck::wait_for_proof(
    const std::shared_ptr<CachedFile>& file, ByteRange range, Completion completion) {
  std::uint64_t ticket = 0;
  std::optional<Error> refusal;
  {
    const std::lock_guard lock(mutex_);
    refusal = failure_;
    if (!refusal && !is_proved_) {
      ticket = next_ticket_++;
      waiting_.push_back({ticket, file, range, std::move(completion)});
    }
  }
  if (refusal) {
    completion(&*refusal, {});
    return [](const Error&) {};
  }
  if (ticket == 0) return read_now(file, range, std::move(completion));
  advance(file);
  return [self = weak_from_this(), ticket](const Error& error) {
    if (const auto check = self.lock()) check->abandon(ticket, error);
  };
}

void ContentCheck::abandon(std::uint64_t ticket, const Error& error) {
  std::optional<WaitingRead> found;
  std::stop_source ahead(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    const auto position = std::ranges::find(waiting_, ticket, &WaitingRead::ticket);
    if (position == waiting_.end()) return;
    found = std::move(*position);
    waiting_.erase(position);
    if (waiting_.empty()) ahead = call_off_ahead();
  }
  ahead.request_stop();
  found->completion(&error, {});
}

std::stop_source ContentCheck::call_off_ahead() {
  ahead_ = 0;
  return std::exchange(ahead_stop_, std::stop_source());
}

void ContentCheck::let_go() {
  const std::lock_guard lock(mutex_);
  held_.clear();
}

// --- what is known of blocks ---

std::vector<ContentCheck::SeenBlock> ContentCheck::look_at(
    std::uint64_t begin, const std::shared_ptr<const ReadBytes>& bytes) {
  std::vector<SeenBlock> blocks;
  PieceReader reader(*bytes);
  for (std::uint64_t index = begin / kBlockSize;; ++index) {
    Pieces pieces = reader.take(kBlockSize);
    if (pieces.empty()) return blocks;
    const std::uint64_t digest = keyed_digest(pieces);
    blocks.push_back({index, digest, std::move(pieces), bytes});
  }
}

ContentCheck::Finding ContentCheck::take_note(std::vector<SeenBlock>& blocks, Purpose purpose) {
  for (SeenBlock& block : blocks) {
    if (block.index >= digests_.size()) digests_.resize(block.index + 1);
    std::uint64_t& known = digests_[block.index];
    if (known == 0) {
      known = block.digest;
      if (unseen_ > 0) --unseen_;
    } else if (known != block.digest) {
      return Finding::Altered;
    }
    const std::uint64_t held_until =
        purpose == Purpose::ForProof ? UINT64_MAX : next_ + kHeldBlocks;
    const bool is_next = block.index >= next_ && block.index < held_until;
    if (!is_proved_ && !failure_ && is_next) held_.try_emplace(block.index, std::move(block));
  }
  return must_wait() && purpose == Purpose::ForReader ? Finding::MustWait : Finding::Good;
}

// --- the proof ---

/// Hashes what can be hashed; while somebody waits for the proof, fetches what is missing. On one
/// thread at a time: the others leave what they bring to it.
void ContentCheck::advance(const std::shared_ptr<CachedFile>& file) {
  std::unique_lock lock(mutex_);
  if (std::exchange(is_advancing_, true)) return;
  while (step(lock, file)) {
  }
  is_advancing_ = false;
  tell_verdict(lock, file);
}

bool ContentCheck::step(std::unique_lock<std::mutex>& lock,
                        const std::shared_ptr<CachedFile>& file) {
  if (is_proved_ || failure_) return false;
  if (is_hashed()) {
    conclude();
    return false;
  }
  if (!held_.empty() && held_.begin()->first == next_) {
    hash_next(lock);
    return true;
  }
  if (waiting_.empty() || is_fetching_) return false;
  fetch_next(lock, file);
  // It may have come at once.
  return !is_fetching_;
}

bool ContentCheck::is_hashed() const { return size_ && next_ * kBlockSize >= *size_; }

void ContentCheck::hash_next(std::unique_lock<std::mutex>& lock) {
  const SeenBlock block = std::move(held_.extract(held_.begin()).mapped());
  ++next_;  // first: nobody may bring it again meanwhile
  lock.unlock();
  for (const auto& piece : block.pieces) hash_.update(piece);
  lock.lock();
}

void ContentCheck::fetch_next(std::unique_lock<std::mutex>& lock,
                              const std::shared_ptr<CachedFile>& file) {
  is_fetching_ = true;
  const std::uint64_t begin = next_ * kBlockSize;
  const ByteRange chunk{begin, std::min(begin + kChunk, size_.value_or(UINT64_MAX))};
  ahead_ = std::max(ahead_, chunk.end);
  std::optional<ByteRange> ahead;
  // The first answer tells whether the server serves ranges at all.
  const bool is_due = begin > 0 && ahead_ - begin <= limits_.max_ahead / 2;
  if (is_due && size_ && ahead_ < *size_) {
    ahead = {ahead_, std::min(begin + limits_.max_ahead, *size_)};
    ahead_ = ahead->end;
  }
  const std::stop_token stop = ahead_stop_.get_token();
  lock.unlock();
  file->read(chunk, [self = shared_from_this(), file, chunk](const Error* error, ReadBytes bytes) {
    self->fetched(file, chunk, error, std::move(bytes));
  });
  if (ahead) file->read_ahead(*ahead, stop);
  lock.lock();
}

/// Called inside fetch_next() if the bytes were at hand; then advance() does nothing here.
void ContentCheck::fetched(const std::shared_ptr<CachedFile>& file, ByteRange asked,
                           const Error* error, ReadBytes bytes) {
  if (error != nullptr) return fail_waiting(*error);
  const auto owner = std::make_shared<const ReadBytes>(std::move(bytes));
  std::vector<SeenBlock> blocks = look_at(asked.begin, owner);
  std::optional<Error> fault;
  {
    const std::lock_guard lock(mutex_);
    const bool is_end = owner->size() < asked.size();
    if (is_end && size_) fault = cut_short();
    if (is_end && !size_) size_ = asked.begin + owner->size();
    if (take_note(blocks, Purpose::ForProof) == Finding::Altered) fault = altered();
    is_fetching_ = false;
  }
  if (fault) refute(file, *fault);
  advance(file);
}

/// The content could not be fetched: nothing is known of it yet. Whoever reads next tries again
/// from where the hash has come.
void ContentCheck::fail_waiting(const Error& error) {
  std::vector<WaitingRead> failed;
  std::stop_source ahead(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    is_fetching_ = false;
    ahead = call_off_ahead();
    failed.swap(waiting_);
  }
  ahead.request_stop();
  for (const WaitingRead& read : failed) read.completion(&error, {});
}

void ContentCheck::conclude() {
  const std::string found = hash_.hex();
  if (found == promised_.hex) {
    is_proved_ = true;
  } else {
    failure_ =
        Error(ErrorKind::Integrity, "the file's " + std::string(name_of(promised_.algorithm)) +
                                        " is " + found + " instead of " + promised_.hex);
  }
  held_.clear();
}

void ContentCheck::refute(const std::shared_ptr<CachedFile>& file, Error error) {
  std::unique_lock lock(mutex_);
  if (is_proved_ || failure_) return;
  failure_ = std::move(error);
  held_.clear();
  tell_verdict(lock, file);
}

/// To everybody who waits, and to the owner the first time.
void ContentCheck::tell_verdict(std::unique_lock<std::mutex>& lock,
                                const std::shared_ptr<CachedFile>& file) {
  if (!is_proved_ && !failure_) return;
  const std::vector<WaitingRead> waiting = std::exchange(waiting_, {});
  const bool is_first = !std::exchange(is_verdict_told_, true);
  const std::optional<Error> failure = failure_;
  lock.unlock();
  if (is_first && failure) file->distrust();
  if (is_first && on_verdict_) on_verdict_(failure ? &*failure : nullptr);
  for (const WaitingRead& read : waiting) {
    if (failure) {
      read.completion(&*failure, {});
    } else {
      read_now(read.file, read.range, read.completion);
    }
  }
}

}  // namespace red
