#include "common/protocols/http/child_links.h"

#include <algorithm>
#include <unordered_map>

#include "common/remote/remote_path.h"

namespace red {
namespace {

std::string canonical(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, end);
    const std::optional<std::string> decoded = decode_component(component);
    out += decoded ? encode_component(*decoded) : component;
    if (end == path.size()) break;
    out += '/';
    path.remove_prefix(end + 1);
  }
  return out;
}

void complete(Entry& entry, Entry& other) {
  if (!entry.size) entry.size = other.size;
  if (!entry.modified) {
    entry.modified = other.modified;
    entry.modified_is_exact = other.modified_is_exact;
  }
}

}  // namespace

ChildLinks::ChildLinks(const Url& directory)
    : directory_(directory), canonical_(canonical(directory.path)) {}

std::optional<ChildLink> ChildLinks::find(std::string_view path) const {
  const bool is_directory = path.ends_with('/');
  if (is_directory) path.remove_suffix(1);
  const std::size_t name_begin = path.rfind('/') + 1;
  const std::string_view parent = path.substr(0, name_begin);
  // Encoding the same path in the same way is the rule: compare cheaply first.
  if (parent != directory_.path && canonical(parent) != canonical_) return std::nullopt;
  std::optional<std::string> name = decode_component(path.substr(name_begin));
  if (!name || !RemotePath::is_valid_name(*name)) return std::nullopt;
  return ChildLink{std::move(*name), is_directory};
}

std::optional<ChildLink> ChildLinks::follow(std::string_view reference) const {
  const std::optional<Url> target = directory_.resolve(reference);
  if (!target || target->has_query || !target->same_origin(directory_)) return std::nullopt;
  return find(target->path);
}

bool ChildLinks::is_directory(std::string_view path) const {
  return canonical(path) == canonical_ || canonical(path) + '/' == canonical_;
}

std::vector<Entry> merge_duplicates(std::vector<Entry> entries) {
  std::unordered_map<std::string_view, Entry*> first_of_name;
  first_of_name.reserve(entries.size());
  for (Entry& entry : entries) {
    const auto [position, is_new] = first_of_name.try_emplace(entry.name, &entry);
    if (is_new) continue;
    complete(*position->second, entry);
    entry.name.clear();
  }
  std::erase_if(entries, [](const Entry& entry) { return entry.name.empty(); });
  return entries;
}

}  // namespace red
