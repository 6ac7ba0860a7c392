#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/byte_source.h"
#include "common/error.h"
#include "common/remote/entry.h"
#include "common/remote/examination.h"
#include "common/remote/remote_path.h"
#include "common/remote/tree_editor.h"
#include "common/request_context.h"

namespace red {

/// What the first answer to a read tells, before any byte.
struct ReadAnswer {
  std::uint64_t offset = 0;  ///< where the bytes that follow begin
  /// True if this is the body of a range; false if the server sends the whole file from 0 on,
  /// either because nothing else was asked or because it does not serve ranges.
  bool is_range = false;
  bool ranges_supported = false;  ///< whether later reads of ranges can work
  Version version;                ///< as far as the answer tells it; its size is the whole file's
  std::string content_type;
  std::optional<std::uint32_t> mode = {};  ///< permission bits, where the protocol has them
  /// From what was kept of an earlier answer: the server has confirmed nothing.
  bool is_from_cache = false;
};

/// Takes the bytes of one read, in order, on the transport's thread: it must not block on the
/// network and not throw.
class ReadSink {
 public:
  virtual ~ReadSink() = default;

  /// Once before the first byte; again after a break when the transfer goes on at `answer.offset`:
  /// where it stopped, or at 0 if the server cannot resume (a sink that cannot take bytes from 0
  /// again, or not from that offset, returns false). False ends the read with Error{Cancelled}.
  virtual bool begin(const ReadAnswer& answer) = 0;

  /// The next bytes, at `offset`. False ends the read with Error{Cancelled}: nothing more is
  /// wanted.
  virtual bool receive(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  /// Exactly once, last: null after the last byte of the range (or file), else why it ended early.
  virtual void finish(const Error* error) noexcept = 0;
};

/// One file of the server, not necessarily opened there. Thread-safe; any number of reads may be
/// in flight. All answers are checked to be of one version: the first pins what the entry left
/// unknown, and a later one that differs ends its read with Error{ChangedRemotely}.
class RemoteFile {
 public:
  virtual ~RemoteFile() = default;

  /// Starts reading and returns at once; `sink` is kept until its finish() has returned. Without a
  /// range: the whole file, by the protocol's plainest request. A range must not be empty. A server
  /// that does not serve ranges answers with the whole file: the sink's begin() sees that.
  virtual void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
                    const RequestContext& context) = 0;

  /// What is known of the content so far.
  virtual Version version() const = 0;

  /// What the whole content has to have before it may be taken for the file's, where that is known
  /// beforehand. The reads do not check it.
  virtual std::optional<Checksum> promised_checksum() const { return std::nullopt; }

  /// A checksum has shown that the bytes are not what they must be: what a cache has kept of them
  /// beyond this process is not used any more. Touches the local disk at most.
  virtual void distrust() {}
};

/// What a file to send has beside its bytes. A protocol without such things leaves them out.
struct LocalAttributes {
  std::optional<std::uint32_t> mode = {};  ///< permission bits
  std::optional<FileTime> modified = {};
};

/// Sending, where the protocol and the server can.
class Uploader {
 public:
  virtual ~Uploader() = default;

  /// Sends one file and returns when the server has it; an existing one is replaced. Blocks,
  /// thread-safe.
  virtual void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
                      const RequestContext& context) = 0;

  /// Makes the directory; one that exists already is success and keeps its permissions. Its parent
  /// must exist, but for the root's, which is made where the protocol can. True: it did not exist
  /// before, as far as the server tells.
  virtual bool make_directory(const RemotePath& path, const LocalAttributes& attributes,
                              const RequestContext& context) = 0;

  /// After everything that belongs into a directory has been sent: it gets the attributes that it
  /// is to keep (none where it existed before). Throws if it turns out not to be there.
  virtual void finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                                const RequestContext& context) = 0;
};

/// A file of a tree that is sent as a whole.
struct FileToSend {
  RemotePath path;
  std::uint64_t size = 0;                             ///< bytes
  std::function<std::unique_ptr<ByteSource>()> open;  ///< anew with each call; throws Error
};

/// Sending many files in few transfers, where the server unpacks them.
class TreeUploader {
 public:
  virtual ~TreeUploader() = default;

  /// Sends all files and returns when it is proved that the server has them; directories come into
  /// being with what they hold. `on_sent` is told the bytes of files that went out, a negative
  /// number when some have to go again. Blocks, thread-safe.
  virtual void upload_tree(const std::vector<FileToSend>& files,
                           const std::function<void(std::int64_t bytes)>& on_sent,
                           const RequestContext& context) = 0;
};

/// What a store is opened for; one value per function of the CLI specification.
enum class Purpose { ReceiveFile, ReceiveDir, MountDir, SendFile, SendDir };

/// Who asks a store's server, as far as the answer may depend on it. What one asker has read is
/// kept from all others, so all that the server could decide by belongs here, and how it proved to
/// be the right server.
struct Asker {
  std::string name;         ///< who and how, without secrets; empty fields for anonymous
  std::string secret = {};  ///< what proves it; empty: nothing
  /// The server may tell ETags with its answers about a file, even if its lists do not: then lists
  /// alone do not tell versions apart.
  bool is_told_etags = false;
};

/// A tree of remote files, or one file: what any protocol offers. Blocking calls are thread-safe
/// and meant for worker threads; all errors are red::Error.
class RemoteStore {
 public:
  virtual ~RemoteStore() = default;

  /// Nothing if the path does not exist. The root may be a file.
  virtual std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) = 0;

  /// The entries of a directory, in the server's order, without duplicates. Names are valid
  /// components.
  virtual std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) = 0;

  /// No I/O. `known` is the version that the reads must have, as far as it is known.
  virtual std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) = 0;

  /// Whether a name that list() does not show certainly does not exist (an index page may hide
  /// names, WebDAV does not). Meaningful after the first list().
  virtual bool listings_are_complete() const = 0;

  /// How many reads or uploads at a time make sense, at least 1; more would only queue.
  virtual int parallelism() const = 0;

  /// Where a path is, for people and extended attributes; without credentials and query.
  virtual std::string location(const RemotePath& path) const = 0;

  /// Nothing if what is read must not be kept beyond this process. Files are told apart by their
  /// location().
  virtual std::optional<Asker> asker() const { return std::nullopt; }

  /// Reaches out for a validation: connects, authenticates and checks that the root can serve the
  /// purpose, without side effect. Throws what a person has to mend. Does not look at content.
  virtual void check(Purpose purpose, const RequestContext& context) = 0;

  /// How to find out, step by step, what stands between us and the server. No I/O.
  virtual Examination examination() { return {}; }

  /// Null when the protocol cannot send.
  virtual Uploader* uploader() = 0;

  /// Null when files of a tree are sent one by one.
  virtual TreeUploader* tree_uploader() { return nullptr; }

  /// Null when the tree cannot be changed, or was not opened for that.
  virtual TreeEditor* editor() = 0;
};

}  // namespace red
