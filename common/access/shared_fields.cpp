#include "common/access/shared_fields.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "common/access/listing_form.h"
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

/// Not larger than a file can be.
constexpr double kMaxBytes = 0x1p62;

[[noreturn]] void refuse(std::string_view reason) {
  throw Error(ErrorKind::InvalidAccess, std::string(reason));
}

// --- Values --------------------------------------------------------------------------------------

/// A daemon leaves the directory that the path was meant to start in.
fs::path absolute_path(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) refuse("a path cannot hold NUL");
  return fs::absolute(text).lexically_normal();
}

/// The directory that a connector is called in is no matter of the site.
fs::path site_path(std::string_view text) {
  if (!text.starts_with('/')) refuse("must be an absolute path");
  return absolute_path(text);
}

std::string parse_proxy(std::string_view text) {
  Url::parse(text);
  return std::string(text);
}

bool is_pem_text(std::string_view text) { return text.find("-----BEGIN ") != text.npos; }

/// Read now: a daemon must not depend on files of the call that started it.
std::string parse_certificate(std::string_view text) {
  const bool is_text = is_pem_text(text);
  std::string pem =
      is_text ? std::string(text) : read_text_file(absolute_path(text), kMaxAccessBytes);
  if (holds_certificate(pem)) return pem;
  refuse(std::string(is_text ? "the text" : "the file") + " holds no certificate in PEM form");
}

std::string parse_site_certificate(std::string_view text) {
  return parse_certificate(is_pem_text(text) ? text : site_path(text).native());
}

constexpr TextForm<fs::path> kPath{{R"(^[^\x00]+$)"}, absolute_path};
constexpr TextForm<fs::path> kSitePath{{R"(^/[^\x00]*$)"}, site_path};
constexpr TextForm<std::string> kProxy{{kUrlPattern}, parse_proxy};
constexpr TextForm<std::string> kCertificate{{R"(^[^\x00]+$)"}, parse_certificate};
constexpr TextForm<std::string> kSiteCertificate{{R"(^/[^\x00]*$|-----BEGIN )"},
                                                 parse_site_certificate};
/// Digits, a fraction, a unit; not zero.
constexpr TextPattern kByteCount{R"(^[0-9]+(?:\.[0-9]+)?(?: ?(?:[kKMGT]?B|[KMGT]iB))?$)",
                                 R"(^[0.]+(?:[^0-9.]|$))"};

template <typename Target>
Binding<Target> byte_count(std::optional<std::uint64_t> Target::*member) {
  return {
      {{.type = JsonType::Integer, .words = "a number of bytes", .minimum = 1},
       {.type = JsonType::String, .min_length = 1, .pattern = kByteCount, .words = kSizeWords}},
      [member](const JsonValue& value, const JsonPlace& place, Target& target, Problems& problems) {
        try {
          target.*member = value.string()
                               ? parse_byte_count(*value.string())
                               : static_cast<std::uint64_t>(std::min(*value.number(), kMaxBytes));
        } catch (const Error& error) {
          problems.add(place, error.message());
        }
      }};
}

Binding<BoundedForm> cache_binding(const FieldTable<CacheForm>& table) {
  return {{{.type = JsonType::Boolean}, {.type = JsonType::Object, .form = &table.description()}},
          [&table](const JsonValue& value, const JsonPlace& place, BoundedForm& form,
                   Problems& problems) {
            CacheForm& cache = form.cache.emplace();
            if (const bool* enabled = value.boolean()) {
              cache.enabled = *enabled;
            } else {
              table.read(value, place, cache, problems);
            }
          }};
}

/// A file is read now: it may be gone when it is wanted.
Binding<SharedForm> listing_binding() {
  return {{listing_shape(),
           {.type = JsonType::String,
            .min_length = 1,
            .pattern = kPath.pattern,
            .words = "the path of a JSON file"}},
          [](const JsonValue& value, const JsonPlace& place, SharedForm& form, Problems& problems) {
            if (!value.string()) {
              form.listing = read_listing(value, place, problems);
              return;
            }
            try {
              const fs::path file = absolute_path(*value.string());
              form.listing = parse_listing(read_text_file(file, kMaxListingBytes), file.string());
            } catch (const Error& error) {
              problems.add_document(place, error.message());
            }
          }};
}

// --- Tables --------------------------------------------------------------------------------------

FieldTable<CacheForm> cache_fields(const TextForm<fs::path>& path) {
  return FieldTable<CacheForm>()
      .add({.key = "dir", .meaning = "directory of a cache on disk", .default_words = "none"},
           parsed_text(&CacheForm::directory, path))
      .add({.key = "size", .meaning = "bound of the cache on disk"}, byte_count(&CacheForm::size))
      .add({.key = "memory",
            .meaning = "bound of the cache in memory",
            .default_words =
                "256 MiB, or a quarter of the container's memory limit if that is less"},
           byte_count(&CacheForm::memory));
}

FieldDescription connections_field() {
  return {.key = "connections", .meaning = "upper bound of connections to the server"};
}

