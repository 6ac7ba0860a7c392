#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/remote/entry.h"

namespace red {

/// A regular file of a tar archive.
struct TarMember {
  std::string name;  ///< as the archive has it
  std::optional<FileTime> modified;
  std::vector<std::byte> content;
};

/// Reads a tar archive (POSIX.1-2017 pax interchange format, and GNU's long names) whose bytes come
/// in pieces, and hands over small files whole. Not thread-safe.
class TarReader {
 public:
  using OnMember = std::function<void(TarMember member)>;

  /// Files of more than `max_member` bytes are passed over.
  TarReader(std::uint64_t max_member, OnMember on_member)
      : max_member_(max_member), on_member_(std::move(on_member)) {}

  /// Throws Error{Protocol} for what is no archive.
  void read(std::span<const std::byte> bytes);

 private:
  static constexpr std::size_t kBlock = 512;
  enum class State { Header, Content, Padding };
  enum class Kind { File, PaxHeader, LongName, Other };

  void take_header();
  void begin_content(Kind kind, std::uint64_t size);
  void end_content();
  void read_pax(std::string_view records);

  // set once
  const std::uint64_t max_member_;
  const OnMember on_member_;

  State state_ = State::Header;
  std::array<std::byte, kBlock> header_{};
  std::size_t header_size_ = 0;  ///< bytes of header_ that have come
  Kind kind_ = Kind::Other;
  bool is_kept_ = false;    ///< the content goes into member_
  std::uint64_t left_ = 0;  ///< bytes of content or padding
  std::uint64_t padding_ = 0;
  TarMember member_;

  // What a header before the file's own says of it.
  std::optional<std::string> next_name_;
  std::optional<std::uint64_t> next_size_;
};

}  // namespace red
