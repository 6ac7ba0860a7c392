#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/byte_source.h"
#include "common/remote/remote_store.h"

namespace red {

/// A zip archive (PKWARE APPNOTE.TXT) of files as they are, not compressed, put together while it
/// is read; nothing of the files is kept. Names are UTF-8. It stays below what needs zip64.
class ZipSource final : public ByteSource {
 public:
  static constexpr std::size_t kMaxFiles = 60'000;
  static constexpr std::uint64_t kMaxBytes = 4'000'000'000;  ///< of files

  /// `on_sent` is told how many bytes of files were read from it, as TreeUploader says.
  explicit ZipSource(std::function<void(std::int64_t)> on_sent);

  /// `file` must live until this ends, `crc` be the CRC-32 of its content.
  void add(const FileToSend& file, std::uint32_t crc);
  /// After the last file, before the first read.
  void finish();

  std::uint64_t size() const override { return size_; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override;
  /// Bytes of files that have been read so far.
  std::int64_t sent() const { return sent_; }

 private:
  /// A piece of the archive: a header, or the content of a file.
  struct Piece {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::string header;                ///< unless `file` is set
    const FileToSend* file = nullptr;  ///< not owned
    std::uint64_t file_bytes_before = 0;
  };

  void add_piece(Piece piece);
  std::size_t read_file(const Piece& piece, std::uint64_t offset, std::span<std::byte> buffer);

  const std::function<void(std::int64_t)> on_sent_;
  std::vector<Piece> pieces_;
  std::string directory_;
  std::uint16_t files_ = 0;
  std::uint64_t size_ = 0;
  std::uint64_t file_bytes_ = 0;

  std::int64_t sent_ = 0;
  const FileToSend* opened_ = nullptr;
  std::unique_ptr<ByteSource> source_;  ///< of opened_
};

}  // namespace red
