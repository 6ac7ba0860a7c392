#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/url.h"

namespace red {

/// The proxy that requests go through.
struct Proxy {
  std::string host;  ///< without brackets
  std::uint16_t port = 0;
  std::string address;  ///< for people: as it was written, without credentials
  std::string source;   ///< for people: "https_proxy"; empty: it was configured
};

/// Which proxy libcurl takes for a URL: `configured`, or if that is empty what the environment says
/// (curl(1), "ENVIRONMENT"). Nothing: none.
std::optional<Proxy> proxy_for(const Url& url, const std::string& configured);

/// A variable of the environment that has to do with proxies.
struct ProxyVariable {
  std::string_view name;
  std::string value;  ///< without credentials
};

/// Those that are set.
std::vector<ProxyVariable> proxy_variables();

/// Whether a host is one of those that no_proxy names: names with all below them, addresses,
/// networks ("10.0.0.0/8"), "*".
bool is_in_no_proxy(std::string_view host, std::string_view no_proxy);

/// The address of a proxy with whatever stands before its '@' hidden.
std::string without_credentials(std::string_view proxy);

}  // namespace red
