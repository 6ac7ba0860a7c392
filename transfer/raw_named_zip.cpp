#include "transfer/raw_named_zip.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "common/error.h"

namespace red {
namespace {

// Records of APPNOTE.TXT 6.3, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
// 4.3.16 (its end), and how many of their bytes are looked at.
constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64Locator = 0x07064b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::size_t kLocalHeaderSize = 30;
constexpr std::size_t kCentralHeaderSize = 46;
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kEnd64LocatorSize = 20;
constexpr std::size_t kEnd64Size = 56;
constexpr std::uint16_t kZip64Extra = 1;
// As far from the end as libarchive looks for it.
constexpr std::uint64_t kTail = 16 << 10;

// In the local header.
constexpr std::size_t kSystem = 5;
constexpr std::size_t kFlagsHighByte = 7;
constexpr std::byte kUtf8Mark{0x08};  // bit 11 of the flags
constexpr std::byte kUnix{3};

std::string read_exactly(ByteSource& source, std::uint64_t offset, std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t done = 0; done < count;) {
    const std::size_t got = source.read_at(
        offset + done, std::as_writable_bytes(std::span(bytes.data() + done, count - done)));
    if (got == 0) return bytes.substr(0, done);
    done += got;
  }
  return bytes;
}

std::uint64_t number_at(const std::string& bytes, std::size_t offset, std::size_t length) {
  std::uint64_t number = 0;
  for (std::size_t i = length; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(bytes[offset + i]);
  }
  return number;
}
std::uint16_t u16(const std::string& bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(number_at(bytes, offset, 2));
}
std::uint32_t u32(const std::string& bytes, std::size_t offset) {
  return static_cast<std::uint32_t>(number_at(bytes, offset, 4));
}
std::uint64_t u64(const std::string& bytes, std::size_t offset) {
  return number_at(bytes, offset, 8);
}

bool is_record(const std::string& bytes, std::size_t size, std::uint32_t signature) {
  return bytes.size() >= size && u32(bytes, 0) == signature;
}

struct CentralDirectory {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t shift = 0;  ///< what is to be added to the offsets that are written in it
};

/// The last record of its end (there may be others inside of stored members).
std::optional<std::uint64_t> find_end(ByteSource& zip) {
  const std::uint64_t begin = zip.size() - std::min(zip.size(), kTail);
  const std::string tail = read_exactly(zip, begin, static_cast<std::size_t>(zip.size() - begin));
  const auto found = tail.rfind("PK\x05\x06", tail.size() - std::min(tail.size(), kEndSize));
  if (tail.size() < kEndSize || found == std::string::npos) return std::nullopt;
  return begin + found;
}

std::optional<CentralDirectory> find_directory(ByteSource& zip) {
  const auto end = find_end(zip);
  if (!end) return std::nullopt;
  const std::string record = read_exactly(zip, *end, kEndSize);
  const std::uint64_t locator_offset = *end - std::min<std::uint64_t>(*end, kEnd64LocatorSize);
  const std::string locator = read_exactly(zip, locator_offset, kEnd64LocatorSize);
  if (is_record(locator, kEnd64LocatorSize, kEnd64Locator)) {
    const std::string record64 = read_exactly(zip, u64(locator, 8), kEnd64Size);
    if (!is_record(record64, kEnd64Size, kEnd64)) return std::nullopt;
    return CentralDirectory{.begin = u64(record64, 48), .end = *end};
  }
  const std::uint64_t size = u32(record, 12);
  const std::uint64_t written = u32(record, 16);
  if (size > *end || written > *end - size) return std::nullopt;
  return CentralDirectory{.begin = *end - size, .end = *end, .shift = *end - size - written};
}

/// The offset of a member's local header, which large archives have in an extra field.
std::uint64_t local_header_of(const std::string& header, const std::string& extra) {
  constexpr std::uint32_t kElsewhere = 0xffffffff;
  const std::uint32_t offset = u32(header, 42);
  if (offset != kElsewhere) return offset;
  for (std::size_t at = 0; at + 4 <= extra.size();) {
    const std::size_t length = u16(extra, at + 2);
    if (u16(extra, at) == kZip64Extra) {
      // Only what does not fit into the header is there, in this order: sizes, offset.
      const std::size_t skipped =
          (u32(header, 24) == kElsewhere ? 8U : 0U) + (u32(header, 20) == kElsewhere ? 8U : 0U);
      if (skipped + 8 <= length && at + 4 + skipped + 8 <= extra.size()) {
        return u64(extra, at + 4 + skipped);
      }
    }
    at += 4 + length;
  }
  return offset;
}

}  // namespace

RawNamedZip::RawNamedZip(ByteSource& zip, std::uint64_t max_members) : zip_(zip) {
  const auto directory = find_directory(zip);
  if (!directory) return;
  is_empty_ = zip.size() == kEndSize && directory->end == 0;
  std::uint64_t members = 0;
  for (std::uint64_t at = directory->begin; at < directory->end;) {
    const std::string header = read_exactly(zip, at, kCentralHeaderSize);
    if (!is_record(header, kCentralHeaderSize, kCentralHeader)) break;
    if (++members > max_members) {
      throw Error(ErrorKind::Protocol,
                  "the archive has more than " + std::to_string(max_members) + " members");
    }
    const std::size_t name = u16(header, 28);
    const std::string extra = read_exactly(zip, at + kCentralHeaderSize + name, u16(header, 30));
    look_at_member(local_header_of(header, extra) + directory->shift,
                   static_cast<std::byte>(header[kSystem]) == kUnix);
    at += kCentralHeaderSize + name + u16(header, 30) + u16(header, 32);
  }
  std::ranges::sort(changes_, {}, &Change::offset);
}

void RawNamedZip::look_at_member(std::uint64_t local_header, bool is_from_unix) {
  if (local_header >= zip_.size()) return;
  const std::string header = read_exactly(zip_, local_header, kLocalHeaderSize);
  if (!is_record(header, kLocalHeaderSize, kLocalHeader)) return;
  const std::string name = read_exactly(zip_, local_header + kLocalHeaderSize, u16(header, 26));
  if (name.find('\0') != std::string::npos) {
    throw Error(ErrorKind::Protocol, "a member of the archive has NUL in its name");
  }
  const auto flags = static_cast<std::byte>(header[kFlagsHighByte]);
  if ((flags & kUtf8Mark) != std::byte{0}) {
    changes_.push_back({local_header + kFlagsHighByte, flags & ~kUtf8Mark});
  }
  // Programs say in the central directory which system the member is from, and 0 here.
  if (is_from_unix) changes_.push_back({local_header + kSystem, kUnix});
}

std::size_t RawNamedZip::read_at(std::uint64_t offset, std::span<std::byte> buffer) {
  const std::size_t count = zip_.read_at(offset, buffer);
  for (auto change = std::ranges::lower_bound(changes_, offset, {}, &Change::offset);
       change != changes_.end() && change->offset < offset + count; ++change) {
    buffer[static_cast<std::size_t>(change->offset - offset)] = change->value;
  }
  return count;
}

}  // namespace red
