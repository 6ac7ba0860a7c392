#include "cli/connectors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/json/json_check.h"
#include "common/json/json_schema.h"
#include "common/net/curl_http_client.h"
#include "common/protocols/http/http_access.h"
#include "common/protocols/http/http_store.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_store.h"
#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_store.h"
#include "common/remote/discarding_store.h"

namespace red {
namespace {

/// A listing is large, and of no use to a store.
template <typename Access>
AccessOptions take_options(Access& access) {
  std::optional<Listing> listing = std::exchange(access.options.listing, std::nullopt);
  AccessOptions options = access.options;
  options.listing = std::move(listing);
  return options;
}

Remote to_remote(HttpAccess access) {
  AccessOptions options = take_options(access);
  std::string location = access.url.to_display();
  return {std::move(options), std::move(location), [access = std::move(access)] {
            return std::make_unique<HttpStore>(access,
                                               std::make_shared<CurlHttpClient>(access.client));
          }};
}

Remote prepare_http(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  return to_remote(read_http_access(std::move(document), purpose, site));
}

Remote prepare_http_json(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  Remote remote =
      to_remote(read_http_access(std::move(document), purpose, site, HttpContent::Json));
  remote.check_content = check_json;
  return remote;
}

ArchiveFormat archive_format_named(std::string_view name) {
  if (name == "zip") return ArchiveFormat::Zip;
  if (name == "gztar") return ArchiveFormat::Gztar;
  if (name == "bztar") return ArchiveFormat::Bztar;
  if (name == "xztar") return ArchiveFormat::Xztar;
  return ArchiveFormat::Tar;
}

Remote prepare_http_archive(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  HttpAccess access = read_http_access(std::move(document), purpose, site, HttpContent::Archive);
  const ArchiveFormat format = archive_format_named(access.archive_format);
  Remote remote = to_remote(std::move(access));
  remote.archive = format;
  return remote;
}

FormDescription http_any_form(Purpose purpose) { return http_form(purpose, HttpContent::Any); }
FormDescription http_json_form(Purpose purpose) { return http_form(purpose, HttpContent::Json); }
FormDescription http_archive_form(Purpose purpose) {
  return http_form(purpose, HttpContent::Archive);
}

bool sends(Purpose purpose) { return purpose == Purpose::SendFile || purpose == Purpose::SendDir; }

Remote prepare_http_mock_send(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  Remote remote = prepare_http(std::move(document), purpose, site);
  if (sends(purpose)) {
    remote.open = [location = remote.location] { return make_discarding_store(location); };
  }
  return remote;
}

Remote prepare_sftp(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  SftpAccess access = read_sftp_access(std::move(document), purpose, site);
  AccessOptions options = take_options(access);
  std::string location = SftpPaths(access).location({});
  return {std::move(options), std::move(location), [access = std::move(access), purpose] {
            return std::make_unique<SftpStore>(access, purpose);
          }};
}

Remote prepare_xnat(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  XnatAccess access = read_xnat_access(std::move(document), purpose, site);
  AccessOptions options = take_options(access);
  std::string location = location_of(access);
  return {std::move(options), std::move(location), [access = std::move(access), purpose] {
            return std::make_unique<XnatStore>(
                access, std::make_shared<CurlHttpClient>(access.client), purpose);
          }};
}

using Functions = std::span<const Purpose>;
constexpr std::array kAllFunctions{Purpose::ReceiveFile, Purpose::ReceiveDir, Purpose::MountDir,
                                   Purpose::SendFile, Purpose::SendDir};
constexpr std::array kFileFunctions{Purpose::ReceiveFile, Purpose::SendFile};
constexpr std::array kReceivingOfDirectories{Purpose::ReceiveDir};

struct Connector {
  std::string_view name;  ///< of the executable
  std::string_view key;   ///< by which red-connector tells the protocol
  Functions functions;
  Remote (*prepare)(JsonDocument, Purpose, const SiteOptions&);
  FormDescription (*form)(Purpose);  ///< of the access data that `prepare` takes
};

/// The table of connectors: a protocol is served when it has its row here. Of several with the same
/// key the first is the protocol's own.
constexpr std::array kConnectors{
    Connector{"red-connector-http", "url", kAllFunctions, prepare_http, http_any_form},
    Connector{"red-connector-http-json", "url", kFileFunctions, prepare_http_json, http_json_form},
    Connector{"red-connector-http-archive", "url", kReceivingOfDirectories, prepare_http_archive,
              http_archive_form},
    Connector{"red-connector-http-mock-send", "url", kAllFunctions, prepare_http_mock_send,
              http_any_form},
    Connector{"red-connector-ssh", "host", kAllFunctions, prepare_sftp, sftp_form},
    Connector{"red-connector-xnat-http", "baseUrl", kAllFunctions, prepare_xnat, xnat_form},
};

const Connector* find_by_name(std::string_view name) {
  const auto* row = std::find_if(kConnectors.begin(), kConnectors.end(),
                                 [&](const Connector& each) { return each.name == name; });
  return row == kConnectors.end() ? nullptr : row;
}

const Connector& first_with_key(std::string_view key) {
  return *std::find_if(kConnectors.begin(), kConnectors.end(),
                       [&](const Connector& each) { return each.key == key; });
}

const Connector& find_by_access(const JsonValue& access) {
  for (const Connector& row : kConnectors) {
    if (access.find(row.key)) return row;
  }
  // What has none of the keys is most likely a form of the first protocol with a mistake in it: its
  // table names the mistake.
  return kConnectors.front();
}

bool has(const Connector& row, Purpose purpose) {
  return std::find(row.functions.begin(), row.functions.end(), purpose) != row.functions.end();
}

}  // namespace

std::string_view name_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::ReceiveFile:
      return "receive-file";
    case Purpose::ReceiveDir:
      return "receive-dir";
    case Purpose::MountDir:
      return "mount-dir";
    case Purpose::SendFile:
      return "send-file";
    case Purpose::SendDir:
      return "send-dir";
  }
  return {};
}

