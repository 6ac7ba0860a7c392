#include "tests/support/archive_builder.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace red::testing {
namespace {

constexpr std::size_t kBlock = 512;

void put(std::string& block, std::size_t offset, std::size_t length, std::string_view text) {
  block.replace(offset, std::min(length, text.size()), text.substr(0, length));
}

std::string octal(std::uint64_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(number));
  return text;
}

std::string padded(std::string_view content) {
  std::string bytes(content);
  bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock);
  return bytes;
}

std::string header(std::string_view name, std::size_t size, const TarBuilder::Options& options) {
  std::string block(kBlock, '\0');
  put(block, 0, 100, name);
  put(block, 100, 8, octal(options.mode, 7));
  put(block, 108, 8, octal(0, 7));
  put(block, 116, 8, octal(0, 7));
  put(block, 124, 12, octal(size, 11));
  put(block, 136, 12, octal(static_cast<std::uint64_t>(options.modified), 11));
  put(block, 148, 8, "        ");
  block[156] = options.type;
  put(block, 157, 100, options.link_target);
  put(block, 257, 8,
      std::string_view("ustar\0"
                       "00",
                       8));
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(block, 148, 7, octal(sum, 6) + '\0');
  return block;
}

std::string u16(std::uint64_t number) {
  return {static_cast<char>(number & 0xff), static_cast<char>(number >> 8 & 0xff)};
}
std::string u32(std::uint64_t number) { return u16(number & 0xffff) + u16(number >> 16); }

std::uint32_t crc_of(const std::string& content) {
  return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(content.data()),
                                            static_cast<uInt>(content.size())));
}

/// What the local header and the central directory have in common.
std::string zip_fields(const ZipMember& member) {
  return u16(20) + u16(member.flags) + u16(member.method) + u16(0) + u16(0x2a21) +
         u32(crc_of(member.content)) + u32(member.content.size()) +
         u32(member.method == 0 ? member.content.size() : member.size) + u16(member.name.size()) +
         u16(0);
}

}  // namespace

TarBuilder& TarBuilder::file(std::string_view name, std::string_view content, unsigned mode) {
  return member(name, content, {.mode = mode});
}

TarBuilder& TarBuilder::directory(std::string_view name, unsigned mode) {
  return member(name, "", {.type = '5', .mode = mode});
}

TarBuilder& TarBuilder::symlink(std::string_view name, std::string_view target) {
  return member(name, "", {.type = '2', .link_target = std::string(target), .mode = 0777});
}

TarBuilder& TarBuilder::hard_link(std::string_view name, std::string_view target) {
  return member(name, "", {.type = '1', .link_target = std::string(target)});
}

TarBuilder& TarBuilder::member(std::string_view name, std::string_view content,
                               const Options& options) {
  bytes_ += header(name, content.size(), options) + padded(content);
  return *this;
}

TarBuilder& TarBuilder::header_of(std::string_view name, std::uint64_t size) {
  bytes_ += header(name, static_cast<std::size_t>(size), {});
  return *this;
}

TarBuilder& TarBuilder::extended(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string all;
  for (const auto& [key, value] : records) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    all += std::to_string(length) + rest;
  }
  return member("extended", all, {.type = 'x'});
}

TarBuilder& TarBuilder::gnu_long_name(std::string_view name) {
  return member("././@LongLink", std::string(name) + '\0', {.type = 'L'});
}

std::string zip_of(const std::vector<ZipMember>& members) {
  std::string bytes;
  std::string directory;
  for (const ZipMember& member : members) {
    directory += "PK\x01\x02" + u16(3 << 8 | 20) + zip_fields(member) + u16(0) + u16(0) + u16(0) +
                 u32(static_cast<std::uint64_t>(member.mode) << 16) + u32(bytes.size()) +
                 member.name;
    bytes += "PK\x03\x04" + zip_fields(member) + member.name + member.content;
  }
  return bytes + directory + "PK\x05\x06" + u32(0) + u16(members.size()) + u16(members.size()) +
         u32(directory.size()) + u32(bytes.size()) + u16(0);
}

std::string compressed(ArchiveFormat format, std::string_view tar) {
  if (format == ArchiveFormat::Tar) return std::string(tar);
  std::string bytes(tar.size() + (1 << 20), '\0');
  std::size_t used = 0;
  struct archive* const archive = ::archive_write_new();
  if (format == ArchiveFormat::Gztar) ::archive_write_add_filter_gzip(archive);
  if (format == ArchiveFormat::Bztar) ::archive_write_add_filter_bzip2(archive);
  if (format == ArchiveFormat::Xztar) ::archive_write_add_filter_xz(archive);
  ::archive_write_set_format_raw(archive);
  ::archive_write_set_bytes_per_block(archive, 1);
  ::archive_write_open_memory(archive, bytes.data(), bytes.size(), &used);
  struct archive_entry* const entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  ::archive_write_header(archive, entry);
  const bool is_whole = ::archive_write_data(archive, tar.data(), tar.size()) ==
                            static_cast<la_ssize_t>(tar.size()) &&
                        ::archive_write_close(archive) == ARCHIVE_OK;
  ::archive_entry_free(entry);
  ::archive_write_free(archive);
  if (!is_whole) throw std::runtime_error("libarchive cannot compress");
  bytes.resize(used);
  return bytes;
}

std::string deflated_zeros(int mebibytes) {
  std::string zeros(1 << 20, '\0');
  std::string chunk(1 << 20, '\0');
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
  stream.avail_in = static_cast<uInt>(zeros.size());
  stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
  stream.avail_out = static_cast<uInt>(chunk.size());
  // After a full flush whatever follows depends on nothing before (zlib.h, deflate).
  ::deflate(&stream, Z_FULL_FLUSH);
  chunk.resize(stream.total_out);
  ::deflateEnd(&stream);
  std::string bytes;
  for (int i = 0; i < mebibytes; ++i) bytes += chunk;
  return bytes + std::string("\x03\x00", 2);  // an empty last block
}

}  // namespace red::testing
