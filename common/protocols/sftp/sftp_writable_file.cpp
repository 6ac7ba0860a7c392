#include "common/protocols/sftp/sftp_writable_file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/protocols/sftp/sftp_paths.h"

namespace red {
namespace {

/// Collects what is read.
class Collector final : public SftpReceiver {
 public:
  explicit Collector(WritableFile::ReadDone done) : done_(std::move(done)) {}

  bool receive(std::uint64_t, std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return true;
  }
  void finish(const Error* error) noexcept override {
    if (error != nullptr) bytes_.clear();
    done_(error, std::move(bytes_));
  }

 private:
  const WritableFile::ReadDone done_;
  std::vector<std::byte> bytes_;
};

/// Ends when so many parts have ended, with the first failure.
class AllEnded {
 public:
  AllEnded(std::size_t parts, WritableFile::Done done) : left_(parts), done_(std::move(done)) {}

  void ended(const Error* error) {
    std::optional<Error> failure;
    {
      const std::lock_guard lock(mutex_);
      if (error != nullptr && !failure_) failure_ = *error;
      if (--left_ > 0) return;
      failure = failure_;
    }
    done_(failure ? &*failure : nullptr);
  }

 private:
  std::mutex mutex_;
  // guarded by mutex_
  std::size_t left_;
  std::optional<Error> failure_;

  const WritableFile::Done done_;
};

}  // namespace

std::uint32_t to_sftp_time(FileTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 0xFFFFFFFF));
}

bool needs_other_time(const FileChange& change) {
  return change.modified.has_value() != change.accessed.has_value();
}

SftpAttributes to_sftp_attributes(const FileChange& change, const SftpAttributes& now) {
  SftpAttributes attributes;
  attributes.size = change.size;
  if (change.mode) attributes.mode = *change.mode & kPermissionBits;
  if (!change.modified && !change.accessed) return attributes;
  const auto modified = change.modified ? to_sftp_time(*change.modified) : 0;
  const auto accessed = change.accessed ? to_sftp_time(*change.accessed) : 0;
  // A server that does not tell the other one gets the same for both.
  const auto kept = now.times.value_or(SftpAttributes::Times{modified, accessed});
  attributes.times = SftpAttributes::Times{change.accessed ? accessed : kept.accessed,
                                           change.modified ? modified : kept.modified};
  return attributes;
}

SftpWritableFile::SftpWritableFile(std::shared_ptr<SftpClient> client, std::string path,
                                   std::uint32_t flags, std::shared_ptr<SftpHandle> handle,
                                   std::optional<FileTime> made)
    : client_(std::move(client)),
      path_(path),
      handles_(std::make_shared<SftpHandles>(client_, std::move(path), flags)),
      accessed_(made) {
  handles_->add(std::move(handle));
}

void SftpWritableFile::write(std::uint64_t offset, std::span<const std::byte> bytes,
                             std::shared_ptr<const void> owner, const RequestContext& context,
                             Done done) {
  auto explained = [self = shared_from_this(), count = bytes.size(), context,
                    done = std::move(done)](const Error* error) {
    if (error == nullptr || error->kind() != ErrorKind::Remote) return done(error);
    self->explain(*error, count, context, done);
  };
  handles_->use_best(context, [=, owner = std::move(owner), done = std::move(explained)](
                                  const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    if (error != nullptr) return done(error);
    handle->write(offset, {bytes, owner}, context, done);
  });
}

/// "Failure" is all that OpenSSH says of a full disk.
void SftpWritableFile::explain(const Error& error, std::size_t bytes, const RequestContext& context,
                               Done done) {
  client_->file_system(path_, context,
                       [path = path_, error, bytes, done = std::move(done)](
                           const Error* failure, const SftpFileSystem& space) {
                         const std::uint64_t left = space.blocks_available * space.fragment_size;
                         if (failure != nullptr || left >= bytes) return done(&error);
                         const Error full =
                             Error::local_io(ENOSPC, "writing " + path + " on the server");
                         done(&full);
                       });
}

/// ProFTPD reads no further than the file reached when it was opened.
void SftpWritableFile::read(ByteRange range, const RequestContext& context, ReadDone done) {
  read_once(range, context,
            [self = shared_from_this(), range, context, done = std::move(done)](
                const Error* error, std::vector<std::byte> bytes) {
              const bool is_short = error == nullptr && bytes.size() < range.size();
              if (!is_short || !self->handles_->renew()) return done(error, std::move(bytes));
              self->read_once(range, context, done);
            });
}

void SftpWritableFile::read_once(ByteRange range, const RequestContext& context, ReadDone done) {
  auto collector = std::make_shared<Collector>(std::move(done));
  handles_->use_best(context, [=](const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    if (error != nullptr) return collector->finish(error);
    handle->read(range.begin, range.size(), collector, context);
  });
}

/// Nothing if a time would have to be asked for first.
std::optional<SftpAttributes> SftpWritableFile::attributes_without_asking(
    const FileChange& change) {
  FileChange complete = change;
  {
    const std::lock_guard lock(mutex_);
    if (change.accessed) accessed_ = change.accessed;
    if (change.modified) complete.accessed = accessed_;
  }
  if (needs_other_time(complete)) return std::nullopt;
  return to_sftp_attributes(complete);
}

void SftpWritableFile::change(const FileChange& change, const RequestContext& context, Done done) {
  handles_->use_any(context, [change, context, done = std::move(done),
                              attributes = attributes_without_asking(change)](
                                 const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    if (error != nullptr) return done(error);
    if (attributes) return handle->set_attributes(*attributes, context, done);
    handle->stat(context, [=](const Error* failure, const SftpAttributes& now) {
      if (failure != nullptr) return done(failure);
      handle->set_attributes(to_sftp_attributes(change, now), context, done);
    });
  });
}

void SftpWritableFile::sync(const RequestContext& context, Done done) {
  handles_->use_any(context, [context, done = std::move(done)](
                                 const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    if (error != nullptr) return done(error);
    handle->sync(context, [done](const Error* failure) {
      // Where the server cannot say, the acknowledgement of the writes is all there is.
      const bool cannot = failure != nullptr && failure->kind() == ErrorKind::Unsupported;
      done(cannot ? nullptr : failure);
    });
  });
}

void SftpWritableFile::stat(const RequestContext& context,
                            std::function<void(const Error* error, const Entry& entry)> done) {
  handles_->use_any(context, [this, self = shared_from_this(), context, done = std::move(done)](
                                 const Error* error, const std::shared_ptr<SftpHandle>& handle) {
    if (error != nullptr) return done(error, {});
    handle->stat(context, [self, done](const Error* failure, const SftpAttributes& attributes) {
      const auto entry = failure == nullptr ? to_entry({}, attributes) : std::nullopt;
      if (entry) return done(nullptr, *entry);
      const Error none(ErrorKind::Protocol, self->path_ + ": is no file any more");
      done(failure != nullptr ? failure : &none, {});
    });
  });
}

void SftpWritableFile::close(const RequestContext& context, Done done) {
  const auto handles = handles_->take_all();
  if (handles.empty()) return done(nullptr);
  const auto all = std::make_shared<AllEnded>(handles.size(), std::move(done));
  for (const auto& handle : handles) {
    handle->close(context, [all, handle](const Error* error) {
      // A lost connection has closed it; what was written has been acknowledged before.
      all->ended(error != nullptr && error->retryable() ? nullptr : error);
    });
  }
}

}  // namespace red
