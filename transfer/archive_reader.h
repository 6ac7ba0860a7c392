#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "common/byte_source.h"
#include "common/error.h"
#include "common/remote/remote_store.h"
#include "transfer/archive_format.h"
#include "transfer/byte_stream.h"

namespace red {

/// One member as its archive describes it: nothing of it has been checked.
struct ArchiveMember {
  enum class Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Other  ///< a device, a pipe, a socket
  };
  Kind kind = Kind::File;
  std::string name;              ///< raw bytes; empty if the archive has none
  std::string link_target = {};  ///< of links: raw bytes
  std::uint64_t size = 0;        ///< of files: bytes, holes included
  LocalAttributes attributes = {};
};

/// Reads tar and zip archives by libarchive, which nothing else here knows. Not thread-safe. What
/// is wrong with the archive is Error{Protocol}; errors of its source pass through.
class ArchiveReader {
 public:
  /// A tar archive, not compressed. `tar` must outlive this.
  explicit ArchiveReader(ByteStream& tar);
  /// A zip archive with a central directory. `zip` must outlive this.
  explicit ArchiveReader(ByteSource& zip);
  ~ArchiveReader();

  /// Nothing after the last.
  std::optional<ArchiveMember> next();

  /// The bytes of a file, which is the member that next() returned last: pieces in order, at
  /// `offset`; what lies between them is a hole. To be called once, or never.
  using TakePiece = std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>;
  void read_content(const TakePiece& take);

 private:
  struct State;

  void check(int result);

  const std::unique_ptr<State> state_;
};

/// What is in a compressed file of the format (Gztar, Bztar or Xztar; of Tar, the file itself), up
/// to its end, which proves it to be whole. `compressed` must outlive the result. Errors as
/// ArchiveReader.
std::unique_ptr<ByteStream> decompress(ArchiveFormat format, ByteStream& compressed);

}  // namespace red
