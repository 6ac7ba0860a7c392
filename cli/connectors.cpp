#include "cli/connectors.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/json/json_schema.h"
#include "common/net/curl_http_client.h"
#include "common/protocols/http/http_access.h"
#include "common/protocols/http/http_store.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_store.h"
#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_store.h"

namespace red {
namespace {

Remote prepare_http(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  HttpAccess access = read_http_access(std::move(document), purpose, site);
  AccessOptions options = access.options;
  std::string location = access.url.to_display();
  return {std::move(options), std::move(location), [access = std::move(access)] {
            return std::make_unique<HttpStore>(access,
                                               std::make_shared<CurlHttpClient>(access.client));
          }};
}

Remote prepare_sftp(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  SftpAccess access = read_sftp_access(std::move(document), purpose, site);
  AccessOptions options = access.options;
  std::string location = SftpPaths(access).location({});
  return {std::move(options), std::move(location), [access = std::move(access), purpose] {
            return std::make_unique<SftpStore>(access, purpose);
          }};
}

Remote prepare_xnat(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  XnatAccess access = read_xnat_access(std::move(document), purpose, site);
  AccessOptions options = access.options;
  std::string location = location_of(access);
  return {std::move(options), std::move(location), [access = std::move(access), purpose] {
            return std::make_unique<XnatStore>(
                access, std::make_shared<CurlHttpClient>(access.client), purpose);
          }};
}

struct Connector {
  std::string_view name;  ///< of the executable
  std::string_view key;   ///< by which red-connector tells the protocol
  Remote (*prepare)(JsonDocument, Purpose, const SiteOptions&);
  FormDescription (*form)(Purpose);  ///< of the access data that `prepare` takes
};

/// The table of connectors: a protocol is served when it has its row here.
constexpr std::array kConnectors{
    Connector{"red-connector-http", "url", prepare_http, http_form},
    Connector{"red-connector-ssh", "host", prepare_sftp, sftp_form},
    Connector{"red-connector-xnat-http", "baseUrl", prepare_xnat, xnat_form},
};

/// Installed as links, so that a container image built for them needs no change later.
constexpr std::array<std::string_view, 3> kNotServedYet{
    "red-connector-http-json", "red-connector-http-archive", "red-connector-http-mock-send"};

const Connector* find_by_name(std::string_view name) {
  const auto* row = std::find_if(kConnectors.begin(), kConnectors.end(),
                                 [&](const Connector& each) { return each.name == name; });
  return row == kConnectors.end() ? nullptr : row;
}

const Connector& find_by_access(const JsonValue& access) {
  for (const Connector& row : kConnectors) {
    if (access.find(row.key)) return row;
  }
  // What has none of the keys is most likely a form of the first protocol with a mistake in it: its
  // table names the mistake.
  return kConnectors.front();
}

}  // namespace

void check_is_served(std::string_view connector) {
  if (std::find(kNotServedYet.begin(), kNotServedYet.end(), connector) != kNotServedYet.end()) {
    throw Error(ErrorKind::Unsupported, "this version does not serve this connector yet");
  }
}

Remote prepare_remote(std::string_view connector, JsonDocument access, Purpose purpose,
                      const SiteOptions& site) {
  check_is_served(connector);
  const Connector* named = find_by_name(connector);
  const Connector& row = named ? *named : find_by_access(access.root);
  return row.prepare(std::move(access), purpose, site);
}

JsonValue access_schema(std::string_view connector, Purpose purpose, const std::string& title) {
  check_is_served(connector);
  const Connector* named = find_by_name(connector);
  std::vector<NamedForm> forms;
  for (const Connector& row : kConnectors) {
    if (!named || &row == named) forms.push_back({std::string(row.name), row.form(purpose)});
  }
  return json_schema(title, forms);
}

}  // namespace red
