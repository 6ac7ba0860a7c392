#include "common/protocols/sftp/sftp_wire.h"

#include <utility>

#include "common/error.h"

namespace red {
namespace {

// Attribute flags (section 5).
constexpr std::uint32_t kHasSize = 0x1;
constexpr std::uint32_t kHasOwner = 0x2;
constexpr std::uint32_t kHasMode = 0x4;
constexpr std::uint32_t kHasTimes = 0x8;
constexpr std::uint32_t kHasExtended = 0x80000000;

Error malformed(std::string_view what) {
  return {ErrorKind::Protocol, "the SFTP server's answer is malformed: " + std::string(what)};
}

}  // namespace

SftpWriter& SftpWriter::u8(std::uint8_t value) {
  bytes_.push_back(static_cast<char>(value));
  return *this;
}

SftpWriter& SftpWriter::u32(std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes_.push_back(static_cast<char>((value >> shift) & 0xff));
  }
  return *this;
}

SftpWriter& SftpWriter::u64(std::uint64_t value) {
  return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value));
}

SftpWriter& SftpWriter::string(std::string_view text) {
  u32(static_cast<std::uint32_t>(text.size()));
  bytes_.append(text);
  return *this;
}

SftpWriter& SftpWriter::attributes(const SftpAttributes& attributes) {
  std::uint32_t flags = 0;
  if (attributes.size) flags |= kHasSize;
  if (attributes.owner) flags |= kHasOwner;
  if (attributes.mode) flags |= kHasMode;
  if (attributes.times) flags |= kHasTimes;
  u32(flags);
  if (attributes.size) u64(*attributes.size);
  if (attributes.owner) u32(attributes.owner->user).u32(attributes.owner->group);
  if (attributes.mode) u32(*attributes.mode);
  if (attributes.times) u32(attributes.times->accessed).u32(attributes.times->modified);
  return *this;
}

std::span<const std::byte> SftpReader::take(std::size_t count) {
  if (count > left_.size()) throw malformed("it ends too early");
  const auto taken = left_.first(count);
  left_ = left_.subspan(count);
  return taken;
}

std::uint8_t SftpReader::u8() { return std::to_integer<std::uint8_t>(take(1)[0]); }

std::uint32_t SftpReader::u32() { return sftp_u32_at(take(4).data()); }

std::uint64_t SftpReader::u64() {
  const std::uint64_t high = u32();
  return high << 32 | u32();
}

std::span<const std::byte> SftpReader::string() { return take(u32()); }

std::string SftpReader::text() {
  const auto bytes = string();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

SftpAttributes SftpReader::attributes() {
  SftpAttributes result;
  const std::uint32_t flags = u32();
  if ((flags & kHasSize) != 0) result.size = u64();
  if ((flags & kHasOwner) != 0) {
    SftpAttributes::Owner owner;
    owner.user = u32();
    owner.group = u32();
    result.owner = owner;
  }
  if ((flags & kHasMode) != 0) result.mode = u32();
  if ((flags & kHasTimes) != 0) {
    SftpAttributes::Times times;
    times.accessed = u32();
    times.modified = u32();
    result.times = times;
  }
  if ((flags & kHasExtended) != 0) {
    // A wrong count ends with the packet: every pair takes bytes of it.
    for (std::uint32_t left = u32(); left > 0; --left) {
      string();
      string();
    }
  }
  return result;
}

SftpStatus parse_sftp_status(SftpReader body) {
  SftpStatus status;
  status.code = static_cast<SftpStatusCode>(body.u32());
  // Some servers of version 3 leave out the text, as version 2 did.
  if (!body.at_end()) status.message = body.text();
  return status;
}

std::vector<SftpName> parse_sftp_names(SftpReader body) {
  std::vector<SftpName> names;
  for (std::uint32_t left = body.u32(); left > 0; --left) {
    SftpName entry;
    entry.name = body.text();
    body.string();  // a line as of `ls -l`, which says nothing that the attributes do not
    entry.attributes = body.attributes();
    names.push_back(std::move(entry));
  }
  return names;
}

std::vector<SftpExtension> parse_sftp_extensions(SftpReader body) {
  std::vector<SftpExtension> extensions;
  while (!body.at_end()) {
    SftpExtension extension;
    extension.name = body.text();
    extension.value = body.text();
    extensions.push_back(std::move(extension));
  }
  return extensions;
}

SftpLimits parse_sftp_limits(SftpReader body) {
  SftpLimits limits;
  limits.max_packet = body.u64();
  limits.max_read = body.u64();
  limits.max_write = body.u64();
  limits.max_handles = body.u64();
  return limits;
}

SftpFileSystem parse_sftp_file_system(SftpReader body) {
  SftpFileSystem result;
  for (std::uint64_t SftpFileSystem::*field :
       {&SftpFileSystem::block_size, &SftpFileSystem::fragment_size, &SftpFileSystem::blocks,
        &SftpFileSystem::blocks_free, &SftpFileSystem::blocks_available, &SftpFileSystem::files,
        &SftpFileSystem::files_free, &SftpFileSystem::files_available, &SftpFileSystem::id,
        &SftpFileSystem::flags, &SftpFileSystem::max_name}) {
    result.*field = body.u64();
  }
  return result;
}

std::uint32_t sftp_u32_at(const std::byte* bytes) noexcept {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[i]);
  return value;
}

}  // namespace red
