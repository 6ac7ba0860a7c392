#include "fuse/edited_file.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/pause.h"

namespace red {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPiece = 256 * 1024;
// Four bandwidth-delay products of 1 Gbit/s at 20 ms, and as much again that waits behind them.
constexpr std::size_t kMaxInFlight = 8 << 20;
constexpr std::size_t kMaxQueued = 8 << 20;
// A slow link is no reason to give up what waits its turn.
constexpr std::size_t kSlowestLink = 64 * 1024;  // bytes per second
constexpr std::chrono::milliseconds kFirstPause = 100ms;
constexpr std::chrono::milliseconds kLongestPause = 2s;

std::chrono::milliseconds pause_after(int tries) {
  return jittered(std::min(kFirstPause * (1 << std::min(tries, 10)), kLongestPause));
}

}  // namespace

EditedFile::EditedFile(std::shared_ptr<WritableFile> file, std::uint64_t size, FileTime modified,
                       Environment environment)
    : file_(std::move(file)),
      environment_(std::move(environment)),
      size_(size),
      modified_(modified) {}

EditedFile::~EditedFile() {
  file_->close(context(), [](const Error*) {});
}

RequestContext EditedFile::context() const {
  return RequestContext::within(environment_.retry_limit, environment_.stop);
}

std::uint64_t EditedFile::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

FileTime EditedFile::modified() const {
  const std::lock_guard lock(mutex_);
  return modified_;
}

bool EditedFile::has_unsent() const {
  const std::lock_guard lock(mutex_);
  return !queue_.empty() || !in_flight_.empty();
}

void EditedFile::give_up() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_given_up_, true) || (queue_.empty() && in_flight_.empty())) return;
  }
  environment_.on_loss(
      Error(ErrorKind::TimedOut, "the mount ended before the server had all of it"));
}

// --- writes ---

void EditedFile::write(std::uint64_t offset, std::span<const std::byte> bytes, Done done) {
  std::optional<Error> loss;
  bool has_room = false;
  {
    const std::lock_guard lock(mutex_);
    if (loss_) {
      loss = std::exchange(loss_, std::nullopt);
    } else {
      size_ = std::max(size_, offset + bytes.size());
      modified_ = wall_clock();
      Piece* last = queue_.empty() ? nullptr : queue_.back().get();
      if (last != nullptr && last->end() == offset && last->bytes.size() + bytes.size() <= kPiece) {
        last->bytes.insert(last->bytes.end(), bytes.begin(), bytes.end());
      } else {
        auto piece = std::make_shared<Piece>();
        piece->number = next_number_++;
        piece->offset = offset;
        piece->bytes.assign(bytes.begin(), bytes.end());
        queue_.push_back(std::move(piece));
      }
      queued_bytes_ += bytes.size();
      has_room = queued_bytes_ <= kMaxQueued;
      if (!has_room) writers_.push_back(std::move(done));
    }
  }
  if (loss) return done(&*loss);
  send_more();
  if (has_room) done(nullptr);
}

/// Small writes are gathered while others are under way; overlapping ones keep their order.
bool EditedFile::may_send(const Piece& piece, Urge urge) const {
  if (in_flight_.empty()) return true;
  if (in_flight_bytes_ + piece.bytes.size() > kMaxInFlight) return false;
  const bool may_grow =
      queue_.size() == 1 && piece.bytes.size() < kPiece && waiting_.empty() && urge == Urge::None;
  if (may_grow) return false;
  return std::ranges::none_of(in_flight_, [&](const std::shared_ptr<Piece>& other) {
    return piece.offset < other->end() && other->offset < piece.end();
  });
}

void EditedFile::send_more(Urge urge) {
  std::vector<std::shared_ptr<Piece>> to_send;
  std::vector<Done> writers;
  {
    const std::lock_guard lock(mutex_);
    while (!queue_.empty() && may_send(*queue_.front(), urge)) {
      const auto piece = queue_.front();
      queue_.pop_front();
      queued_bytes_ -= piece->bytes.size();
      in_flight_bytes_ += piece->bytes.size();
      const TimePoint now = std::chrono::steady_clock::now();
      const auto patience = std::chrono::seconds(in_flight_bytes_ / kSlowestLink);
      piece->deadline = now + environment_.retry_limit + patience;
      if (in_flight_.empty()) last_progress_ = now;
      in_flight_.push_back(piece);
      to_send.push_back(piece);
    }
    if (queued_bytes_ <= kMaxQueued) writers.swap(writers_);
  }
  for (const auto& piece : to_send) send(piece);
  for (const Done& done : writers) done(nullptr);
}

