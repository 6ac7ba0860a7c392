#include "common/protocols/sftp/sftp_uploader.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "common/logging.h"
#include "common/pause.h"
#include "common/protocols/sftp/sftp_gather.h"
#include "common/protocols/sftp/sftp_writable_file.h"

namespace red {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
// All uploads together: a few bandwidth-delay products of 10 Gbit/s at 20 ms.
constexpr std::size_t kMaxUnderWay = 64 << 20;
constexpr std::chrono::seconds kCleanUpLimit{3};
// An upload that breaks goes on if it can within this time, as one that is received does.
constexpr std::chrono::seconds kResumeFor{10};
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{2000};
constexpr std::size_t kMaxNameLength = 255;
constexpr std::uint32_t kNewFileMode = 0666;
constexpr std::uint32_t kNewDirectoryMode = 0777;
constexpr std::uint32_t kOwnerRights = 0700;

/// Next to the file, hidden, and within the limit of a name.
std::string temporary_path(const std::string& path) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string suffix = ".";
  for (int i = 0; i < 8; ++i) suffix += kLetters[random() % kLetters.size()];
  suffix += ".part";
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  std::string name = path.substr(directory.size());
  name.resize(std::min(name.size(), kMaxNameLength - suffix.size() - 1));
  return directory + "." + name + suffix;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return "";
  return path.substr(0, std::max<std::size_t>(slash, 1));
}

/// A server answers with these when it does not let us make or rename a temporary file.
bool forbids(const Error& error) {
  return error.kind() == ErrorKind::PermissionDenied || error.kind() == ErrorKind::Unsupported ||
         error.kind() == ErrorKind::Remote;
}

}  // namespace

/// Bounds the bytes that all uploads together have under way.
class SftpUploader::Budget {
 public:
  void take(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return used_ == 0 || used_ + bytes <= kMaxUnderWay; });
    used_ += bytes;
  }
  void give_back(std::size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      used_ -= bytes;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t used_ = 0;  // guarded by mutex_
};

struct SftpUploader::Upload {
  const std::string& path;
  ByteSource& source;
  const LocalAttributes& attributes;
  const RequestContext& context;
};

SftpUploader::SftpUploader(std::shared_ptr<SftpClient> client, const SftpPaths& paths)
    : client_(std::move(client)), paths_(paths), budget_(std::make_shared<Budget>()) {}

void SftpUploader::upload(const RemotePath& path, ByteSource& source,
                          const LocalAttributes& attributes, const RequestContext& context) {
  const std::string target = paths_.on_server(path);
  const Upload upload{target, source, attributes, context};
  if (forbids_renaming_ || !upload_by_renaming(upload)) upload_plainly(upload);
}

/// False if the server does not let us make or rename a temporary file; nothing is left of it then.
bool SftpUploader::upload_by_renaming(const Upload& upload) {
  const std::string temporary = temporary_path(upload.path);
  std::shared_ptr<SftpHandle> handle;
  try {
    handle = open(upload, temporary, kSftpWrite | kSftpCreate | kSftpExclusive);
  } catch (const Error& error) {
    if (forbids(error)) return false;
    // It may have been made all the same.
    if (error.kind() != ErrorKind::NotFound) remove_quietly(temporary);
    throw;
  }
  try {
    send_resuming(upload, temporary, std::move(handle));
  } catch (...) {
    remove_quietly(temporary);
    throw;
  }
  try {
    rename(temporary, upload.path, upload.context);
  } catch (const Error& error) {
    remove_quietly(temporary);
    const auto existing = client_->stat(upload.path, upload.context);
    const auto entry = existing ? to_entry({}, *existing) : std::nullopt;
    if (entry && entry->kind == EntryKind::Directory) {
      throw Error(ErrorKind::AlreadyExists, upload.path + ": is a directory");
    }
    if (!forbids(error)) throw;
    log(LogLevel::Info, "the server does not rename (" + error.message() +
                            "): files are written under their own names");
    forbids_renaming_ = true;
    return false;
  }
  return true;
}

void SftpUploader::upload_plainly(const Upload& upload) {
  auto handle = open(upload, upload.path, kSftpWrite | kSftpCreate | kSftpTruncate);
  try {
    send_resuming(upload, upload.path, std::move(handle));
  } catch (...) {
    remove_quietly(upload.path);
    throw;
  }
}

