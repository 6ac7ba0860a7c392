#include "common/access/shared_fields.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "common/json/json_document.h"
#include "common/json/text_file.h"
#include "common/net/certificate.h"
#include "common/net/url.h"

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSizeWords = "a size such as \"2 GiB\"";
constexpr std::string_view kCacheDirectoryVariable = "RED_CONNECTOR_CACHE_DIR";
/// A day: longer than anybody waits, and far from what a clock cannot hold.
constexpr double kMaxTimeout = 86'400;

/// A daemon leaves the directory that the path was meant to start in.
fs::path absolute_path(const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    throw Error(ErrorKind::InvalidAccess, "a path cannot hold NUL");
  }
  return fs::absolute(text).lexically_normal();
}

template <typename Target>
Binding<Target> byte_count(std::optional<std::uint64_t> Target::*member) {
  return {
      {{.type = JsonType::Integer, .words = "a number of bytes", .minimum = 1},
       {.type = JsonType::String, .min_length = 1, .words = kSizeWords}},
      [member](const JsonValue& value, const JsonPlace& place, Target& target, Problems& problems) {
        try {
          target.*member =
              value.string() ? parse_byte_count(*value.string()) : value.unsigned_integer();
        } catch (const Error& error) {
          problems.add(place, error.message());
        }
      }};
}

const FieldTable<CacheForm>& cache_fields() {
  static const auto table =
      FieldTable<CacheForm>()
          .add({"dir", "directory of a cache on disk"},
               parsed_text(&CacheForm::directory, absolute_path))
          .add({"size", "bound of the cache on disk"}, byte_count(&CacheForm::size))
          .add({"memory", "bound of the cache in memory",
                "256 MiB, or a quarter of the container's memory limit if that is less"},
               byte_count(&CacheForm::memory));
  return table;
}

Binding<BoundedForm> cache_binding() {
  return {
      {{.type = JsonType::Boolean},
       {.type = JsonType::Object, .members = &cache_fields().descriptions()}},
      [](const JsonValue& value, const JsonPlace& place, BoundedForm& form, Problems& problems) {
        CacheForm& cache = form.cache.emplace();
        if (const bool* enabled = value.boolean()) {
          cache.enabled = *enabled;
        } else {
          cache_fields().read(value, place, cache, problems);
        }
      }};
}

const FieldTable<BoundedForm>& bounded_fields() {
  static const auto table =
      FieldTable<BoundedForm>()
          .add({"connections", "upper bound of connections to the server", "HTTP: 32, SSH: 4"},
               integer(&BoundedForm::connections, 1))
          .add({"cache",
                "what is kept between reads: true, false (nothing), or an object with bounds",
                "true"},
               cache_binding());
  return table;
}

/// A listing in place stays as it is; a file is read now, it may be gone when it is wanted.
Binding<SharedForm> listing_binding() {
  return {{{.type = JsonType::Array},
           {.type = JsonType::String, .min_length = 1, .words = "the path of a JSON file"}},
          [](const JsonValue& value, const JsonPlace& place, SharedForm& form, Problems& problems) {
            if (!value.string()) {
              form.listing = ListingText{value.to_text(), "in the access data"};
              return;
            }
            try {
              const fs::path file = absolute_path(*value.string());
              form.listing = ListingText{read_text_file(file, kMaxListingBytes), file.string()};
            } catch (const Error& error) {
              problems.add(place, error.message());
            }
          }};
}

std::string parse_proxy(const std::string& text) {
  Url::parse(text);
  return text;
}

std::string parse_ca_certificate(const std::string& text) {
  const bool is_text = text.find("-----BEGIN ") != std::string::npos;
  // Read now: a daemon must not depend on files of the call that started it.
  std::string pem = is_text ? text : read_text_file(text, kMaxAccessBytes);
  if (holds_certificate(pem)) return pem;
  throw Error(ErrorKind::InvalidAccess,
              std::string(is_text ? "the text" : "the file") + " holds no certificate in PEM form");
}

const FieldTable<SiteOptions>& site_table() {
  static const auto table = FieldTable<SiteOptions>()
                                .include(bounded_fields(), &SiteOptions::bounded)
                                .include(web_fields(), &SiteOptions::web);
  return table;
}