/// Times that are to be set once more come after the bytes that are to be written once more.
void EditedFile::send_again(const std::shared_ptr<Piece>& piece) {
  bool is_its_turn = !piece->change;
  {
    const std::lock_guard lock(mutex_);
    is_its_turn = is_its_turn || oldest_open() == piece->number;
  }
  if (is_its_turn) {
    // Others may have made progress since: then there is time beyond that of the first try.
    piece->deadline = std::max(piece->deadline, give_up_at());
    return send(piece);
  }
  environment_.timer.at(std::chrono::steady_clock::now() + kFirstPause,
                        [self = shared_from_this(), piece] { self->send_again(piece); });
}

void EditedFile::send(const std::shared_ptr<Piece>& piece) {
  const RequestContext context{piece->deadline, environment_.stop, Priority::Demand};
  if (piece->change) {
    return file_->change(
        *piece->change, context,
        [self = shared_from_this(), piece](const Error* error) { self->sent(piece, error); });
  }
  file_->write(
      piece->offset, piece->bytes, piece, context,
      [self = shared_from_this(), piece](const Error* error) { self->sent(piece, error); });
}

void EditedFile::sent(const std::shared_ptr<Piece>& piece, const Error* error) {
  const TimePoint now = std::chrono::steady_clock::now();
  if (error != nullptr && error->retryable()) {
    const TimePoint again = now + pause_after(piece->tries++);
    if (again < give_up_at() && !environment_.stop.stop_requested()) {
      environment_.timer.at(again, [self = shared_from_this(), piece] { self->send_again(piece); });
      return;
    }
  }
  std::vector<Done> ended;
  bool is_news = false;
  {
    const std::lock_guard lock(mutex_);
    is_news = error != nullptr && !is_given_up_;
    if (error == nullptr) last_progress_ = now;
    std::erase(in_flight_, piece);
    in_flight_bytes_ -= piece->bytes.size();
    if (error != nullptr) loss_ = *error;
    collect_ended(ended);
  }
  if (is_news) environment_.on_loss(*error);
  send_more();
  for (const Done& done : ended) done(nullptr);
}

TimePoint EditedFile::give_up_at() const {
  const std::lock_guard lock(mutex_);
  return last_progress_ + environment_.retry_limit;
}

std::uint64_t EditedFile::oldest_open() const {
  std::uint64_t oldest = queue_.empty() ? next_number_ : queue_.front()->number;
  for (const auto& piece : in_flight_) oldest = std::min(oldest, piece->number);
  return oldest;
}

void EditedFile::collect_ended(std::vector<Done>& ended) {
  const std::uint64_t oldest = oldest_open();
  for (auto each = waiting_.begin(); each != waiting_.end();) {
    if (each->first < oldest) {
      ended.push_back(std::move(each->second));
      each = waiting_.erase(each);
    } else {
      ++each;
    }
  }
}

void EditedFile::after_writes(Done then) {
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty() || !in_flight_.empty()) {
      waiting_.emplace_back(next_number_ - 1, std::move(then));
      then = nullptr;
    }
  }
  if (then) return then(nullptr);
  send_more();
}

// --- what comes after them ---

void EditedFile::flush(Done done) {
  after_writes([self = shared_from_this(), done = std::move(done)](const Error*) {
    std::optional<Error> loss;
    {
      const std::lock_guard lock(self->mutex_);
      loss = self->loss_;
    }
    done(loss ? &*loss : nullptr);
  });
}

void EditedFile::sync(Done done) {
  after_writes([self = shared_from_this(), done = std::move(done)](const Error*) {
    std::optional<Error> loss;
    {
      const std::lock_guard lock(self->mutex_);
      loss = std::exchange(self->loss_, std::nullopt);
    }
    if (loss) return done(&*loss);
    self->try_repeatedly([self](Done ended) { self->file_->sync(self->context(), ended); }, done);
  });
}

