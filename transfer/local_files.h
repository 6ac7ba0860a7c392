#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

#include "common/byte_source.h"
#include "common/digest.h"
#include "common/remote/remote_store.h"

namespace red {

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) noexcept : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const noexcept { return number_; }
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// Permission bits and modification time, to be sent along.
LocalAttributes attributes_of(const struct stat& status);
/// Gives an open file or directory the permissions (never set-user-id and its like, and only what
/// the umask leaves) and the modification time of a remote one. Throws Error{LocalIo}.
void apply_attributes(int descriptor, const LocalAttributes& attributes,
                      const std::string& shown_name);

/// The same for the time of a symbolic link itself; links have no permissions.
void apply_link_time(const FileDescriptor& directory, const std::string& name,
                     const LocalAttributes& attributes);

/// A local regular file to send. Its size is fixed when it is opened; a file that shrinks or grows
/// while it is sent is Error{LocalIo}.
class FileSource final : public ByteSource {
 public:
  /// Follows symbolic links. Throws Error{LocalIo} for what is no readable regular file.
  explicit FileSource(const std::filesystem::path& path);

  std::uint64_t size() const override { return size_; }
  const LocalAttributes& attributes() const { return attributes_; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override;

 private:
  std::uint64_t current_size() const;

  std::string shown_name_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
  LocalAttributes attributes_;
};

/// Where the bytes of a received file go. All failures are Error{LocalIo}.
class LocalTarget {
 public:
  virtual ~LocalTarget() = default;

  /// Thread-safe for ranges that do not overlap.
  virtual void write_at(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// Whether the bytes must come in order, from 0 on, once.
  virtual bool is_stream() const = 0;
  /// Tells how many bytes will come, so that a full disk is noticed at once.
  virtual void reserve(std::uint64_t bytes) = 0;
  /// Drops what was written, to begin again at 0. Not for streams.
  virtual void start_over() = 0;
  /// Lets the disk begin with what was written, so that the end need not wait for all of it. May
  /// block for a while.
  virtual void start_writeback() = 0;
  /// Of what was written, in lower-case hex digits. Not for streams.
  virtual std::string digest(DigestAlgorithm algorithm) const = 0;
  /// What was written, for as long as this lives. Not for streams.
  virtual std::unique_ptr<ByteSource> content() const = 0;
  /// What the file is to have when it appears; what is empty stays as for any new file. May come
  /// again, the last counts.
  virtual void set_attributes(const LocalAttributes& attributes) = 0;
  /// Makes the file appear under its name.
  virtual void commit() = 0;
};

/// Whether a commit waits for the disk, or the caller sees to it for many files at once.
enum class Durability { Synced, ByCaller };

/// A target on a disk, readable until it is committed.
class DiskTarget : public LocalTarget {
 public:
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) override;
  bool is_stream() const override { return false; }
  void reserve(std::uint64_t bytes) override;
  void start_over() override;
  void start_writeback() override;
  std::string digest(DigestAlgorithm algorithm) const override;
  std::unique_ptr<ByteSource> content() const override;

 protected:
  explicit DiskTarget(std::string shown_name) : shown_name_(std::move(shown_name)) {}

  const std::string shown_name_;
  FileDescriptor file_;

 private:
  std::atomic<std::uint64_t> written_{0};
  std::uint64_t handed_to_disk_ = 0;  ///< of written_; only start_writeback() uses it
};

/// A new content for a file name: nobody sees it before commit() has put it there whole, and
/// without a commit nothing is left of it. An existing file is replaced and lends its permissions.
class AtomicFile final : public DiskTarget {
 public:
  /// `name` is one component in `directory`, which must be open as long as this lives;
  /// `shown_name` is for messages.
  AtomicFile(std::shared_ptr<const FileDescriptor> directory, std::string name,
             std::string shown_name, Durability durability);
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void set_attributes(const LocalAttributes& attributes) override { attributes_ = attributes; }
  void commit() override;

 private:
  bool open_nameless();
  void open_named();
  bool link_as(const std::string& name);
  void link_under_temporary_name();
  void adopt_permissions();

  // set once
  const std::shared_ptr<const FileDescriptor> directory_;
  const std::string name_;
  const Durability durability_;

  LocalAttributes attributes_;
  std::string temporary_name_;  ///< empty while the file has no name
};

/// A place for bytes on their way elsewhere: a file that never has a name for long and vanishes
/// with this object, whatever ends the process.
class SpoolFile final : public DiskTarget {
 public:
  /// On the file system of `directory`, which need not stay open.
  explicit SpoolFile(const FileDescriptor& directory);

  void set_attributes(const LocalAttributes&) override {}
  void commit() override {}
};

/// Opens what `path` names for writing: symbolic links are followed; an existing directory or a
/// missing parent is an error; what exists and is no regular file (a pipe, a device) becomes a
/// stream, anything else an AtomicFile that is synced.
std::unique_ptr<LocalTarget> open_local_target(const std::filesystem::path& path);

/// The lower-case SHA-1 of a local file. Throws Error{LocalIo}, Error{Cancelled}.
std::string sha1_of_file(const std::filesystem::path& path, const std::stop_token& stop);

/// A name of `length` letters and digits that nobody can foresee.
std::string random_letters(std::size_t length);

/// Opens a directory, following links. Throws Error{LocalIo}.
std::shared_ptr<const FileDescriptor> open_directory(const std::filesystem::path& path);

}  // namespace red
