#include "common/protocols/http/json_index.h"

#include <string>

#include "common/error.h"
#include "common/json/json_document.h"
#include "common/net/http_date.h"
#include "common/protocols/http/child_links.h"
#include "common/remote/remote_path.h"

namespace red {
namespace {

// nginx writes names as they are on its disk, in any encoding, while a JSON parser takes only
// UTF-8. So each byte above 127 goes through the parser as the escape of a code point of its own,
// at the very end of the private planes: byte 0x80 as U+10FF80, byte 0xFF as U+10FFFF. In UTF-8
// those are F4 8F BE 80 to F4 8F BF BF.
constexpr std::string_view kDisguise = "\xF4\x8F";

std::string disguise_raw_bytes(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += "\\udbff\\udf";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

/// The byte behind a disguise at the front of `text`.
std::optional<char> disguised_byte(std::string_view text) {
  if (text.size() < 4 || !text.starts_with(kDisguise)) return std::nullopt;
  const int high = static_cast<unsigned char>(text[2]) - 0xBE;
  const int low = static_cast<unsigned char>(text[3]) - 0x80;
  if (high != 0 && high != 1) return std::nullopt;
  return static_cast<char>(0x80 + high * 0x40 + low);
}

std::string restore_raw_bytes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::optional<char> byte = disguised_byte(text);
    out += byte.value_or(text[0]);
    text.remove_prefix(byte ? kDisguise.size() + 2 : 1);
  }
  return out;
}

JsonValue parse_value(std::string_view text) {
  try {
    return parse_json(disguise_raw_bytes(text), "directory index").root;
  } catch (const Error&) {
    throw Error(ErrorKind::Protocol, "the directory index is not valid JSON");
  }
}

std::optional<std::string> find_string(const JsonValue& item, std::string_view member) {
  const JsonValue* value = item.find(member);
  if (!value || !value->string()) return std::nullopt;
  return restore_raw_bytes(*value->string());
}

bool is_true(const JsonValue& item, std::string_view member) {
  const JsonValue* value = item.find(member);
  return value && value->boolean() && *value->boolean();
}

std::optional<std::uint64_t> find_size(const JsonValue& item) {
  const JsonValue* value = item.find("size");
  return value ? value->unsigned_integer() : std::nullopt;
}

void set_time(Entry& entry, std::optional<std::chrono::sys_seconds> time) {
  entry.modified = time;
  entry.modified_is_exact = time.has_value();
}

/// One object of nginx's array. "other" is neither file nor directory: nginx does not serve it.
std::optional<Entry> nginx_entry(const JsonValue& item) {
  const std::string type = *find_string(item, "type");
  if (type != "file" && type != "directory") return std::nullopt;
  Entry entry;
  entry.name = find_string(item, "name").value_or("");
  entry.kind = type == "file" ? EntryKind::File : EntryKind::Directory;
  if (entry.kind == EntryKind::File) entry.size = find_size(item);
  set_time(entry, parse_http_date(find_string(item, "mtime").value_or("")));
  return entry;
}

/// One object of Caddy's array. Only its "url" tells names that are not UTF-8.
std::optional<Entry> caddy_entry(const JsonValue& item, const ChildLinks& children) {
  const std::optional<ChildLink> child = children.follow(*find_string(item, "url"));
  if (!child) return std::nullopt;
  Entry entry;
  entry.name = child->name;
  entry.kind = is_true(item, "is_dir") ? EntryKind::Directory : EntryKind::File;
  // Of a symbolic link, some versions tell the link's own size and all of them its own time.
  if (is_true(item, "is_symlink")) return entry;
  if (entry.kind == EntryKind::File) entry.size = find_size(item);
  set_time(entry, parse_rfc3339(find_string(item, "mod_time").value_or("")));
  return entry;
}

}  // namespace

std::optional<std::vector<Entry>> parse_json_index(std::string_view text, const Url& directory,
                                                   std::size_t max_entries) {
  const JsonValue root = parse_value(text);
  const JsonValue::Array* items = root.array();
  if (!items) return std::nullopt;
  if (items->size() > max_entries) {
    throw Error(ErrorKind::Protocol, "the directory index holds too many entries");
  }
  const ChildLinks children(directory);
  std::vector<Entry> entries;
  entries.reserve(items->size());
  for (const JsonValue& item : *items) {
    const bool is_nginx = find_string(item, "type").has_value();
    if (!is_nginx && !find_string(item, "url")) return std::nullopt;
    std::optional<Entry> entry = is_nginx ? nginx_entry(item) : caddy_entry(item, children);
    if (entry && RemotePath::is_valid_name(entry->name)) entries.push_back(std::move(*entry));
  }
  return merge_duplicates(std::move(entries));
}

}  // namespace red