template <typename Value>
std::optional<Value> bounded(const std::optional<Value>& asked, const std::optional<Value>& bound) {
  if (!asked || !bound) return asked ? asked : bound;
  return std::min(*asked, *bound);
}

CacheOptions join(const CacheForm& asked, const CacheForm& site) {
  return {.enabled = asked.enabled.value_or(true) && site.enabled.value_or(true),
          .directory = asked.directory ? asked.directory : site.directory,
          .size = bounded(asked.size, site.size),
          .memory = bounded(asked.memory, site.memory)};
}

double unit_named(std::string_view name) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  constexpr std::array kUnits{Unit{"", 1},         Unit{"B", 1},        Unit{"kB", 1e3},
                              Unit{"KB", 1e3},     Unit{"MB", 1e6},     Unit{"GB", 1e9},
                              Unit{"TB", 1e12},    Unit{"KiB", 1024.0}, Unit{"MiB", 0x1p20},
                              Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40}};
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit.bytes;
  }
  return 0;
}

}  // namespace

std::uint64_t parse_byte_count(std::string_view text) {
  const char* const end = text.data() + text.size();
  double number = 0;
  const auto [rest, failure] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const double bytes = std::floor(number * unit_named(unit));
  // Not larger than a file can be, and false for what is no number at all.
  if (failure == std::errc() && bytes >= 1 && bytes <= 0x1p62) {
    return static_cast<std::uint64_t>(bytes);
  }
  throw Error(ErrorKind::InvalidAccess, "must be a number of bytes or " + std::string(kSizeWords));
}

const FieldTable<SharedForm>& shared_fields() {
  static const auto table =
      FieldTable<SharedForm>()
          .include(bounded_fields(), &SharedForm::bounded)
          .add({"timeout", "seconds to wait for a TCP connection", "HTTP: 10, SSH: 120"},
               positive_number(&SharedForm::timeout, kMaxTimeout))
          .add({"listing", "mount-dir: the CWL listing of the tree, or the path of a JSON file"},
               listing_binding())
          .add({"allowOther", "mount-dir: whether other users may read the mount", "false"},
               boolean(&SharedForm::allow_other))
          .add({"report", "mount-dir: the file that takes the report of the mount when it ends"},
               parsed_text(&SharedForm::report, absolute_path));
  return table;
}

const FieldTable<WebForm>& web_fields() {
  static const auto table =
      FieldTable<WebForm>()
          .add({"caCertificate",
                "certificates to trust instead of the system's: PEM text or the path of a file",
                "the system's store"},
               parsed_text(&WebForm::ca_certificate, parse_ca_certificate))
          .add({"proxy", "URL of a proxy",
                "from http_proxy, https_proxy and no_proxy in the environment"},
               parsed_text(&WebForm::proxy, parse_proxy));
  return table;
}

const std::vector<FieldDescription>& site_fields() { return site_table().descriptions(); }

SiteOptions read_site_options(const fs::path& file) {
  SiteOptions site;
  if (std::error_code ignored; fs::exists(file, ignored)) {
    JsonDocument document =
        parse_json(read_text_file(file, kMaxAccessBytes), "site file " + file.string());
    site_table().read(document.root, JsonPlace(), site, document.problems);
    document.problems.throw_if_any(document.name);
  }
  const char* directory = std::getenv(kCacheDirectoryVariable.data());
  if (directory && *directory) {
    if (!site.bounded.cache) site.bounded.cache.emplace();
    site.bounded.cache->directory = absolute_path(directory);
  }
  return site;
}

AccessOptions to_access_options(const SharedForm& form, const SiteOptions& site,
                                const ProtocolDefaults& defaults) {
  AccessOptions options;
  options.connections =
      bounded(form.bounded.connections, site.bounded.connections).value_or(defaults.connections);
  options.connect_timeout = defaults.connect_timeout;
  if (form.timeout) {
    options.connect_timeout =
        std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(*form.timeout * 1000)));
  }
  options.cache =
      join(form.bounded.cache.value_or(CacheForm{}), site.bounded.cache.value_or(CacheForm{}));
  options.listing = form.listing;
  options.allow_other = form.allow_other.value_or(false);
  options.report = form.report;
  return options;
}

}  // namespace red