FieldTable<BoundedForm> bounded_fields(FieldDescription connections,
                                       const FieldTable<CacheForm>& cache) {
  return FieldTable<BoundedForm>()
      .add(std::move(connections), integer(&BoundedForm::connections, 1))
      .add(
          {.key = "cache",
           .meaning = "what is kept between reads: true, false (nothing), or an object with bounds",
           .default_value = JsonValue(true)},
          cache_binding(cache));
}

FieldTable<WebForm> make_web_fields(const TextForm<std::string>& certificate) {
  return FieldTable<WebForm>()
      .add({.key = "caCertificate",
            .meaning =
                "certificates to trust instead of the system's: PEM text or the path of a file",
            .default_words = "the system's store"},
           parsed_text(&WebForm::ca_certificate, certificate))
      .add({.key = "proxy",
            .meaning = "URL of a proxy",
            .default_words = "from http_proxy, https_proxy and no_proxy in the environment"},
           parsed_text(&WebForm::proxy, kProxy));
}

const FieldTable<SiteOptions>& site_table() {
  static const auto cache = cache_fields(kSitePath);
  static const auto table =
      FieldTable<SiteOptions>()
          .include(bounded_fields(connections_field(), cache), &SiteOptions::bounded)
          .include(make_web_fields(kSiteCertificate), &SiteOptions::web);
  return table;
}

// --- Joining -------------------------------------------------------------------------------------

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

std::string_view take_digits(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

bool is_zero(std::string_view digits) { return digits.find_first_not_of('0') == digits.npos; }

/// Nothing if the file is missing.
std::optional<std::string> text_of_site_file(const fs::path& file) {
  try {
    return read_text_file(file, kMaxAccessBytes);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::LocalIo && error.error_number() == ENOENT) return std::nullopt;
    throw error.within("reading the site file");
  }
}

}  // namespace

std::uint64_t parse_byte_count(std::string_view text) {
  std::string_view rest = text;
  const std::string_view whole = take_digits(rest);
  std::string_view fraction = "0";
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    fraction = take_digits(rest);
  }
  const std::string_view number(text.data(), text.size() - rest.size());
  const bool has_blank = rest.starts_with(' ');
  if (has_blank) rest.remove_prefix(1);
  const double unit = has_blank && rest.empty() ? 0 : unit_named(rest);
  if (whole.empty() || fraction.empty() || unit == 0 || (is_zero(whole) && is_zero(fraction))) {
    refuse("must be a number of bytes or " + std::string(kSizeWords));
  }
  // What a double cannot hold is left as it is: too small, or too large.
  double count = is_zero(whole) ? 0 : kMaxBytes;
  std::from_chars(number.data(), number.data() + number.size(), count, std::chars_format::fixed);
  return static_cast<std::uint64_t>(std::clamp(std::ceil(count * unit), 1.0, kMaxBytes));
}

FieldTable<SharedForm> shared_fields(const ProtocolDefaults& defaults) {
  static const auto cache = cache_fields(kPath);
  const auto timeout = std::chrono::duration_cast<std::chrono::seconds>(defaults.connect_timeout);
  FieldDescription connections = connections_field();
  connections.default_value = json_integer(defaults.connections);
  return FieldTable<SharedForm>()
      .include(bounded_fields(std::move(connections), cache), &SharedForm::bounded)
      .add({.key = "timeout",
            .meaning = "seconds to wait for a TCP connection",
            .default_value = json_integer(timeout.count())},
           positive_number(&SharedForm::timeout, kMaxTimeout))
      .add({.key = "listing",
            .meaning = "mount-dir: the CWL listing of the tree, or the path of a JSON file",
            .default_words = "none"},
           listing_binding())
      .add({.key = "allowOther",
            .meaning = "mount-dir: whether other users may read the mount",
            .default_value = JsonValue(false)},
           boolean(&SharedForm::allow_other))
      .add({.key = "report",
            .meaning = "mount-dir: the file that takes the report of the mount when it ends",
            .default_words = "none"},
           parsed_text(&SharedForm::report, kPath));
}

const FieldTable<WebForm>& web_fields() {
  static const auto table = make_web_fields(kCertificate);
  return table;
}

void set_web_options(const WebForm& asked, const WebForm& site, HttpClientOptions& client) {
  const auto& certificate = asked.ca_certificate ? asked.ca_certificate : site.ca_certificate;
  const auto& proxy = asked.proxy ? asked.proxy : site.proxy;
  client.ca_certificate = certificate.value_or(std::string());
  client.proxy = proxy.value_or(std::string());
  client.proxy_has_exceptions = !asked.proxy;
}

const FormDescription& site_form() { return site_table().description(); }

SiteOptions read_site_options(const fs::path& file) {
  SiteOptions site;
  if (const std::optional<std::string> text = text_of_site_file(file)) {
    JsonDocument document = parse_json(*text, "site file " + file.string());
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

AccessOptions to_access_options(SharedForm form, const SiteOptions& site,
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
  options.listing = std::move(form.listing);
  options.allow_other = form.allow_other.value_or(false);
  options.report = std::move(form.report);
  return options;
}

}  // namespace red