void EditedFile::read(ByteRange range, ReadDone done) {
  after_writes([self = shared_from_this(), range, done = std::move(done)](const Error*) {
    const ByteRange wanted{range.begin, std::min(range.end, self->size())};
    if (wanted.begin >= wanted.end) return done(nullptr, {});
    const auto bytes = std::make_shared<std::vector<std::byte>>();
    self->try_repeatedly(
        [self, wanted, bytes](Done ended) {
          self->file_->read(wanted, self->context(),
                            [bytes, ended](const Error* error, std::vector<std::byte> read) {
                              *bytes = std::move(read);
                              ended(error);
                            });
        },
        [bytes, done](const Error* error) { done(error, std::move(*bytes)); });
  });
}

/// What does not touch the bytes need not wait for them where the server keeps the order anyway.
void EditedFile::change(const FileChange& change, Done done) {
  if (send_along(change)) return done(nullptr);
  auto make = [self = shared_from_this(), change, done = std::move(done)](const Error*) {
    self->try_repeatedly(
        [self, change](Done ended) { self->file_->change(change, self->context(), ended); },
        [self, change, done](const Error* error) {
          if (error == nullptr) self->adopt(change);
          if (error == nullptr && (change.modified || change.accessed)) {
            *self->environment_.sets_times = true;
          }
          done(error);
        });
  };
  if (change.size || !file_->changes_in_order()) return after_writes(std::move(make));
  send_more(Urge::SendAll);
  has_sent_all() ? make(nullptr) : after_writes(std::move(make));
}

/// False if it has to be waited for.
bool EditedFile::send_along(const FileChange& change) {
  if (change.size || change.mode || !*environment_.sets_times) return false;
  if (!file_->changes_in_order()) return false;
  send_more(Urge::SendAll);
  const auto piece = std::make_shared<Piece>();
  {
    const std::lock_guard lock(mutex_);
    const bool is_behind_bytes =
        queue_.empty() && !in_flight_.empty() &&
        std::ranges::all_of(in_flight_, [](const auto& other) { return other->tries == 0; });
    if (!is_behind_bytes) return false;
    piece->number = next_number_++;
    piece->change = change;
    piece->offset = size_;
    piece->deadline = std::chrono::steady_clock::now() + environment_.retry_limit;
    in_flight_.push_back(piece);
    if (change.modified) modified_ = *change.modified;
  }
  send(piece);
  return true;
}

/// A connection that breaks is waited for.
void EditedFile::try_repeatedly(std::function<void(Done)> operation, Done done) {
  const auto give_up = std::chrono::steady_clock::now() + environment_.retry_limit;
  attempt(std::move(operation), std::move(done), give_up, 0);
}

void EditedFile::attempt(std::function<void(Done)> operation, Done done, TimePoint give_up,
                         int tries) {
  operation([self = shared_from_this(), operation, done, give_up, tries](const Error* error) {
    const TimePoint again = std::chrono::steady_clock::now() + pause_after(tries);
    if (error == nullptr || !error->retryable() || again >= give_up ||
        self->environment_.stop.stop_requested()) {
      return done(error);
    }
    self->environment_.timer.at(again, [self, operation, done, give_up, tries] {
      self->attempt(operation, done, give_up, tries + 1);
    });
  });
}

/// True when no write waits for its turn or for another try.
bool EditedFile::has_sent_all() {
  const std::lock_guard lock(mutex_);
  return queue_.empty() &&
         std::ranges::all_of(in_flight_, [](const auto& piece) { return piece->tries == 0; });
}

void EditedFile::filled_to(std::uint64_t end) {
  const std::lock_guard lock(mutex_);
  size_ = std::max(size_, end);
  modified_ = wall_clock();
}

void EditedFile::adopt(const FileChange& change) {
  const std::lock_guard lock(mutex_);
  if (change.size) {
    size_ = *change.size;
    modified_ = wall_clock();
  }
  if (change.modified) modified_ = *change.modified;
}

}  // namespace red
