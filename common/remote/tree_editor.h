#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/remote/entry.h"
#include "common/remote/remote_path.h"
#include "common/request_context.h"

namespace red {

/// Bytes [begin, end) of a file.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const noexcept { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

/// What is to become different about a file or directory; what is empty stays.
struct FileChange {
  std::optional<std::uint64_t> size = {};  ///< bytes; files only
  std::optional<std::uint32_t> mode = {};  ///< permission bits
  std::optional<FileTime> modified = {};
  std::optional<FileTime> accessed = {};
};

/// A file of the server that is open for writing. Thread-safe; every call returns at once and
/// `done` is called exactly once, on the transport's thread or the caller's. What is in flight at
/// the same time is done in any order: the caller keeps apart what depends on each other. When the
/// connection is lost, calls fail with an Error that is retryable and may be made again: the file
/// is then opened anew.
class WritableFile {
 public:
  using Done = std::function<void(const Error* error)>;
  using ReadDone = std::function<void(const Error* error, std::vector<std::byte> bytes)>;

  virtual ~WritableFile() = default;

  /// `owner` keeps the bytes alive until `done`, when the server has acknowledged them. Writing the
  /// same again is harmless.
  virtual void write(std::uint64_t offset, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner, const RequestContext& context,
                     Done done) = 0;
  /// What the file holds now; shorter at its end.
  virtual void read(ByteRange range, const RequestContext& context, ReadDone done) = 0;
  virtual void change(const FileChange& change, const RequestContext& context, Done done) = 0;
  /// Whether a change that is asked for now is made after all writes that are in flight.
  virtual bool changes_in_order() const = 0;
  /// Every write that was acknowledged is on the server's disk, where the server can say so; else
  /// this means no more than the acknowledgement.
  virtual void sync(const RequestContext& context, Done done) = 0;
  /// The size and time that the server has now.
  virtual void stat(const RequestContext& context,
                    std::function<void(const Error* error, const Entry& entry)> done) = 0;
  /// The path leads to another file from now on, or to none: only what is open already is used.
  virtual void forget_name() = 0;
  /// Lets go of the file on the server and tells whether all went well. It may still be used after:
  /// it is then opened anew.
  virtual void close(const RequestContext& context, Done done) = 0;
};

/// How a file is opened for writing, as open(2).
struct WriteMode {
  bool create = false;
  bool exclusive = false;  ///< Error{AlreadyExists} if it exists
  bool truncate = false;
  bool read_only = false;     ///< to hold on to a file that is about to lose its name
  std::uint32_t mode = 0666;  ///< permission bits of a new file
};

/// What statvfs(3) tells.
struct FileSystemSpace {
  std::uint64_t block_size = 0;  ///< bytes
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
};

/// Changes to a tree, where the protocol can. Blocking calls, thread-safe, meant for worker
/// threads; all errors are red::Error. None is repeated by itself: after a loss of the connection
/// nobody knows whether it was done.
class TreeEditor {
 public:
  virtual ~TreeEditor() = default;

  virtual std::shared_ptr<WritableFile> open_for_writing(const RemotePath& path,
                                                         const WriteMode& mode,
                                                         const RequestContext& context) = 0;
  virtual void change(const RemotePath& path, const FileChange& change,
                      const RequestContext& context) = 0;
  virtual void remove(const RemotePath& path, const RequestContext& context) = 0;
  virtual void make_directory(const RemotePath& path, std::uint32_t mode,
                              const RequestContext& context) = 0;
  /// One that is not empty is an error.
  virtual void remove_directory(const RemotePath& path, const RequestContext& context) = 0;
  /// As rename(2): what has the new name is replaced, atomically where the server can, unless
  /// `replace` is false.
  virtual void rename(const RemotePath& from, const RemotePath& to, bool replace,
                      const RequestContext& context) = 0;
  virtual void make_symlink(const RemotePath& path, const std::string& target,
                            const RequestContext& context) = 0;
  virtual void make_hard_link(const RemotePath& existing, const RemotePath& path,
                              const RequestContext& context) = 0;
  /// Copies bytes of one file into another, on the server and without any of them coming here.
  /// Returns how many: fewer than asked at the end of the file, or when they are many. Error
  /// {Unsupported} where the server cannot.
  virtual std::uint64_t copy(const RemotePath& from, ByteRange range, const RemotePath& to,
                             std::uint64_t offset, const RequestContext& context) = 0;
  /// Error{Unsupported} where the server does not tell.
  virtual FileSystemSpace space(const RequestContext& context) = 0;
};

}  // namespace red
