#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_wire.h"
#include "common/request_context.h"

namespace red {

class SftpConnection;
class SftpPool;
struct SftpReply;
struct SftpRequest;

/// Told once how a request ended: null, or why it failed. Called on the connection's thread,
/// without a lock held; must not block on the network and not throw. Where there is no connection
/// and can be none, it is called on the caller's thread before the call returns.
using SftpDone = std::function<void(const Error* error)>;
/// The same with what the server answered; default-constructed if it failed.
template <typename Reply>
using SftpReplied = std::function<void(const Error* error, Reply reply)>;

/// Takes the bytes of one read, in order, on the connection's thread: must not block on the network
/// and not throw.
class SftpReceiver {
 public:
  virtual ~SftpReceiver() = default;

  /// The next bytes. False ends the read with Error{Cancelled}: nothing more is wanted.
  virtual bool receive(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  /// Exactly once, last. Null: every byte that was asked for has been received, or all up to the
  /// end of the file if that comes first.
  virtual void finish(const Error* error) noexcept = 0;
};

/// Bytes to write, kept alive by whoever owns them until the server has acknowledged them.
struct SftpBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

/// What the server said of itself.
struct SftpServer {
  std::string banner;  ///< "SSH-2.0-OpenSSH_9.2p1 …"
  std::vector<SftpExtension> extensions;
  SftpLimits limits;  ///< as far as the server tells them

  /// Whether an extension such as "posix-rename@openssh.com" is there.
  bool offers(std::string_view extension) const;
};

/// One of the client's connections. Handles live on the connection on which they were opened.
struct SftpPlace {
  std::uint64_t connection = 0;  ///< 0: whichever is best
  bool operator==(const SftpPlace&) const = default;
};

/// A file or directory that the server holds open for us. Requests on one handle reach the server
/// in the order in which they were made: a read sees every write before it. (Not so across handles,
/// nor against requests that name a path.) Thread-safe. When the connection is lost, all requests
/// on the handle end with an Error that is retryable: open it anew.
class SftpHandle {
 public:
  /// Closes it on the server, if nobody did.
  ~SftpHandle();
  SftpHandle(const SftpHandle&) = delete;
  SftpHandle& operator=(const SftpHandle&) = delete;

  /// Reads up to `length` bytes (more than 0) by as many requests as it takes; `receiver` is kept
  /// until its finish() has returned.
  void read(std::uint64_t offset, std::uint64_t length, std::shared_ptr<SftpReceiver> receiver,
            const RequestContext& context);
  /// Ends when the server has acknowledged all of it. After a failure, or when it is called off,
  /// any part of it may have been written. How many bytes wait is the caller's to bound.
  void write(std::uint64_t offset, SftpBytes bytes, const RequestContext& context, SftpDone done);

  void stat(const RequestContext& context, SftpReplied<SftpAttributes> done);
  void set_attributes(const SftpAttributes& attributes, const RequestContext& context,
                      SftpDone done);
  /// fsync@openssh.com; Error{Unsupported} where the server does not offer it.
  void sync(const RequestContext& context, SftpDone done);
  /// copy-data: from this file into another of the same connection; length 0: to the end.
  void copy_to(const SftpHandle& target, std::uint64_t offset, std::uint64_t length,
               std::uint64_t target_offset, const RequestContext& context, SftpDone done);
  /// The next names of a directory; none: that was all. "." and ".." are left out.
  void read_directory(const RequestContext& context, SftpReplied<std::vector<SftpName>> done);
  /// Nothing may be asked of it after. What is under way on it still ends as it should.
  void close(const RequestContext& context, SftpDone done);

  // The same, waiting for the end. Not from a completion.
  SftpAttributes stat(const RequestContext& context);
  void set_attributes(const SftpAttributes& attributes, const RequestContext& context);
  void sync(const RequestContext& context);
  void copy_to(const SftpHandle& target, std::uint64_t offset, std::uint64_t length,
               std::uint64_t target_offset, const RequestContext& context);
  void write(std::uint64_t offset, SftpBytes bytes, const RequestContext& context);
  void close(const RequestContext& context);

  SftpPlace place() const noexcept;
  /// False once its connection is lost.
  bool is_alive() const noexcept;
  const std::string& path() const noexcept { return path_; }

 private:
  friend class SftpConnection;
  SftpHandle(std::shared_ptr<SftpConnection> connection, std::string path, std::uint64_t id);

  // set once
  const std::shared_ptr<SftpConnection> connection_;
  const std::string path_;
  const std::uint64_t id_;  ///< the connection's own number for it

  std::atomic<bool> is_closed_ = false;
};

/// The files of an SSH server by SFTP version 3: any number of requests in flight from any number
/// of threads, on as many connections as help, but never more than `options.connections`. They are
/// opened when they are needed, each with a thread of its own; one that breaks fails its requests
/// with a retryable Error, and the next request opens another. A refusal that a repetition does not
/// mend (credentials, host key) is remembered and not tried again. Nothing here is repeated by
/// itself.
///
/// Every request ends by the context's deadline with Error{TimedOut}, when its stop is requested
/// with Error{Cancelled}, or when the server has been silent for too long. What the server was
/// asked to do by then may still happen, but a handle that nobody takes any more is closed.
class SftpClient {
 public:
  /// Cheap, without any I/O or thread.
  explicit SftpClient(SftpAccess access);
  /// Requests that still run end with Error{Cancelled} before it returns; handles may outlive it.
  ~SftpClient();
  /// The same, before its time. Later requests fail.
  void stop();
  SftpClient(const SftpClient&) = delete;
  SftpClient& operator=(const SftpClient&) = delete;

