#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace red {

/// Packet types of SFTP version 3 (draft-ietf-secsh-filexfer-02 section 3).
enum class SftpPacketType : std::uint8_t {
  Init = 1,
  Version = 2,
  Open = 3,
  Close = 4,
  Read = 5,
  Write = 6,
  Lstat = 7,
  Fstat = 8,
  Setstat = 9,
  Fsetstat = 10,
  Opendir = 11,
  Readdir = 12,
  Remove = 13,
  Mkdir = 14,
  Rmdir = 15,
  Realpath = 16,
  Stat = 17,
  Rename = 18,
  Readlink = 19,
  Symlink = 20,
  Status = 101,
  Handle = 102,
  Data = 103,
  Name = 104,
  Attrs = 105,
  Extended = 200,
  ExtendedReply = 201,
};

/// Codes of SSH_FXP_STATUS (section 7). A server may send others.
enum class SftpStatusCode : std::uint32_t {
  Ok = 0,
  Eof = 1,
  NoSuchFile = 2,
  PermissionDenied = 3,
  Failure = 4,
  BadMessage = 5,
  NoConnection = 6,
  ConnectionLost = 7,
  OpUnsupported = 8,
};

/// How a file is to be opened (section 6.3); values are joined with |.
enum SftpOpenFlags : std::uint32_t {
  kSftpRead = 0x01,
  kSftpWrite = 0x02,
  kSftpAppend = 0x04,
  kSftpCreate = 0x08,
  kSftpTruncate = 0x10,
  kSftpExclusive = 0x20,
};

/// File attributes (section 5). What is not there was not told, or is not to be changed.
struct SftpAttributes {
  struct Owner {
    std::uint32_t user = 0;
    std::uint32_t group = 0;
    bool operator==(const Owner&) const = default;
  };
  /// Seconds since 1970. Unsigned: version 3 knows no others.
  struct Times {
    std::uint32_t accessed = 0;
    std::uint32_t modified = 0;
    bool operator==(const Times&) const = default;
  };

  std::optional<std::uint64_t> size;
  std::optional<Owner> owner;
  std::optional<std::uint32_t> mode;  ///< as st_mode: type of file and permission bits
  std::optional<Times> times;

  bool operator==(const SftpAttributes&) const = default;
};

/// One name of a directory.
struct SftpName {
  std::string name;
  SftpAttributes attributes;  ///< of a symbolic link: its own
};

struct SftpStatus {
  SftpStatusCode code = SftpStatusCode::Ok;
  std::string message;
};

/// An extension pair of SSH_FXP_VERSION.
struct SftpExtension {
  std::string name;
  std::string value;
};

/// Answer to limits@openssh.com (OpenSSH PROTOCOL section 4.8); 0: no limit is told.
struct SftpLimits {
  std::uint64_t max_packet = 0;
  std::uint64_t max_read = 0;
  std::uint64_t max_write = 0;
  std::uint64_t max_handles = 0;
};

/// Answer to statvfs@openssh.com (OpenSSH PROTOCOL section 4.4), fields as statvfs(3).
struct SftpFileSystem {
  std::uint64_t block_size = 0;
  std::uint64_t fragment_size = 0;
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
  std::uint64_t files_available = 0;
  std::uint64_t id = 0;
  std::uint64_t flags = 0;
  std::uint64_t max_name = 0;
};

/// Writes the body of a packet.
class SftpWriter {
 public:
  SftpWriter& u8(std::uint8_t value);
  SftpWriter& u32(std::uint32_t value);
  SftpWriter& u64(std::uint64_t value);
  /// With its length in front.
  SftpWriter& string(std::string_view text);
  SftpWriter& attributes(const SftpAttributes& attributes);

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads the body of a packet that somebody else wrote. Whatever it holds, nothing is read or
/// allocated beyond it: what does not fit throws Error{Protocol}.
class SftpReader {
 public:
  explicit SftpReader(std::span<const std::byte> bytes) : left_(bytes) {}

  std::uint8_t u8();
  std::uint32_t u32();
  std::uint64_t u64();
  std::span<const std::byte> string();
  std::string text();
  SftpAttributes attributes();

  bool at_end() const noexcept { return left_.empty(); }

 private:
  std::span<const std::byte> take(std::size_t count);

  std::span<const std::byte> left_;
};

/// The bodies of answers, behind the request's number. All throw Error{Protocol}.
SftpStatus parse_sftp_status(SftpReader body);
std::vector<SftpName> parse_sftp_names(SftpReader body);
std::vector<SftpExtension> parse_sftp_extensions(SftpReader body);
SftpLimits parse_sftp_limits(SftpReader body);
SftpFileSystem parse_sftp_file_system(SftpReader body);

/// The big-endian number at the front of at least four bytes.
std::uint32_t sftp_u32_at(const std::byte* bytes) noexcept;

}  // namespace red