std::shared_ptr<SftpHandle> SftpUploader::open(const Upload& upload, const std::string& path,
                                               std::uint32_t flags) {
  SftpAttributes attributes;
  attributes.mode = upload.attributes.mode.value_or(kNewFileMode) & 0777;
  const SftpPlace place = client_->best_place();
  try {
    return client_->open(path, flags, attributes, place, upload.context);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
  }
  make_parents(upload.path, upload.context);
  return client_->open(path, flags, attributes, place, upload.context);
}

/// What the server has acknowledged is not sent again when the connection breaks.
void SftpUploader::send_resuming(const Upload& upload, const std::string& path,
                                 std::shared_ptr<SftpHandle> handle) {
  std::uint64_t acknowledged = 0;
  TimePoint last_progress = std::chrono::steady_clock::now();
  for (std::chrono::milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    const std::uint64_t before = acknowledged;
    try {
      if (!handle) {
        handle = client_->open(path, kSftpWrite, {}, client_->best_place(), upload.context);
      }
      return send(upload, handle, acknowledged);
    } catch (const Error& error) {
      handle.reset();
      const TimePoint now = std::chrono::steady_clock::now();
      if (acknowledged > before) {
        last_progress = now;
        pause = kFirstPause;
      }
      if (!error.retryable()) throw;
      if (now + pause - last_progress >= kResumeFor) throw error.without_retry();
      log(LogLevel::Debug, "sending goes on at byte " + std::to_string(acknowledged) + " in " +
                               std::to_string(pause.count()) + " ms: " + error.message());
    }
    sleep_for(jittered(pause), upload.context.stop);
  }
}

/// Sends from `acknowledged` on, and leaves there how far all has been taken. Writes, times and the
/// closing are sent off without waiting for one another: on one handle they are done in this order.
void SftpUploader::send(const Upload& upload, const std::shared_ptr<SftpHandle>& handle,
                        std::uint64_t& acknowledged) {
  struct State {
    SftpGather gather;
    std::mutex mutex;
    // guarded by mutex
    std::optional<Error> error;
    std::set<std::uint64_t> open;  ///< offsets of pieces that the server has not taken

    void piece_ended(std::uint64_t at, const Error* why) {
      if (why == nullptr) {
        const std::lock_guard lock(mutex);
        open.erase(at);
      }
      ended(why);
    }
    void ended(const Error* why) {
      if (why != nullptr) {
        const std::lock_guard lock(mutex);
        if (!error) error = *why;
      }
      gather.end();
    }
    bool has_failed() {
      const std::lock_guard lock(mutex);
      return error.has_value();
    }
  } state;
  std::optional<Error> local_error;
  std::uint64_t offset = acknowledged;
  const std::uint64_t size = upload.source.size();
  while (offset < size && !state.has_failed()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size - offset));
    budget_->take(count);
    auto buffer = std::make_shared<std::vector<std::byte>>(count);
    std::size_t filled = 0;
    try {
      while (filled < count) {
        const std::size_t read =
            upload.source.read_at(offset + filled, std::span(*buffer).subspan(filled));
        if (read == 0) break;
        filled += read;
      }
    } catch (...) {
      local_error = current_exception_as_error();
    }
    if (filled < count) {
      budget_->give_back(count);
      if (!local_error) local_error = Error(ErrorKind::LocalIo, "the file has become shorter");
      break;
    }
    {
      const std::lock_guard lock(state.mutex);
      state.open.insert(offset);
    }
    state.gather.begin();
    handle->write(offset, {*buffer, buffer}, upload.context,
                  [&state, budget = budget_, count, offset](const Error* error) {
                    budget->give_back(count);
                    state.piece_ended(offset, error);
                  });
    offset += count;
  }
  if (!local_error && upload.attributes.modified) {
    state.gather.begin();
    FileChange change;
    change.modified = upload.attributes.modified;
    change.accessed = upload.attributes.modified;
    handle->set_attributes(to_sftp_attributes(change), upload.context,
                           [&state](const Error* error) {
                             // Times are an extra: some servers refuse them.
                             state.ended(error != nullptr && error->retryable() ? error : nullptr);
                           });
  }
  state.gather.begin();
  handle->close(upload.context, [&state](const Error* error) { state.ended(error); });
  state.gather.wait();
  acknowledged = state.open.empty() ? offset : *state.open.begin();
  if (local_error) throw Error(*local_error);
  if (state.error) throw Error(*state.error);
}

