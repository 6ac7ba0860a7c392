#include "transfer/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "transfer/gzip_stream.h"

namespace red {
namespace {

constexpr std::size_t kInputPiece = 1 << 17;
// The time of a file is kept in nanoseconds since 1970, in 63 bits.
constexpr std::int64_t kMostSeconds = 9'000'000'000;

struct FreeArchive {
  void operator()(struct archive* each) const { ::archive_read_free(each); }
};
using ArchivePointer = std::unique_ptr<struct archive, FreeArchive>;

ArchivePointer new_archive() {
  ArchivePointer made(::archive_read_new());
  if (!made) throw std::bad_alloc();
  return made;
}

std::string text_of(const char* text) { return text != nullptr ? text : ""; }

Error damaged(struct archive* archive) {
  const std::string why = text_of(::archive_error_string(archive));
  return {ErrorKind::Protocol,
          "the archive is damaged (" + (why.empty() ? "no reason given" : why) + ")"};
}

/// Without a locale no name but ASCII can be converted into it: that is meant, the bytes are kept.
/// All other warnings are about damage, wrong checksums among them.
bool is_harmless(struct archive* archive) {
  return text_of(::archive_error_string(archive)).find("can't be converted") != std::string::npos;
}

/// Calls what may throw from libarchive, which is C: the error is kept until it has returned.
class Callbacks {
 public:
  template <typename Call>
  la_int64_t guarded(struct archive* archive, Call call) noexcept {
    try {
      return static_cast<la_int64_t>(call());
    } catch (...) {
      error_ = std::current_exception();
      ::archive_set_error(archive, EIO, "the source has failed");
      return ARCHIVE_FATAL;
    }
  }

  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  std::exception_ptr error_;
};

/// A stream, or a file that libarchive moves about in.
class ArchiveInput {
 public:
  explicit ArchiveInput(ByteStream& stream) : stream_(&stream), buffer_(kInputPiece) {}
  explicit ArchiveInput(ByteSource& file) : file_(&file), buffer_(kInputPiece) {}

  int open(struct archive* archive) {
    ::archive_read_set_read_callback(archive, read);
    if (file_ != nullptr) ::archive_read_set_seek_callback(archive, seek);
    ::archive_read_set_callback_data(archive, this);
    return ::archive_read_open1(archive);
  }
  void rethrow() { callbacks_.rethrow(); }

 private:
  static la_ssize_t read(struct archive* archive, void* self, const void** bytes) {
    auto& input = *static_cast<ArchiveInput*>(self);
    *bytes = input.buffer_.data();
    return input.callbacks_.guarded(archive, [&] { return input.read_some(); });
  }

  static la_int64_t seek(struct archive*, void* self, la_int64_t offset, int origin) {
    auto& input = *static_cast<ArchiveInput*>(self);
    const auto size = static_cast<la_int64_t>(input.file_->size());
    const la_int64_t from = origin == SEEK_CUR   ? static_cast<la_int64_t>(input.offset_)
                            : origin == SEEK_END ? size
                                                 : 0;
    // The offsets in an archive are anything.
    const la_int64_t to = offset > size ? size : std::clamp<la_int64_t>(from + offset, 0, size);
    input.offset_ = static_cast<std::uint64_t>(to);
    return to;
  }

  std::size_t read_some() {
    if (stream_ != nullptr) return stream_->read(buffer_);
    const std::size_t count = file_->read_at(offset_, buffer_);
    offset_ += count;
    return count;
  }

  ByteStream* const stream_ = nullptr;
  ByteSource* const file_ = nullptr;
  std::uint64_t offset_ = 0;  ///< in file_
  std::vector<std::byte> buffer_;
  Callbacks callbacks_;
};

/// What a filter of libarchive makes of a compressed stream.
class FilteredStream final : public ByteStream {
 public:
  FilteredStream(int (*support)(struct archive*), const char* name, ByteStream& compressed)
      : input_(compressed), archive_(new_archive()) {
    support(archive_.get());
    ::archive_read_support_format_raw(archive_.get());
    struct archive_entry* entry = nullptr;
    const bool is_open = input_.open(archive_.get()) == ARCHIVE_OK &&
                         ::archive_read_next_header(archive_.get(), &entry) == ARCHIVE_OK;
    input_.rethrow();
    // One layer, and the file below it: libarchive would go on through layers of the same kind.
    const bool is_filtered = ::archive_filter_count(archive_.get()) == 2;
    if (!is_open && is_filtered) throw damaged(archive_.get());
    if (!is_filtered) {
      throw Error(ErrorKind::Protocol, "it is not compressed by " + std::string(name));
    }
  }

  std::size_t read(std::span<std::byte> buffer) override {
    const la_ssize_t count = ::archive_read_data(archive_.get(), buffer.data(), buffer.size());
    input_.rethrow();
    if (count < 0) throw damaged(archive_.get());
    return static_cast<std::size_t>(count);
  }

