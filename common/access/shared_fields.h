#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "common/json/field_table.h"
#include "common/net/http_client.h"
#include "common/remote/access_options.h"

namespace red {

/// `cache` as it is written.
struct CacheForm {
  std::optional<bool> enabled;
  std::optional<std::filesystem::path> directory;
  std::optional<std::uint64_t> size;
  std::optional<std::uint64_t> memory;
};

/// The keys that a site may give defaults and upper bounds for, as they are written.
struct BoundedForm {
  std::optional<int> connections;
  std::optional<CacheForm> cache;
};

/// The keys of protocols that speak HTTP, checked.
struct WebForm {
  std::optional<std::string> ca_certificate;  ///< PEM text
  std::optional<std::string> proxy;
};

/// The keys of all protocols, as they are written.
struct SharedForm {
  BoundedForm bounded;
  std::optional<double> timeout;  ///< seconds
  std::optional<Listing> listing;
  std::optional<bool> allow_other;
  std::optional<std::filesystem::path> report;
};

/// What a protocol takes when nobody says anything.
struct ProtocolDefaults {
  int connections;
  std::chrono::milliseconds connect_timeout;
};

FieldTable<SharedForm> shared_fields(const ProtocolDefaults& defaults);
const FieldTable<WebForm>& web_fields();

/// What the site says: /etc/red-connector.json, and RED_CONNECTOR_CACHE_DIR in the environment.
struct SiteOptions {
  BoundedForm bounded;
  WebForm web;
};

inline constexpr std::string_view kSiteFile = "/etc/red-connector.json";

/// A missing file says nothing. Throws Error{InvalidAccess} if it is wrong, Error{LocalIo} if it
/// cannot be read.
SiteOptions read_site_options(const std::filesystem::path& file = kSiteFile);
/// The form of the site file.
const FormDescription& site_form();

/// Joins what the access data, the site and the protocol say.
AccessOptions to_access_options(SharedForm form, const SiteOptions& site,
                                const ProtocolDefaults& defaults);

/// Certificates and proxy as the access data says, else as the site says. The environment's
/// no_proxy makes exceptions from the site's proxy, as from the environment's own.
void set_web_options(const WebForm& asked, const WebForm& site, HttpClientOptions& client);

/// Bytes of "2 GiB", "256 MiB", "1.5GB", "4096", rounded up, and not more than a file can have.
/// Throws Error{InvalidAccess} with the reason.
std::uint64_t parse_byte_count(std::string_view text);

}  // namespace red
