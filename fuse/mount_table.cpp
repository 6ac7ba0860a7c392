#include "fuse/mount_table.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>

#include "common/error.h"
#include "common/unique_fd.h"

namespace red {
namespace {

namespace fs = std::filesystem;

bool is_octal(char c) { return c >= '0' && c <= '7'; }

/// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
std::string decode_octal(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                         is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (escaped) {
      decoded += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                   (text[i + 3] - '0'));
      i += 3;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uid_t> owner_in(std::string_view super_options) {
  constexpr std::string_view kUserId = "user_id=";
  for (const std::string_view option : split(super_options, ',')) {
    if (option.starts_with(kUserId)) return parse_number<uid_t>(option.substr(kUserId.size()));
  }
  return std::nullopt;
}

/// id, parent, device, root, mount point, options, optional fields, "-", type, source, super
/// options
std::optional<MountEntry> parse_line(std::string_view line) {
  constexpr std::size_t kFirstOptionalField = 6;
  const std::vector<std::string_view> fields = split(line, ' ');
  if (fields.size() <= kFirstOptionalField) return std::nullopt;
  const auto dash = std::find(fields.begin() + kFirstOptionalField, fields.end(), "-");
  if (fields.end() - dash < 4) return std::nullopt;
  const auto id = parse_number<int>(fields[0]);
  const auto parent_id = parse_number<int>(fields[1]);
  const auto device = parse_device_number(fields[2]);
  if (!id || !parent_id || !device) return std::nullopt;
  return MountEntry{*id,
                    *parent_id,
                    *device,
                    decode_octal(fields[4]),
                    decode_octal(dash[1]),
                    decode_octal(dash[2]),
                    owner_in(dash[3])};
}

}  // namespace

std::string to_string(const DeviceNumber& device) {
  return std::to_string(device.major) + ":" + std::to_string(device.minor);
}

std::optional<DeviceNumber> parse_device_number(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major = parse_number<unsigned>(text.substr(0, colon));
  const auto minor = parse_number<unsigned>(text.substr(colon + 1));
  if (!major || !minor) return std::nullopt;
  return DeviceNumber{*major, *minor};
}

MountTable parse_mount_table(std::string_view mountinfo) {
  MountTable table;
  for (const std::string_view line : split(mountinfo, '\n')) {
    if (auto entry = parse_line(line)) table.push_back(std::move(*entry));
  }
  return table;
}

MountTable read_mount_table() {
  std::ifstream stream("/proc/self/mountinfo");
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream || text.view().empty()) {
    throw Error(ErrorKind::Mount, "cannot read the mount table /proc/self/mountinfo");
  }
  return parse_mount_table(text.view());
}

const MountEntry* find_top_mount(const MountTable& table, const fs::path& mount_point) {
  // A mount on top of another one at the same place has that one as its parent.
  const MountEntry* top = nullptr;
  for (const MountEntry& entry : table) {
    if (entry.mount_point != mount_point) continue;
    const bool covered = std::any_of(table.begin(), table.end(), [&](const MountEntry& other) {
      return other.parent_id == entry.id && other.id != entry.id &&
             other.mount_point == mount_point;
    });
    if (!covered) top = &entry;
  }
  return top;
}

bool is_mounted(const MountTable& table, const fs::path& mount_point, const DeviceNumber& device) {
  const MountEntry* top = find_top_mount(table, mount_point);
  return top != nullptr && top->is_ours() && top->device == device;
}

std::optional<int> mount_id_in(const fs::path& fdinfo) {
  std::ifstream stream(fdinfo);
  std::string word;
  while (stream >> word) {
    int id = 0;
    if (word == "mnt_id:" && stream >> id) return id;
  }
  return std::nullopt;
}

LocatedDirectory locate_directory(const fs::path& path) {
  // O_PATH walks to the mount without a request to its file system, other than stat or realpath.
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw Error::local_io(errno, path.string());
  const std::string number = std::to_string(fd.get());
  std::error_code failure;
  fs::path real_path = fs::read_symlink("/proc/self/fd/" + number, failure);
  const auto mount_id = mount_id_in("/proc/self/fdinfo/" + number);
  if (failure || !mount_id) throw Error(ErrorKind::Mount, "cannot read /proc/self: is it mounted?");
  return {std::move(real_path), *mount_id};
}

}  // namespace red
