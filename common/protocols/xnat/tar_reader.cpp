#include "common/protocols/xnat/tar_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

// Headers before a file's own: names, no contents.
constexpr std::uint64_t kMaxExtendedHeader = 1 << 20;

struct Field {
  std::size_t offset;
  std::size_t size;
};
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kModified{136, 12};
constexpr Field kChecksum{148, 8};
constexpr Field kType{156, 1};
constexpr Field kMagic{257, 6};
constexpr Field kPrefix{345, 155};

[[noreturn]] void refuse(std::string_view why) {
  throw Error(ErrorKind::Protocol, "the archive is damaged: " + std::string(why));
}

std::string_view text_in(std::string_view header, Field field) {
  const std::string_view text = header.substr(field.offset, field.size);
  return text.substr(0, text.find('\0'));
}

/// Octal digits between blanks; or, if the first bit is set, binary (GNU).
std::optional<std::uint64_t> number_in(std::string_view header, Field field) {
  std::string_view text = header.substr(field.offset, field.size);
  if ((static_cast<unsigned char>(text[0]) & 0x80U) != 0) {
    std::uint64_t value = static_cast<unsigned char>(text[0]) & 0x7FU;
    for (const char c : text.substr(1)) {
      if (value >> 56U != 0) return std::nullopt;
      value = value << 8U | static_cast<unsigned char>(c);
    }
    return value;
  }
  while (text.starts_with(' ')) text.remove_prefix(1);
  text = text.substr(0, text.find_first_of(std::string_view(" \0", 2)));
  if (text.empty()) return 0;
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The sum of all bytes, with blanks in the place of the sum itself.
bool has_right_checksum(std::string_view header) {
  std::uint64_t sum = kChecksum.size * ' ';
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool is_checksum = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    if (!is_checksum) sum += static_cast<unsigned char>(header[i]);
  }
  return number_in(header, kChecksum) == sum;
}

std::string name_in(std::string_view header) {
  std::string name(text_in(header, kName));
  const bool is_posix = header.substr(kMagic.offset, kMagic.size) == std::string_view("ustar\0", 6);
  const std::string_view prefix = is_posix ? text_in(header, kPrefix) : std::string_view{};
  return prefix.empty() ? name : std::string(prefix) + "/" + name;
}

}  // namespace

void TarReader::read(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (state_ == State::Header) {
      const std::size_t count = std::min(bytes.size(), kBlock - header_size_);
      std::memcpy(header_.data() + header_size_, bytes.data(), count);
      header_size_ += count;
      bytes = bytes.subspan(count);
      if (header_size_ == kBlock) take_header();
      continue;
    }
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
    if (state_ == State::Content && is_kept_) {
      member_.content.insert(member_.content.end(), bytes.begin(),
                             bytes.begin() + static_cast<std::ptrdiff_t>(count));
    }
    left_ -= count;
    bytes = bytes.subspan(count);
    if (left_ == 0) end_content();
  }
}

void TarReader::take_header() {
  header_size_ = 0;
  const std::string_view header(reinterpret_cast<const char*>(header_.data()), kBlock);
  // Two blocks of zeros end an archive; whatever comes then is of no interest.
  if (std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; })) return;
  if (!has_right_checksum(header)) refuse("a header is none");
  const auto told = number_in(header, kSize);
  if (!told) refuse("a size is none");
  switch (header[kType.offset]) {
    case 'x':
      return begin_content(Kind::PaxHeader, *told);
    case 'L':
      return begin_content(Kind::LongName, *told);
    case '0':
    case '\0':
      break;
    default:
      next_name_.reset();
      return begin_content(Kind::Other, std::exchange(next_size_, std::nullopt).value_or(*told));
  }
  member_ = {};
  member_.name = std::exchange(next_name_, std::nullopt).value_or(name_in(header));
  if (const auto modified = number_in(header, kModified); modified && *modified < 1ULL << 33U) {
    member_.modified = FileTime(std::chrono::seconds(*modified));
  }
  begin_content(Kind::File, std::exchange(next_size_, std::nullopt).value_or(*told));
}

void TarReader::begin_content(Kind kind, std::uint64_t size) {
  kind_ = kind;
  const bool is_header = kind == Kind::PaxHeader || kind == Kind::LongName;
  if (is_header) {
    if (size > kMaxExtendedHeader) refuse("a header is too long");
    member_ = {};
  }
  is_kept_ = is_header || (kind == Kind::File && size <= max_member_);
  if (is_kept_) member_.content.reserve(static_cast<std::size_t>(size));
  padding_ = (kBlock - size % kBlock) % kBlock;
  left_ = size;
  state_ = State::Content;
  if (left_ == 0) end_content();
}

void TarReader::end_content() {
  if (state_ == State::Padding) {
    state_ = State::Header;
    return;
  }
  const std::string_view text(reinterpret_cast<const char*>(member_.content.data()),
                              member_.content.size());
  if (kind_ == Kind::PaxHeader) read_pax(text);
  if (kind_ == Kind::LongName) next_name_ = std::string(text.substr(0, text.find('\0')));
  if (kind_ == Kind::File && is_kept_) on_member_(std::move(member_));
  left_ = padding_;
  state_ = left_ == 0 ? State::Header : State::Padding;
}

/// Records "LENGTH KEY=VALUE\n", of which the length is that of the whole record.
void TarReader::read_pax(std::string_view records) {
  while (!records.empty()) {
    std::size_t length = 0;
    const auto [end, failure] =
        std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<std::size_t>(end - records.data());
    if (failure != std::errc{} || length < digits + 2 || length > records.size() ||
        records[digits] != ' ' || records[length - 1] != '\n') {
      refuse("an extended header is none");
    }
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    records.remove_prefix(length);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos) refuse("an extended header is none");
    const std::string_view value = record.substr(equals + 1);
    if (record.substr(0, equals) == "path") next_name_ = std::string(value);
    if (record.substr(0, equals) != "size") continue;
    std::uint64_t size = 0;
    const auto [last, wrong] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (wrong != std::errc{} || last != value.data() + value.size()) refuse("a size is none");
    next_size_ = size;
  }
}

}  // namespace red
