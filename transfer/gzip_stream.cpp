#include "transfer/gzip_stream.h"

#include <zlib.h>

#include <new>
#include <string>

#include "common/error.h"

namespace red {
namespace {

constexpr std::size_t kInputPiece = 1 << 17;
// zlib's way to say that the data is in the format of gzip (zlib.h, inflateInit2).
constexpr int kGzipWindowBits = 15 + 16;
constexpr Bytef kFirstByte = 0x1f;

Error damaged(const char* why) {
  return {ErrorKind::Protocol, std::string("the archive is damaged (gzip: ") + why + ")"};
}

}  // namespace

struct GzipStream::Inflater {
  Inflater() {
    if (::inflateInit2(&stream, kGzipWindowBits) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { ::inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
};

GzipStream::GzipStream(ByteStream& compressed)
    : compressed_(compressed), input_(kInputPiece), inflater_(std::make_unique<Inflater>()) {}

GzipStream::~GzipStream() = default;

/// Whether there is input.
bool GzipStream::fill() {
  z_stream& stream = inflater_->stream;
  if (stream.avail_in > 0) return true;
  const std::size_t count = compressed_.read(input_);
  stream.next_in = reinterpret_cast<Bytef*>(input_.data());
  stream.avail_in = static_cast<uInt>(count);
  return count > 0;
}

/// False at the end of the file.
bool GzipStream::begin_member() {
  if (has_had_member_) skip_zeros();
  const bool is_there = fill();
  if (has_had_member_ && !is_there) return false;
  if (!is_there || *inflater_->stream.next_in != kFirstByte) {
    if (has_had_member_) throw damaged("something follows its end");
    throw Error(ErrorKind::Protocol, "it is not compressed by gzip");
  }
  ::inflateReset(&inflater_->stream);
  is_in_member_ = has_had_member_ = true;
  return true;
}

/// Tapes and disks are filled up with them.
void GzipStream::skip_zeros() {
  z_stream& stream = inflater_->stream;
  while (fill() && *stream.next_in == 0) {
    ++stream.next_in;
    --stream.avail_in;
  }
}

std::size_t GzipStream::read(std::span<std::byte> buffer) {
  z_stream& stream = inflater_->stream;
  stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
  stream.avail_out = static_cast<uInt>(buffer.size());
  while (stream.avail_out == buffer.size()) {
    if (!is_in_member_ && !begin_member()) return 0;
    if (!fill()) throw damaged("it ends too early");
    const int result = ::inflate(&stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      is_in_member_ = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      throw damaged(stream.msg != nullptr ? stream.msg : "no reason given");
    }
  }
  return buffer.size() - stream.avail_out;
}

}  // namespace red
