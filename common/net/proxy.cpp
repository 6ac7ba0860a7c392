#include "common/net/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace red {
namespace {

constexpr std::array<std::string_view, 7> kVariables{
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

// libcurl's own, which nobody else has.
constexpr std::uint16_t kDefaultPort = 1080;
constexpr std::uint16_t kDefaultTlsPort = 443;

std::string_view value_of(std::string_view variable) {
  const char* value = std::getenv(std::string(variable).c_str());
  return value == nullptr ? std::string_view() : std::string_view(value);
}

/// The first that is set.
std::string_view first_set(std::initializer_list<std::string_view> variables) {
  for (const std::string_view name : variables) {
    if (!value_of(name).empty()) return name;
  }
  return {};
}

std::string_view without_brackets(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) return host.substr(1, host.size() - 2);
  return host;
}

Proxy parse_proxy(std::string_view text, std::string_view source) {
  Proxy proxy{.host = {},
              .port = kDefaultPort,
              .address = without_credentials(text),
              .source = std::string(source)};
  if (text.starts_with("https://")) proxy.port = kDefaultTlsPort;
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    text.remove_prefix(scheme + 3);
  }
  if (const auto at = text.rfind('@'); at != std::string_view::npos) text.remove_prefix(at + 1);
  text = text.substr(0, text.find('/'));
  const auto colon = text.rfind(':');
  const bool has_port = colon != std::string_view::npos && text.find(']', colon) == text.npos;
  if (has_port) std::from_chars(text.data() + colon + 1, text.data() + text.size(), proxy.port);
  proxy.host = without_brackets(has_port ? text.substr(0, colon) : text);
  return proxy;
}

/// The bytes of an address, 4 or 16; none: it is no address.
std::vector<unsigned char> address_bytes(std::string_view text) {
  const std::string address(text);
  std::vector<unsigned char> bytes(sizeof(in6_addr));
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return bytes;
  bytes.resize(sizeof(in_addr));
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return bytes;
  return {};
}

bool is_in_network(const std::vector<unsigned char>& address, std::string_view network) {
  const auto slash = network.find('/');
  const auto base = address_bytes(network.substr(0, slash));
  if (base.size() != address.size()) return false;
  std::size_t bits = base.size() * 8;
  if (slash != std::string_view::npos) {
    std::from_chars(network.data() + slash + 1, network.data() + network.size(), bits);
  }
  bits = std::min(bits, base.size() * 8);
  if (!std::equal(base.begin(), base.begin() + static_cast<std::ptrdiff_t>(bits / 8),
                  address.begin())) {
    return false;
  }
  const unsigned shift = 8 - static_cast<unsigned>(bits % 8);
  return bits % 8 == 0 || (base[bits / 8] >> shift) == (address[bits / 8] >> shift);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// Whether the host is of that name or below it.
bool is_below(std::string_view host, std::string_view name) {
  if (name.starts_with('.')) name.remove_prefix(1);
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || !host.ends_with(name)) return false;
  return host.size() == name.size() || host[host.size() - name.size() - 1] == '.';
}

}  // namespace

bool is_in_no_proxy(std::string_view host, std::string_view no_proxy) {
  if (no_proxy == "*") return true;
  const std::string name = lower_case(without_brackets(host));
  const std::string_view plain =
      std::string_view(name).substr(0, name.size() - (name.ends_with('.') ? 1 : 0));
  const auto address = address_bytes(plain);
  while (!no_proxy.empty()) {
    const auto end = std::min(no_proxy.find_first_of(", \t"), no_proxy.size());
    const std::string token = lower_case(no_proxy.substr(0, end));
    no_proxy.remove_prefix(std::min(end + 1, no_proxy.size()));
    const bool is_named =
        address.empty() ? is_below(plain, token) : is_in_network(address, without_brackets(token));
    if (is_named) return true;
  }
  return false;
}

std::optional<Proxy> proxy_for(const Url& url, const std::string& configured) {
  if (!configured.empty()) return parse_proxy(configured, {});
  // HTTP_PROXY in upper case is what a CGI program gets for a request header "Proxy".
  const std::string_view variable =
      url.scheme == "http" ? first_set({"http_proxy", "all_proxy", "ALL_PROXY"})
                           : first_set({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  if (variable.empty()) return std::nullopt;
  if (is_in_no_proxy(url.host, value_of(first_set({"no_proxy", "NO_PROXY"})))) return std::nullopt;
  return parse_proxy(value_of(variable), variable);
}

std::vector<ProxyVariable> proxy_variables() {
  std::vector<ProxyVariable> set;
  for (const std::string_view name : kVariables) {
    if (!value_of(name).empty()) set.push_back({name, without_credentials(value_of(name))});
  }
  return set;
}

std::string without_credentials(std::string_view proxy) {
  const auto at = proxy.rfind('@');
  if (at == std::string_view::npos) return std::string(proxy);
  const auto scheme = proxy.find("://");
  const auto begin = scheme == std::string_view::npos || scheme > at ? 0 : scheme + 3;
  return std::string(proxy.substr(0, begin)) + "***" + std::string(proxy.substr(at));
}

}  // namespace red