bool has_function(std::string_view connector, Purpose purpose) {
  const Connector* row = find_by_name(connector);
  return row == nullptr || has(*row, purpose);
}

void check_has_function(std::string_view connector, Purpose purpose) {
  const Connector* row = find_by_name(connector);
  if (row == nullptr || has(*row, purpose)) return;
  std::string had;
  for (const Purpose each : row->functions) {
    had += (had.empty() ? "" : " and ") + std::string(name_of(each));
  }
  const auto* other = std::find_if(
      kConnectors.begin(), kConnectors.end(),
      [&](const Connector& each) { return each.key == row->key && has(each, purpose); });
  throw Error(ErrorKind::Unsupported, std::string(row->name) + " has only " + had + "; " +
                                          std::string(other->name) + " has " +
                                          std::string(name_of(purpose)));
}

Remote prepare_remote(std::string_view connector, JsonDocument access, Purpose purpose,
                      const SiteOptions& site) {
  const Connector* named = find_by_name(connector);
  const Connector& row = named ? *named : find_by_access(access.root);
  return row.prepare(std::move(access), purpose, site);
}

JsonValue access_schema(std::string_view connector, Purpose purpose, const std::string& title) {
  check_has_function(connector, purpose);
  const auto named_form = [purpose](const Connector& row) {
    return NamedForm{std::string(row.name), row.form(purpose)};
  };
  if (const Connector* named = find_by_name(connector)) {
    return json_schema(title, {named_form(*named)});
  }
  std::vector<NamedForm> forms;
  for (const Connector& row : kConnectors) {
    if (&row == &first_with_key(row.key)) forms.push_back(named_form(row));
  }
  return json_schema(title, forms);
}

}  // namespace red
