#include "transfer/gzip_stream.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "common/error.h"
#include "tests/support/file_tree.h"

namespace red {
namespace {

class TextStream final : public ByteStream {
 public:
  TextStream(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}

  std::size_t read(std::span<std::byte> buffer) override {
    const std::size_t count = std::min({buffer.size(), piece_, text_.size() - at_});
    std::ranges::copy(std::as_bytes(std::span(text_)).subspan(at_, count), buffer.begin());
    at_ += count;
    return count;
  }

 private:
  const std::string text_;
  const std::size_t piece_;
  std::size_t at_ = 0;
};

std::string gzip(const std::string& text) {
  z_stream stream{};
  ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  ::deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

std::string gunzip(const std::string& packed, std::size_t piece = 100'000) {
  TextStream compressed(packed, piece);
  GzipStream stream(compressed);
  std::string text;
  std::string buffer(5000, '\0');
  while (const auto count = stream.read(std::as_writable_bytes(std::span(buffer)))) {
    text.append(buffer, 0, count);
  }
  return text;
}

std::string fault_of(const std::string& packed) {
  try {
    gunzip(packed);
    return "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    return error.message();
  }
}

TEST(GzipStream, GivesWhatWasPacked) {
  const std::string text = testing::random_bytes(100'000) + std::string(500'000, 'x');
  for (const std::size_t piece : {1UL, 7UL, 100'000UL}) {
    EXPECT_TRUE(gunzip(gzip(text), piece) == text);
  }
  EXPECT_EQ(gunzip(gzip("")), "");
}

TEST(GzipStream, GoesOnThroughAllMembers) {
  EXPECT_EQ(gunzip(gzip("one ") + gzip("") + gzip("two")), "one two");
  EXPECT_EQ(gunzip(gzip("one ") + gzip("two"), 1), "one two");
}

TEST(GzipStream, TakesNothingButZerosBehindTheEnd) {
  EXPECT_EQ(gunzip(gzip("text") + std::string(100'000, '\0')), "text");
  EXPECT_EQ(fault_of(gzip("text") + "x"),
            "the archive is damaged (gzip: something follows its end)");
  EXPECT_EQ(fault_of(gzip("text") + std::string(10, '\0') + "x"),
            "the archive is damaged (gzip: something follows its end)");
}

TEST(GzipStream, ChecksTheChecksumAndTheLength) {
  for (const std::size_t from_end : {8U, 4U}) {
    std::string packed = gzip("some text that is packed");
    packed[packed.size() - from_end] ^= 1;
    EXPECT_TRUE(fault_of(packed).starts_with("the archive is damaged (gzip: incorrect"));
  }
}

TEST(GzipStream, NoticesWhatIsCutOff) {
  const std::string packed = gzip("some text that is packed");
  for (std::size_t length = 1; length < packed.size(); ++length) {
    EXPECT_EQ(fault_of(packed.substr(0, length)),
              "the archive is damaged (gzip: it ends too early)");
  }
}

TEST(GzipStream, SaysWhatIsNoGzipAtAll) {
  EXPECT_EQ(fault_of("<html>"), "it is not compressed by gzip");
}

}  // namespace
}  // namespace red
