#include "transfer/file_reception.h"

#include <algorithm>
#include <string>
#include <utility>

namespace red {
namespace {

// Below this, a second connection costs more than it brings.
constexpr std::uint64_t kShareFrom = 8 << 20;

Error wrong_size(std::uint64_t size, std::uint64_t expected) {
  return {ErrorKind::Integrity, "its size is " + std::to_string(size) + " bytes, expected are " +
                                    std::to_string(expected)};
}

}  // namespace

/// One read of the file; passes everything on.
class FileReception::Sink final : public ReadSink {
 public:
  Sink(std::shared_ptr<FileReception> reception, Id id)
      : reception_(std::move(reception)), id_(id) {}

  bool begin(const ReadAnswer& answer) override { return reception_->begin(id_, answer); }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return reception_->receive(id_, offset, bytes);
  }
  void finish(const Error* error) noexcept override { reception_->finish(id_, error); }

 private:
  const std::shared_ptr<FileReception> reception_;
  const Id id_;
};

FileReception::FileReception(std::shared_ptr<RemoteFile> file, std::shared_ptr<LocalTarget> target,
                             std::optional<std::uint64_t> expected_size,
                             std::optional<std::uint32_t> expected_mode, int max_reads,
                             Progress& progress, const Clock& clock, std::stop_token stop,
                             Callbacks callbacks)
    : file_(std::move(file)),
      expected_size_(expected_size),
      expected_mode_(expected_mode),
      max_reads_(max_reads),
      progress_(progress),
      clock_(clock),
      callbacks_(std::move(callbacks)),
      target_(std::move(target)),
      stop_watch_(std::move(stop), [this] {
        // Ending the last read may destroy this, and the source with it.
        std::stop_source kept = stop_;
        kept.request_stop();
      }) {}

void FileReception::start() {
  Id id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = segments_.add_whole();
  }
  read(id, std::nullopt);
}

void FileReception::read(Id id, std::optional<ByteRange> range) {
  RequestContext context;
  context.stop = stop_.get_token();
  file_->read(range, std::make_shared<Sink>(shared_from_this(), id), context);
}

void FileReception::tick(int max_reads) {
  std::shared_ptr<LocalTarget> target;
  std::vector<SegmentTable::Piece> pieces;
  {
    const std::lock_guard lock(mutex_);
    target = target_;
    pieces = pieces_to_start(max_reads);
  }
  if (target) target->start_writeback();
  for (const auto& piece : pieces) read(piece.id, piece.range);
}

std::shared_ptr<LocalTarget> FileReception::take_target() {
  const std::lock_guard lock(mutex_);
  return std::move(target_);
}

std::vector<SegmentTable::Piece> FileReception::pieces_to_start(int max_reads) {
  std::vector<SegmentTable::Piece> pieces;
  if (is_done_ || error_) return pieces;
  int wanted = 1;  // without a ramp, only to bring what another read gave back
  if (ramp_) wanted = std::max(1, std::min(ramp_->update(clock_.now(), received_), max_reads));
  while (static_cast<int>(segments_.active_reads()) < wanted) {
    const auto piece = segments_.take();
    if (!piece) break;
    pieces.push_back(*piece);
  }
  return pieces;
}

bool FileReception::begin(Id id, const ReadAnswer& answer) {
  try {
    if (id == 0) return begin_whole(id, answer);
    const std::lock_guard lock(mutex_);
    const bool fits = answer.is_range && answer.offset == segments_.position(id);
    if (!fits) ramp_.reset();  // this server, or this one of several, does not serve ranges
    return fits;
  } catch (...) {
    fail(current_exception_as_error());
    return false;
  }
}

bool FileReception::begin_whole(Id id, const ReadAnswer& answer) {
  const std::lock_guard lock(mutex_);
  const bool goes_on = answer.offset == segments_.position(id);
  if (!goes_on && !(answer.offset == 0 && restart(id))) {
    throw Error(ErrorKind::Network, "the transfer broke off and the server cannot resume it");
  }
  if (!size_ || !goes_on) adopt_answer(answer);
  return true;
}

