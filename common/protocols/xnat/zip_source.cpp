#include "common/protocols/xnat/zip_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEndOfDirectory = 0x06054b50;
constexpr std::uint16_t kVersion = 20;
constexpr std::uint16_t kMadeByUnix = 3 << 8 | kVersion;
constexpr std::uint16_t kUtf8Names = 1 << 11;
constexpr std::uint16_t kStored = 0;
constexpr std::uint32_t kFirstOfJanuary1980 = 1U << 21 | 1U << 16;  // a date that is none
constexpr std::uint32_t kRegularFile = 0100644U << 16;

/// Little-endian.
class Record {
 public:
  Record& u16(std::uint64_t value) { return number(value, 2); }
  Record& u32(std::uint64_t value) { return number(value, 4); }
  Record& text(std::string_view bytes) {
    text_ += bytes;
    return *this;
  }
  std::string take() { return std::move(text_); }

 private:
  Record& number(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xFF);
    return *this;
  }

  std::string text_;
};

}  // namespace

ZipSource::ZipSource(std::function<void(std::int64_t)> on_sent) : on_sent_(std::move(on_sent)) {}

void ZipSource::add_piece(Piece piece) {
  piece.begin = size_;
  piece.file_bytes_before = file_bytes_;
  size_ += piece.size;
  if (piece.file != nullptr) file_bytes_ += piece.size;
  pieces_.push_back(std::move(piece));
}

void ZipSource::add(const FileToSend& file, std::uint32_t crc) {
  if (files_ >= kMaxFiles || file_bytes_ + file.size > kMaxBytes) {
    throw Error(ErrorKind::Internal, "too much for one zip archive");
  }
  const std::string& name = file.path.text();
  const auto describe = [&](Record& record) {
    record.u16(kVersion).u16(kUtf8Names).u16(kStored).u32(kFirstOfJanuary1980).u32(crc);
    record.u32(file.size).u32(file.size).u16(name.size()).u16(0);
  };
  Record central;
  describe(central.u32(kCentralHeader).u16(kMadeByUnix));
  central.u16(0).u16(0).u16(0).u32(kRegularFile).u32(size_).text(name);
  directory_ += central.take();
  Record local;
  describe(local.u32(kLocalHeader));
  std::string header = local.text(name).take();
  const std::uint64_t header_size = header.size();
  add_piece({.size = header_size, .header = std::move(header)});
  if (file.size > 0) add_piece({.size = file.size, .header = {}, .file = &file});
  ++files_;
}

void ZipSource::finish() {
  Record end;
  end.u32(kEndOfDirectory).u16(0).u16(0).u16(files_).u16(files_);
  end.u32(directory_.size()).u32(size_).u16(0);
  std::string tail = std::move(directory_) + end.take();
  const std::uint64_t tail_size = tail.size();
  add_piece({.size = tail_size, .header = std::move(tail)});
}

std::size_t ZipSource::read_at(std::uint64_t offset, std::span<std::byte> buffer) {
  if (offset >= size_ || buffer.empty()) return 0;
  const auto after = std::upper_bound(
      pieces_.begin(), pieces_.end(), offset,
      [](std::uint64_t position, const Piece& piece) { return position < piece.begin; });
  const Piece& piece = *std::prev(after);
  const std::uint64_t within = offset - piece.begin;
  const auto wanted =
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), piece.size - within));
  std::size_t count = wanted;
  if (piece.file != nullptr) {
    count = read_file(piece, within, buffer.first(wanted));
  } else {
    std::memcpy(buffer.data(), piece.header.data() + within, wanted);
  }
  const std::uint64_t in_file = piece.file != nullptr ? within + count : 0;
  const auto sent = static_cast<std::int64_t>(piece.file_bytes_before + in_file);
  if (sent != sent_) on_sent_(sent - std::exchange(sent_, sent));
  return count;
}

std::size_t ZipSource::read_file(const Piece& piece, std::uint64_t offset,
                                 std::span<std::byte> buffer) {
  if (opened_ != piece.file) {
    source_ = piece.file->open();
    opened_ = piece.file;
    if (source_->size() != piece.size) {
      throw Error(ErrorKind::Integrity, piece.file->path.text() + ": changed while it was sent");
    }
  }
  return source_->read_at(offset, buffer);
}

}  // namespace red