  /// Connects and authenticates if nothing is connected yet, and tells whom with. Blocks.
  SftpServer connect(const RequestContext& context);

  /// Where the next large read or write is best made: the connection with the least to do, among
  /// those that are ready. Large transfers ask for each part of some megabytes; that they all have
  /// enough to do is what makes the client open a further connection. A place whose connection has
  /// been lost stands for another one.
  SftpPlace best_place();

  /// `flags` of SftpOpenFlags, `attributes` for a file that is created.
  void open(const std::string& path, std::uint32_t flags, const SftpAttributes& attributes,
            SftpPlace place, const RequestContext& context,
            SftpReplied<std::shared_ptr<SftpHandle>> done);
  void open_directory(const std::string& path, const RequestContext& context,
                      SftpReplied<std::shared_ptr<SftpHandle>> done);
  /// All names of a directory. "." and ".." are left out.
  void list(const std::string& path, const RequestContext& context,
            SftpReplied<std::vector<SftpName>> done);

  void stat(const std::string& path, const RequestContext& context,
            SftpReplied<SftpAttributes> done);
  /// Of a symbolic link itself.
  void lstat(const std::string& path, const RequestContext& context,
             SftpReplied<SftpAttributes> done);
  /// What is not absolute begins in the home directory.
  void real_path(const std::string& path, const RequestContext& context,
                 SftpReplied<std::string> done);
  void read_link(const std::string& path, const RequestContext& context,
                 SftpReplied<std::string> done);
  void set_attributes(const std::string& path, const SftpAttributes& attributes,
                      const RequestContext& context, SftpDone done);
  void remove(const std::string& path, const RequestContext& context, SftpDone done);
  void make_directory(const std::string& path, const SftpAttributes& attributes,
                      const RequestContext& context, SftpDone done);
  void remove_directory(const std::string& path, const RequestContext& context, SftpDone done);
  /// Version 3's own: fails if the new name exists.
  void rename(const std::string& from, const std::string& to, const RequestContext& context,
              SftpDone done);
  /// posix-rename@openssh.com: what has the new name is replaced. Error{Unsupported} where the
  /// server does not offer it.
  void replace(const std::string& from, const std::string& to, const RequestContext& context,
               SftpDone done);
  /// Makes `path` a symbolic link that holds `target`.
  void make_symlink(const std::string& path, const std::string& target,
                    const RequestContext& context, SftpDone done);
  /// hardlink@openssh.com, else Error{Unsupported}.
  void make_hard_link(const std::string& existing, const std::string& path,
                      const RequestContext& context, SftpDone done);
  /// statvfs@openssh.com, else Error{Unsupported}.
  void file_system(const std::string& path, const RequestContext& context,
                   SftpReplied<SftpFileSystem> done);

  // The same, waiting for the end. Not from a completion.
  std::shared_ptr<SftpHandle> open(const std::string& path, std::uint32_t flags,
                                   const SftpAttributes& attributes, SftpPlace place,
                                   const RequestContext& context);
  std::vector<SftpName> list(const std::string& path, const RequestContext& context);
  /// Nothing if the path does not exist.
  std::optional<SftpAttributes> stat(const std::string& path, const RequestContext& context);
  std::optional<SftpAttributes> lstat(const std::string& path, const RequestContext& context);
  std::string real_path(const std::string& path, const RequestContext& context);
  std::string read_link(const std::string& path, const RequestContext& context);
  void set_attributes(const std::string& path, const SftpAttributes& attributes,
                      const RequestContext& context);
  void remove(const std::string& path, const RequestContext& context);
  void make_directory(const std::string& path, const SftpAttributes& attributes,
                      const RequestContext& context);
  void remove_directory(const std::string& path, const RequestContext& context);
  void rename(const std::string& from, const std::string& to, const RequestContext& context);
  void replace(const std::string& from, const std::string& to, const RequestContext& context);
  void make_symlink(const std::string& path, const std::string& target,
                    const RequestContext& context);
  void make_hard_link(const std::string& existing, const std::string& path,
                      const RequestContext& context);
  SftpFileSystem file_system(const std::string& path, const RequestContext& context);

  /// How many connections there are, those included that are being made.
  std::size_t connection_count() const;

 private:
  void ask(SftpRequest request, const RequestContext& context,
           std::function<void(const Error*, SftpReply)> done);
  void open_by(SftpRequest request, const std::string& path, SftpPlace place,
               const RequestContext& context, SftpReplied<std::shared_ptr<SftpHandle>> done);

  const std::shared_ptr<SftpPool> pool_;
};

}  // namespace red
