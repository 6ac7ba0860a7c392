#include "common/access/listing_form.h"

#include <unordered_set>

#include "common/json/field_table.h"
#include "common/json/json_document.h"
#include "common/remote/remote_path.h"

namespace red {
namespace {

/// Two levels of JSON for each directory: 256 directories in one another.
constexpr std::size_t kMaxDepth = 512;

/// A field of CWL 1.0 that says nothing to a transfer.
Binding<ListingEntry> ignored(JsonType type) {
  return {{{.type = type}}, [](const JsonValue&, const JsonPlace&, ListingEntry&, Problems&) {}};
}

Binding<ListingEntry> class_binding(std::string_view name) {
  return {{{.type = JsonType::String, .values = {name}, .words = "File or Directory"}},
          [](const JsonValue&, const JsonPlace&, ListingEntry&, Problems&) {}};
}

Binding<ListingEntry> basename_binding() {
  return {
      {{.type = JsonType::String, .pattern = {R"(^[^/\x00]+$)", R"(^\.\.?$)"}}},
      [](const JsonValue& value, const JsonPlace& place, ListingEntry& node, Problems& problems) {
        node.basename = *value.string();
        if (!RemotePath::is_valid_name(node.basename)) {
          problems.add(place, "must be a file name: not empty, \".\" or \"..\", without / and NUL");
        }
      }};
}

Binding<ListingEntry> size_binding() {
  return {
      {{.type = JsonType::Integer, .minimum = 0, .is_within_64_bits = true}},
      [](const JsonValue& value, const JsonPlace& place, ListingEntry& node, Problems& problems) {
        node.size = value.unsigned_integer();
        if (!node.size) problems.add(place, "too large");
      }};
}

/// 40 lower-case digits of "sha1$…"; nothing if it is something else.
std::optional<std::string> sha1_in(std::string_view checksum) {
  constexpr std::string_view kPrefix = "sha1$";
  constexpr std::size_t kDigits = 40;
  if (!checksum.starts_with(kPrefix)) return std::nullopt;
  std::string digits(checksum.substr(kPrefix.size()));
  for (char& c : digits) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool is_hexadecimal = digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (digits.size() != kDigits || !is_hexadecimal) return std::nullopt;
  return digits;
}

Binding<ListingEntry> checksum_binding() {
  return {
      {{.type = JsonType::String, .pattern = {R"(^sha1\$[0-9A-Fa-f]{40}$)"}}},
      [](const JsonValue& value, const JsonPlace& place, ListingEntry& node, Problems& problems) {
        node.sha1 = sha1_in(*value.string());
        if (!node.sha1) problems.add(place, "must be sha1$ and 40 hexadecimal digits");
      }};
}

Binding<ListingEntry> children_binding() {
  return {{listing_shape()},
          [](const JsonValue& value, const JsonPlace& place, ListingEntry& node,
             Problems& problems) { node.children = read_listing(value, place, problems); }};
}

const FieldTable<ListingEntry>& file_fields() {
  static const auto table =
      FieldTable<ListingEntry>()
          .add({.key = "class", .meaning = "File", .required = true}, class_binding("File"))
          .add({.key = "basename", .meaning = "name of the file", .required = true},
               basename_binding())
          .add({"size", "bytes"}, size_binding())
          .add({"checksum", "sha1$ and 40 hexadecimal digits"}, checksum_binding())
          .add({"location", "not used"}, ignored(JsonType::String))
          .add({"path", "not used"}, ignored(JsonType::String))
          .add({"dirname", "not used"}, ignored(JsonType::String))
          .add({"nameroot", "not used"}, ignored(JsonType::String))
          .add({"nameext", "not used"}, ignored(JsonType::String))
          .add({"format", "not used"}, ignored(JsonType::String))
          .add({"contents", "not used"}, ignored(JsonType::String))
          .add({"secondaryFiles", "not used"}, ignored(JsonType::Array));
  return table;
}

const FieldTable<ListingEntry>& directory_fields() {
  static const auto table =
      FieldTable<ListingEntry>()
          .add({.key = "class", .meaning = "Directory", .required = true},
               class_binding("Directory"))
          .add({.key = "basename", .meaning = "name of the directory", .required = true},
               basename_binding())
          .add({.key = "listing", .meaning = "what is in it", .default_words = "nothing"},
               children_binding())
          .add({"location", "not used"}, ignored(JsonType::String))
          .add({"path", "not used"}, ignored(JsonType::String));
  return table;
}

/// The class says it; where that is missing or wrong, the keys do.
ListingEntry::Kind kind_of(const JsonValue& value) {
  const JsonValue* name = value.find("class");
  const std::string* text = name ? name->string() : nullptr;
  const bool is_known = text && (*text == "File" || *text == "Directory");
  const bool is_directory = is_known ? *text == "Directory" : value.find("listing") != nullptr;
  return is_directory ? ListingEntry::Kind::Directory : ListingEntry::Kind::File;
}

ListingEntry read_node(const JsonValue& value, const JsonPlace& place, Problems& problems) {
  ListingEntry node;
  node.kind = kind_of(value);
  const bool is_file = node.kind == ListingEntry::Kind::File;
  (is_file ? file_fields() : directory_fields()).read(value, place, node, problems);
  return node;
}

void report_repeated_names(const Listing& nodes, const JsonPlace& place, Problems& problems) {
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].basename.empty() || names.insert(nodes[i].basename).second) continue;
    const JsonPlace node(place, i);
    problems.add(JsonPlace(node, "basename"), "another entry of this directory has this name");
  }
}

/// What the entries of a listing are.
ValueShape shape_with_entries() {
  return {.type = JsonType::Array,
          .elements = {{.type = JsonType::Object, .form = &file_fields().description()},
                       {.type = JsonType::Object, .form = &directory_fields().description()}}};
}

constexpr NamedShape kListing{"listing", shape_with_entries};

}  // namespace

ValueShape listing_shape() { return {.type = JsonType::Array, .named = &kListing}; }

Listing read_listing(const JsonValue& value, const JsonPlace& place, Problems& problems) {
  Listing nodes;
  nodes.reserve(value.array()->size());
  for (std::size_t i = 0; i < value.array()->size(); ++i) {
    nodes.push_back(read_node((*value.array())[i], JsonPlace(place, i), problems));
  }
  report_repeated_names(nodes, place, problems);
  return nodes;
}

Listing parse_listing(std::string_view json, std::string_view origin) {
  JsonDocument document = parse_json(json, "listing " + std::string(origin), kMaxDepth);
  Listing listing;
  if (check_shape({listing_shape()}, document.root, JsonPlace(), document.problems)) {
    listing = read_listing(document.root, JsonPlace(), document.problems);
  }
  document.problems.throw_if_any(document.name);
  return listing;
}

}  // namespace red
