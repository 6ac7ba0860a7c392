#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transfer/archive_format.h"

namespace red::testing {

/// A tar archive made byte by byte (pax(1), ustar interchange format), so that it can hold what no
/// honest program writes.
class TarBuilder {
 public:
  struct Options {
    char type = '0';  ///< '0' file, '1' hard link, '2' symbolic link, '3' '4' '6' devices, '5' dir
    std::string link_target = {};
    unsigned mode = 0644;
    std::int64_t modified = 1'000'000'000;
  };

  TarBuilder& file(std::string_view name, std::string_view content = "content",
                   unsigned mode = 0644);
  TarBuilder& directory(std::string_view name, unsigned mode = 0755);
  TarBuilder& symlink(std::string_view name, std::string_view target);
  TarBuilder& hard_link(std::string_view name, std::string_view target);
  TarBuilder& member(std::string_view name, std::string_view content, const Options& options);
  /// A file of which the archive has only the header.
  TarBuilder& header_of(std::string_view name, std::uint64_t size);
  /// Records of an extended header for the member that follows (pax(1)).
  TarBuilder& extended(const std::vector<std::pair<std::string, std::string>>& records);
  /// A long name for the member that follows, as GNU tar writes it.
  TarBuilder& gnu_long_name(std::string_view name);

  /// With the two blocks that end it.
  std::string archive() const { return bytes_ + std::string(1024, '\0'); }
  std::string without_end() const { return bytes_; }

 private:
  std::string bytes_;
};

/// A member of a zip archive.
struct ZipMember {
  std::string name;
  std::string content = "content";
  std::uint32_t mode = 0100644;  ///< st_mode
  std::uint16_t flags = 0;       ///< general purpose bit flag
  std::uint16_t method = 0;      ///< by which the content is compressed already; 0: not
  std::uint64_t size = 0;        ///< said to be its size then; its checksum is wrong
};

constexpr std::uint16_t kZipEncrypted = 1;
constexpr std::uint16_t kZipUtf8 = 1 << 11;
constexpr std::uint16_t kZipDeflate = 8;

/// A zip archive, byte by byte (APPNOTE.TXT 6.3).
std::string zip_of(const std::vector<ZipMember>& members);

/// A tar archive in the format.
std::string compressed(ArchiveFormat format, std::string_view tar);

/// So many MiB of zeros by kZipDeflate, made in no time.
std::string deflated_zeros(int mebibytes);

}  // namespace red::testing