/// Begins the file again after a break, if nothing else depends on what has come.
bool FileReception::restart(Id id) {
  if (target_->is_stream() || !segments_.start_over(id)) return false;
  target_->start_over();
  progress_.advance(-static_cast<std::int64_t>(received_));
  received_ = 0;
  return true;
}

void FileReception::adopt_answer(const ReadAnswer& answer) {
  target_->set_attributes({answer.mode ? answer.mode : expected_mode_, answer.version.modified});
  const auto size = answer.version.size;
  if (!size) return;
  if (expected_size_ && *expected_size_ != *size) throw wrong_size(*size, *expected_size_);
  if (!size_ && !expected_size_) progress_.expect(0, *size);
  size_ = size;
  segments_.set_size(*size);
  target_->reserve(*size);
  if (answer.ranges_supported && answer.version.is_validator() && *size > kShareFrom &&
      !target_->is_stream()) {
    ramp_.emplace(max_reads_, clock_.now());
  }
}

bool FileReception::receive(Id id, std::uint64_t offset, std::span<const std::byte> bytes) {
  try {
    std::size_t wanted = 0;
    bool goes_on = true;
    {
      const std::lock_guard lock(mutex_);
      if (error_) return false;
      if (offset != segments_.position(id)) {
        throw Error(ErrorKind::Internal, "bytes came out of order");
      }
      wanted = static_cast<std::size_t>(segments_.claim(id, bytes.size()));
      received_ += wanted;
      goes_on = !(segments_.is_complete(id) && segments_.is_cut_short(id));
      if (goes_on && wanted < bytes.size()) {
        throw Error(ErrorKind::Protocol, "the server sent more bytes than it had announced");
      }
    }
    target_->write_at(offset, bytes.first(wanted));
    progress_.advance(static_cast<std::int64_t>(wanted));
    return goes_on;
  } catch (...) {
    fail(current_exception_as_error());
    return false;
  }
}

void FileReception::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
  }
  stop_.request_stop();
}

/// Why a read that has ended did not do its work, if so.
std::optional<Error> FileReception::shortcoming(Id id, const Error* error) {
  if (error == nullptr && !size_) {
    size_ = received_;
    segments_.set_size(received_);
    if (expected_size_ && *expected_size_ != received_) {
      return wrong_size(received_, *expected_size_);
    }
  }
  if (segments_.is_complete(id) && (error == nullptr || segments_.is_cut_short(id))) {
    return std::nullopt;
  }
  if (error == nullptr) {
    return Error(ErrorKind::Protocol, "the server sent fewer bytes than it had announced");
  }
  if (error->kind() == ErrorKind::Cancelled && !stop_.stop_requested()) {
    return Error(ErrorKind::Protocol, "the server does not send the part that was asked for");
  }
  return *error;
}

/// The file may still be had by the other reads, unless the failure is not the connection's.
void FileReception::read_failed(const Error& error) {
  const int in_use = static_cast<int>(segments_.active_reads());
  const bool is_final = in_use == 1 || error.kind() == ErrorKind::LocalIo ||
                        error.kind() == ErrorKind::Integrity ||
                        error.kind() == ErrorKind::Cancelled;
  if (!error_ && is_final) error_ = error;
  if (error.kind() == ErrorKind::ChangedRemotely) ramp_.reset();
  if (ramp_) ramp_->on_refusal(in_use, clock_.now());
}

void FileReception::finish(Id id, const Error* error) noexcept {
  bool is_failed = false;
  bool is_done = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto why = shortcoming(id, error)) read_failed(*why);
    segments_.end(id);
    is_failed = error_.has_value();
    const bool is_idle = segments_.active_reads() == 0;
    is_done = is_done_ = is_idle && (is_failed || !segments_.has_free_pieces());
  }
  if (is_failed) stop_.request_stop();
  is_done ? callbacks_.on_done() : callbacks_.on_read_ended();
}

}  // namespace red
