#include "transfer/receive_archive.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transfer/archive_reader.h"
#include "transfer/expansion_limit.h"
#include "transfer/listing_comparison.h"
#include "transfer/member_path.h"
#include "transfer/printable_name.h"
#include "transfer/raw_named_zip.h"
#include "transfer/receive_file.h"
#include "transfer/staged_tree.h"
#include "transfer/streamed_download.h"

namespace red {
namespace {

// No honest archive has more; as for directories that are received file by file.
// What a member takes on the disk, however empty it is: millions of them fit into few compressed
// bytes.
constexpr std::uint64_t kLeastOfMember = 4096;
constexpr std::uint64_t kMaxMembers = 10'000'000;
// Tapes, and tar with them, fill up to a whole record behind the end of the archive.
constexpr std::uint64_t kMaxBehindEnd = 16 << 20;
constexpr std::size_t kDrainPiece = 1 << 16;

/// Puts the members of an archive into a tree.
class Unpacker {
 public:
  Unpacker(StagedTree& tree, ExpansionLimit& limit, const std::stop_token& stop)
      : tree_(tree), limit_(limit), stop_(stop) {}

  /// `count` is told the bytes of files as they come.
  void unpack(ArchiveReader& archive, const std::function<void(std::uint64_t bytes)>& count) {
    for (std::uint64_t members = 0; const auto member = archive.next();) {
      throw_if_stopped();
      if (++members > kMaxMembers) {
        throw Error(ErrorKind::Protocol,
                    "the archive has more than " + std::to_string(kMaxMembers) + " members");
      }
      limit_.produce(kLeastOfMember);
      try {
        place(*member, archive, count);
      } catch (const Error& error) {
        throw in_words(error).within("\"" + printable_name(member->name) + "\"");
      }
    }
  }

 private:
  using Kind = ArchiveMember::Kind;

  void throw_if_stopped() const {
    if (stop_.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
  }

  /// Where a directory on the way is none, the archive contradicts itself.
  static Error in_words(const Error& error) {
    const int number = error.error_number();
    if (error.kind() != ErrorKind::LocalIo || (number != ENOTDIR && number != ELOOP)) return error;
    return {ErrorKind::Protocol, "lies behind a symbolic link or a file of the archive"};
  }

  void place(const ArchiveMember& member, ArchiveReader& archive,
             const std::function<void(std::uint64_t)>& count) {
    const RemotePath path = member_path(member.name);
    if (path.is_root() && member.kind != Kind::Directory) {
      throw Error(ErrorKind::Protocol, "takes the place of the directory itself");
    }
    switch (member.kind) {
      case Kind::Directory:
        return tree_.add_directory(path, member.attributes);
      case Kind::File:
        return write(path, member, archive, count);
      case Kind::Symlink:
        return add_symlink(path, member);
      case Kind::HardLink:
        return add_hard_link(path, member);
      case Kind::Other:
        throw Error(ErrorKind::Protocol, "is a device, a pipe or a socket");
    }
  }

  void write(const RemotePath& path, const ArchiveMember& member, ArchiveReader& archive,
             const std::function<void(std::uint64_t)>& count) {
    const auto file = tree_.new_file(path);
    std::uint64_t end = 0;
    archive.read_content([&](std::uint64_t offset, std::span<const std::byte> bytes) {
      throw_if_stopped();
      count(bytes.size());
      file->write_at(offset, bytes);
      end = offset + bytes.size();
    });
    // A hole at the end.
    if (end < member.size) file->write_at(member.size - 1, std::array{std::byte{0}});
    file->set_attributes(member.attributes);
    file->commit();
  }

  void add_symlink(const RemotePath& path, const ArchiveMember& member) {
    if (member.link_target.empty()) {
      throw Error(ErrorKind::Protocol, "is a symbolic link without a target");
    }
    if (member.link_target.front() == '/') {
      throw Error(ErrorKind::Protocol, "is a symbolic link to an absolute path");
    }
    tree_.add_symlink(path, member.link_target, member.attributes);
  }

  void add_hard_link(const RemotePath& path, const ArchiveMember& member) {
    RemotePath existing;
    try {
      existing = member_path(member.link_target);
    } catch (const Error& error) {
      throw Error(ErrorKind::Protocol, "is a hard link to a file that " + error.message());
    }
    if (existing.is_root()) throw Error(ErrorKind::Protocol, "is a hard link to a directory");
    tree_.add_hard_link(path, existing);
  }

  StagedTree& tree_;
  ExpansionLimit& limit_;
  const std::stop_token& stop_;
};

/// Reads what is left, which proves that the archive came whole.
void drain(ByteStream& stream, const std::stop_token& stop) {
  std::vector<std::byte> buffer(kDrainPiece);
  std::uint64_t total = 0;
  while (const std::size_t count = stream.read(buffer)) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
    total += count;
    if (total > kMaxBehindEnd) {
      throw Error(ErrorKind::Protocol, "more than 16 MiB follow the end of the archive");
    }
  }
}

void receive_tar(RemoteStore& store, ArchiveFormat format, StagedTree& tree, Progress& progress,
                 const std::stop_token& stop) {
  ExpansionLimit limit;
  StreamedDownload download(store, progress, stop);
  CountedStream compressed(download, [&](std::size_t bytes) { limit.consume(bytes); });
  const auto decompressed = decompress(format, compressed);
  CountedStream tar(*decompressed, [&](std::size_t bytes) { limit.produce(bytes); });
  {
    ArchiveReader archive(tar);
    Unpacker(tree, limit, stop).unpack(archive, [](std::uint64_t) {});
  }
  drain(tar, stop);
  drain(compressed, stop);
}

void receive_zip(RemoteStore& store, StagedTree& tree, Progress& progress,
                 const std::stop_token& stop) {
  const auto received =
      receive_into(std::make_unique<SpoolFile>(tree.directory()), store, progress, stop);
  const auto content = received->content();
  RawNamedZip zip(*content, kMaxMembers);
  if (zip.is_empty()) return;
  ExpansionLimit limit;
  limit.consume(zip.size());
  ArchiveReader archive(zip);
  Unpacker(tree, limit, stop).unpack(archive, [&](std::uint64_t bytes) { limit.produce(bytes); });
}

void receive_tree(RemoteStore& store, ArchiveFormat format, const std::filesystem::path& target,
                  const Listing* listing, Progress& progress, const std::stop_token& stop) {
  StagedTree tree(target);
  if (format == ArchiveFormat::Zip) {
    receive_zip(store, tree, progress, stop);
  } else {
    receive_tar(store, format, tree, progress, stop);
  }
  tree.check_symlinks(stop);
  if (listing != nullptr) compare_with_listing(tree.path(), *listing, "the archive", stop);
  tree.move_into_place();
}

}  // namespace

void receive_archive(RemoteStore& store, ArchiveFormat format, const std::filesystem::path& target,
                     const Listing* listing, Progress& progress, std::stop_token stop) {
  progress.expect(1, 0);
  try {
    receive_tree(store, format, target, listing, progress, stop);
  } catch (const Error& error) {
    throw error.within("receiving " + store.location({}));
  }
  progress.file_done();
}

}  // namespace red