/// Version 3 itself does not replace. Where there is no extension for it, an existing file has to
/// make room first.
void SftpUploader::rename(const std::string& from, const std::string& to,
                          const RequestContext& context) {
  try {
    return client_->replace(from, to, context);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Unsupported) throw;
  }
  try {
    return client_->rename(from, to, context);
  } catch (const Error& error) {
    if (error.retryable() || error.kind() == ErrorKind::Cancelled) throw;
    const auto existing = client_->stat(to, context);
    const auto entry = existing ? to_entry({}, *existing) : std::nullopt;
    if (!entry || entry->kind != EntryKind::File) throw;
  }
  client_->remove(to, context);
  client_->rename(from, to, context);
}

/// Also after the caller has asked to stop.
void SftpUploader::remove_quietly(const std::string& path) {
  try {
    client_->remove(path, RequestContext::within(kCleanUpLimit));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return;
    log(LogLevel::Warning, "removing the unfinished " + path + ": " + error.message());
  }
}

bool SftpUploader::make_directory(const RemotePath& path, const LocalAttributes& attributes,
                                  const RequestContext& context) {
  const std::string target = paths_.on_server(path);
  try {
    return make_one_directory(target, attributes, context);
  } catch (const Error& error) {
    if (!path.is_root() || error.kind() != ErrorKind::NotFound) throw;
  }
  make_parents(target, context);
  return make_one_directory(target, attributes, context);
}

/// Times and permissions are an extra: some servers refuse them.
void SftpUploader::finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                                    const RequestContext& context) {
  const std::string target = paths_.on_server(path);
  try {
    FileChange change;
    change.modified = change.accessed = attributes.modified;
    if (attributes.mode) change.mode = mode_to_end_with(target, *attributes.mode, context);
    if (change.modified || change.mode) {
      client_->set_attributes(target, to_sftp_attributes(change), context);
    }
  } catch (const Error& error) {
    if (error.retryable() || error.kind() == ErrorKind::Cancelled) throw;
    log(LogLevel::Info, "attributes of " + target + ": " + error.message());
  }
}

/// A directory that its owner must not write into gets that at the end; the server's umask stays.
std::optional<std::uint32_t> SftpUploader::mode_to_end_with(const std::string& path,
                                                            std::uint32_t wanted,
                                                            const RequestContext& context) {
  if ((wanted & kOwnerRights) == kOwnerRights) return std::nullopt;
  const auto found = client_->stat(path, context);
  if (!found || !found->mode) return std::nullopt;
  return *found->mode & wanted & 0777;
}

void SftpUploader::make_parents(const std::string& path, const RequestContext& context) {
  const std::string parent = parent_of(path);
  if (parent.empty() || parent == "/") return;
  try {
    make_one_directory(parent, {}, context);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    make_parents(parent, context);
    make_one_directory(parent, {}, context);
  }
}

/// False if it exists already.
bool SftpUploader::make_one_directory(const std::string& path, const LocalAttributes& attributes,
                                      const RequestContext& context) {
  SftpAttributes wanted;
  wanted.mode = (attributes.mode.value_or(kNewDirectoryMode) & 0777) | kOwnerRights;
  try {
    client_->make_directory(path, wanted, context);
    return true;
  } catch (const Error& error) {
    // "Failure" is all that version 3 can say of a name that exists.
    if (error.retryable() || error.kind() == ErrorKind::Cancelled ||
        error.kind() == ErrorKind::NotFound) {
      throw;
    }
    const auto existing = client_->stat(path, context);
    const auto entry = existing ? to_entry({}, *existing) : std::nullopt;
    if (!entry) throw;
    if (entry->kind != EntryKind::Directory) {
      throw Error(ErrorKind::AlreadyExists, path + ": exists and is no directory");
    }
    return false;
  }
}

}  // namespace red
