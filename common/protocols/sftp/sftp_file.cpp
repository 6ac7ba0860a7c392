#include "common/protocols/sftp/sftp_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "common/protocols/sftp/sftp_paths.h"

namespace red {
namespace {

// What is asked for together with the attributes, before they are known; held back if the server
// answers out of order.
constexpr std::uint64_t kFirstPiece = 1 << 20;

Error changed(const std::string& path) {
  return Error(ErrorKind::ChangedRemotely, path + ": changed on the server while it was read");
}

}  // namespace

/// One read: the attributes and the first bytes are asked for at once, so that a small file costs
/// two round trips, its opening included. All steps run on the handle's connection, but for
/// start().
class SftpFile::Read final : public SftpReceiver, public std::enable_shared_from_this<Read> {
 public:
  Read(std::shared_ptr<SftpFile> file, std::optional<ByteRange> range,
       std::shared_ptr<ReadSink> sink, const RequestContext& context)
      : file_(std::move(file)), range_(range), sink_(std::move(sink)), context_(context) {}

  void start(const std::shared_ptr<SftpHandle>& handle) {
    handle_ = handle;
    position_ = range_ ? range_->begin : 0;
    const auto known = range_ ? std::optional(range_->end) : file_->version().size;
    const std::uint64_t first = std::min(known.value_or(kFirstPiece) - position_, kFirstPiece);
    first_end_ = position_ + first;
    is_first_done_ = first == 0;
    handle->stat(context_, [self = shared_from_this()](const Error* error, SftpAttributes found) {
      self->answered(error, found);
    });
    if (first > 0) handle->read(position_, first, shared_from_this(), context_);
    // Nothing more will be asked of it: closing needs no round trip of its own.
    if (!range_ && known == first_end_) handle->close(context_, [](const Error*) {});
  }

  void fail(const Error& error) {
    if (!is_ended_.exchange(true)) sink_->finish(&error);
  }

  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (is_ended_) return false;
    if (!is_answered_) {
      held_.insert(held_.end(), bytes.begin(), bytes.end());
      return true;
    }
    return deliver(offset, bytes);
  }

  void finish(const Error* error) noexcept override {
    if (error != nullptr) return fail(*error);
    is_first_done_ = true;
    if (is_answered_) go_on();
  }

 private:
  void answered(const Error* error, const SftpAttributes& found) {
    if (error != nullptr) return fail(*error);
    try {
      begin(found);
    } catch (...) {
      return fail(current_exception_as_error());
    }
    is_answered_ = true;
    if (is_ended_) return;
    if (!held_.empty() && !deliver(position_, held_)) return;
    held_ = {};
    if (is_first_done_) go_on();
  }

  void begin(const SftpAttributes& found) {
    const auto entry = to_entry({}, found);
    if (!entry || entry->kind != EntryKind::File) {
      throw Error(ErrorKind::Unsupported,
                  file_->path_ + ": is " + (entry ? "a directory" : "no regular file"));
    }
    ReadAnswer answer;
    answer.version = file_->pin(found);
    if (!answer.version.size) {
      throw Error(ErrorKind::Protocol, file_->path_ + ": the server does not tell its size");
    }
    end_ = range_ ? std::min(range_->end, *answer.version.size) : *answer.version.size;
    answer.offset = position_;
    answer.is_range = range_.has_value();
    answer.ranges_supported = true;
    answer.mode = entry->mode;
    if (!sink_->begin(answer)) fail(not_wanted());
  }

  bool deliver(std::uint64_t offset, std::span<const std::byte> bytes) {
    // A file that has grown since its attributes were told ends where they say.
    const auto room = end_ > position_ ? end_ - position_ : 0;
    bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), room)));
    if (bytes.empty()) return true;
    position_ = offset + bytes.size();
    if (sink_->receive(offset, bytes)) return true;
    fail(not_wanted());
    return false;
  }

  void go_on() {
    if (is_ended_) return;
    if (position_ < std::min(first_end_, end_) || has_rest_been_asked_) {
      return position_ == end_ ? check_again() : fail(changed(file_->path_));
    }
    if (position_ >= end_) return succeed();
    has_rest_been_asked_ = true;
    handle_->read(position_, end_ - position_, shared_from_this(), context_);
  }

  /// A long read may have seen a change in its middle.
  void check_again() {
    handle_->stat(context_, [self = shared_from_this()](const Error* error, SftpAttributes found) {
      if (error != nullptr) return self->fail(*error);
      try {
        self->file_->pin(found);
      } catch (...) {
        return self->fail(current_exception_as_error());
      }
      self->succeed();
    });
  }

  void succeed() {
    if (!is_ended_.exchange(true)) sink_->finish(nullptr);
  }

  static Error not_wanted() { return Error(ErrorKind::Cancelled, "the read is no longer wanted"); }

  const std::shared_ptr<SftpFile> file_;
  const std::optional<ByteRange> range_;
  const std::shared_ptr<ReadSink> sink_;
  const RequestContext context_;
  std::shared_ptr<SftpHandle> handle_;

  std::uint64_t position_ = 0;  ///< of the next byte for the sink
  std::uint64_t first_end_ = 0;
  std::uint64_t end_ = 0;  ///< known once answered
  bool is_first_done_ = false;
  bool is_answered_ = false;
  bool has_rest_been_asked_ = false;
  std::vector<std::byte> held_;
  std::atomic<bool> is_ended_ = false;
};

SftpFile::SftpFile(std::shared_ptr<SftpClient> client, std::string path, Version known)
    : client_(std::move(client)),
      path_(std::move(path)),
      handles_(std::make_shared<SftpHandles>(client_, path_, kSftpRead)),
      version_(std::move(known)) {}

Version SftpFile::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

Version SftpFile::pin(const SftpAttributes& attributes) {
  const Version found{{}, modified_of(attributes), attributes.size};
  const std::lock_guard lock(mutex_);
  if (!version_.may_equal(found)) throw changed(path_);
  version_.complete_from(found);
  return version_;
}

void SftpFile::read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
                    const RequestContext& context) {
  const auto read = std::make_shared<Read>(shared_from_this(), range, std::move(sink), context);
  const auto start = [read](const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    error != nullptr ? read->fail(*error) : read->start(handle);
  };
  if (range) return handles_->use_best(context, start);
  client_->open(path_, kSftpRead, {}, client_->best_place(), context, start);
}

}  // namespace red