 private:
  ArchiveInput input_;
  ArchivePointer archive_;
};

/// A file that is not compressed.
class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(ByteStream& stream) : stream_(stream) {}
  std::size_t read(std::span<std::byte> buffer) override { return stream_.read(buffer); }

 private:
  ByteStream& stream_;
};

ArchiveMember::Kind kind_of(struct archive_entry* entry) {
  using Kind = ArchiveMember::Kind;
  if (::archive_entry_hardlink(entry) != nullptr) return Kind::HardLink;
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return Kind::File;
    case AE_IFDIR:
      return Kind::Directory;
    case AE_IFLNK:
      return Kind::Symlink;
    default:
      return Kind::Other;
  }
}

LocalAttributes attributes_of(struct archive_entry* entry) {
  LocalAttributes attributes;
  attributes.mode = static_cast<std::uint32_t>(::archive_entry_perm(entry));
  const std::int64_t seconds = ::archive_entry_mtime(entry);
  const bool is_near = seconds > -kMostSeconds && seconds < kMostSeconds;
  if (::archive_entry_mtime_is_set(entry) != 0 && is_near) {
    attributes.modified = FileTime(std::chrono::seconds(seconds) +
                                   std::chrono::nanoseconds(::archive_entry_mtime_nsec(entry)));
  }
  return attributes;
}

ArchiveMember to_member(struct archive_entry* entry) {
  ArchiveMember member;
  member.kind = kind_of(entry);
  member.name = text_of(::archive_entry_pathname(entry));
  if (member.kind == ArchiveMember::Kind::HardLink) {
    member.link_target = text_of(::archive_entry_hardlink(entry));
  } else if (member.kind == ArchiveMember::Kind::Symlink) {
    member.link_target = text_of(::archive_entry_symlink(entry));
  }
  member.size = static_cast<std::uint64_t>(std::max<la_int64_t>(::archive_entry_size(entry), 0));
  member.attributes = attributes_of(entry);
  return member;
}

}  // namespace

struct ArchiveReader::State {
  template <typename Source>
  State(const char* name, Source& source) : format_name(name), input(source) {}

  const char* const format_name;
  ArchiveInput input;
  ArchivePointer archive = new_archive();
};

ArchiveReader::ArchiveReader(ByteStream& tar) : state_(std::make_unique<State>("tar", tar)) {
  ::archive_read_support_format_tar(state_->archive.get());
  check(state_->input.open(state_->archive.get()));
}

ArchiveReader::ArchiveReader(ByteSource& zip) : state_(std::make_unique<State>("zip", zip)) {
  ::archive_read_support_format_zip_seekable(state_->archive.get());
  check(state_->input.open(state_->archive.get()));
}

ArchiveReader::~ArchiveReader() = default;

void ArchiveReader::check(int result) {
  struct archive* const archive = state_->archive.get();
  state_->input.rethrow();
  if (result == ARCHIVE_OK || result == ARCHIVE_EOF) return;
  if (result == ARCHIVE_WARN && is_harmless(archive)) return;
  if (::archive_format(archive) == 0) {
    throw Error(ErrorKind::Protocol, std::string("it is no ") + state_->format_name + " archive");
  }
  throw damaged(archive);
}

std::optional<ArchiveMember> ArchiveReader::next() {
  struct archive_entry* entry = nullptr;
  const int result = ::archive_read_next_header(state_->archive.get(), &entry);
  check(result);
  if (result == ARCHIVE_EOF) return std::nullopt;
  if (::archive_entry_is_encrypted(entry) != 0) {
    throw Error(ErrorKind::Unsupported, "the archive is encrypted");
  }
  return to_member(entry);
}

void ArchiveReader::read_content(const TakePiece& take) {
  for (;;) {
    const void* bytes = nullptr;
    std::size_t count = 0;
    la_int64_t offset = 0;
    const int result = ::archive_read_data_block(state_->archive.get(), &bytes, &count, &offset);
    check(result);
    if (result == ARCHIVE_EOF) return;
    if (offset < 0) throw damaged(state_->archive.get());
    take(static_cast<std::uint64_t>(offset), {static_cast<const std::byte*>(bytes), count});
  }
}

std::unique_ptr<ByteStream> decompress(ArchiveFormat format, ByteStream& compressed) {
  switch (format) {
    case ArchiveFormat::Gztar:
      return std::make_unique<GzipStream>(compressed);
    case ArchiveFormat::Bztar:
      return std::make_unique<FilteredStream>(::archive_read_support_filter_bzip2, "bzip2",
                                              compressed);
    case ArchiveFormat::Xztar:
      return std::make_unique<FilteredStream>(::archive_read_support_filter_xz, "xz", compressed);
    case ArchiveFormat::Tar:
    case ArchiveFormat::Zip:
      break;
  }
  return std::make_unique<PlainStream>(compressed);
}

}  // namespace red
