#include "common/protocols/xnat/xnat_lists.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/error.h"
#include "common/json/json_document.h"
#include "common/logging.h"

namespace red {
namespace {

/// Envelope, array, row, value: no honest list is deeper.
constexpr std::size_t kMaxDepth = 8;

Error not_a_list(const std::string& where, std::string_view why) {
  return {ErrorKind::Protocol, where + ": the answer is no list: " + std::string(why)};
}

JsonValue::Array rows_of(std::string_view json, const std::string& where) {
  // What XNAT answers when it has no table at all.
  if (json.find_first_not_of(" \r\n\t") == std::string_view::npos) return {};
  JsonDocument document;
  try {
    document = parse_json(json, "it", kMaxDepth);
  } catch (const Error& error) {
    throw not_a_list(where, error.message());
  }
  JsonValue* set = nullptr;
  if (auto* members = document.root.object()) {
    for (auto& member : *members) {
      if (member.name == "ResultSet") set = &member.value;
    }
  }
  JsonValue::Object* members = set != nullptr ? set->object() : nullptr;
  if (members == nullptr) throw not_a_list(where, "it has no ResultSet");
  for (auto& member : *members) {
    if (member.name != "Result") continue;
    if (member.value.array() == nullptr) break;
    return std::move(*member.value.array());
  }
  throw not_a_list(where, "it has no Result");
}

/// Numbers are strings to XNAT; a proxy or a later version may mean numbers by them.
std::string text_of(const JsonValue& row, std::string_view key) {
  const JsonValue* value = row.find(key);
  if (value == nullptr || value->type() == JsonType::Null) return {};
  if (const std::string* text = value->string()) return *text;
  return value->to_text();
}

std::string required_text(const JsonValue& row, std::string_view key, const std::string& where) {
  std::string text = text_of(row, key);
  if (text.empty()) throw not_a_list(where, "a row has no " + std::string(key));
  return text;
}

std::optional<std::uint64_t> size_in(const std::string& text) {
  std::uint64_t size = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return size;
}

std::optional<Checksum> md5_in(std::string text) {
  constexpr std::size_t kDigits = 32;
  if (text.size() != kDigits) return std::nullopt;
  for (char& c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return std::nullopt;
  }
  return Checksum{DigestAlgorithm::Md5, std::move(text)};
}

/// What follows "/resources/ID/files/" in the URI of a file, where nothing is encoded. (Its Name is
/// only the last component.)
std::optional<std::string_view> path_in(std::string_view uri) {
  constexpr std::string_view kResources = "/resources/";
  constexpr std::string_view kFiles = "/files/";
  for (auto at = uri.find(kResources); at != std::string_view::npos;
       at = uri.find(kResources, at + 1)) {
    const auto id = at + kResources.size();
    const auto end = uri.find('/', id);
    if (end == std::string_view::npos || end == id) continue;
    if (uri.substr(end).starts_with(kFiles)) return uri.substr(end + kFiles.size());
  }
  return std::nullopt;
}

std::optional<RemotePath> parse_path(std::string_view text) {
  RemotePath path;
  while (true) {
    const auto slash = text.find('/');
    const std::string_view name = text.substr(0, slash);
    if (!RemotePath::is_valid_name(name)) return std::nullopt;
    path = path.child(name);
    if (slash == std::string_view::npos) return path;
    text.remove_prefix(slash + 1);
  }
}

}  // namespace

std::optional<RemotePath> path_in_resource(std::string_view uri) {
  const auto inside = path_in(uri);
  return inside ? parse_path(*inside) : std::nullopt;
}

std::vector<XnatObject> parse_objects(std::string_view json, const std::string& where) {
  std::vector<XnatObject> objects;
  for (const JsonValue& row : rows_of(json, where)) {
    objects.push_back({.id = required_text(row, "ID", where),
                       .label = text_of(row, "label"),
                       .type = text_of(row, "type"),
                       .xsi_type = text_of(row, "xsiType")});
  }
  return objects;
}

std::vector<XnatObject> parse_projects(std::string_view json, const std::string& where) {
  std::vector<XnatObject> projects;
  for (const JsonValue& row : rows_of(json, where)) {
    const std::string id = required_text(row, "ID", where);
    for (const char* key : {"secondary_ID", "name"}) {
      projects.push_back({.id = id, .label = text_of(row, key), .type = {}, .xsi_type = {}});
    }
  }
  return projects;
}

std::vector<XnatResource> parse_resources(std::string_view json, const std::string& where) {
  std::vector<XnatResource> resources;
  for (const JsonValue& row : rows_of(json, where)) {
    resources.push_back({.id = required_text(row, "xnat_abstractresource_id", where),
                         .label = text_of(row, "label"),
                         .category = text_of(row, "category"),
                         .owner = text_of(row, "cat_id")});
  }
  return resources;
}

std::vector<XnatCatalogEntry> parse_files(std::string_view json, const std::string& where) {
  std::vector<XnatCatalogEntry> files;
  std::size_t bad_names = 0;
  for (const JsonValue& row : rows_of(json, where)) {
    const std::string uri = required_text(row, "URI", where);
    const auto inside = path_in(uri);
    if (!inside) throw not_a_list(where, "a URI is none of a file");
    auto path = parse_path(*inside);
    if (!path) {
      ++bad_names;
      continue;
    }
    files.push_back(
        {std::move(*path), size_in(text_of(row, "Size")), md5_in(text_of(row, "digest"))});
  }
  if (bad_names > 0) {
    log(LogLevel::Warning, where + ": left out: " + std::to_string(bad_names) +
                               " files with names that cannot be paths");
  }
  return files;
}

}  // namespace red
