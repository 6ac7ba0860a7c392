#include "common/net/connection_steps.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

#include "common/error.h"
#include "common/net/ca_store.h"
#include "common/net/proxy.h"
#include "common/net/tls_probe.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto kLimit = 10s;
/// Whoever renews certificates does it earlier than so long before they end.
constexpr int kDaysLeftOfNote = 14;
constexpr std::size_t kMostAddresses = 4;

std::string_view without_brackets(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) return host.substr(1, host.size() - 2);
  return host;
}

/// Where the TCP connection of requests to a URL leads.
struct Hop {
  std::string host;
  std::uint16_t port = 0;
  std::optional<Proxy> proxy = {};
};

Hop first_hop(const Url& url, const HttpClientOptions& options) {
  auto proxy = proxy_for(url, options.proxy);
  if (proxy) return {proxy->host, proxy->port, proxy};
  return {std::string(without_brackets(url.host)), static_cast<std::uint16_t>(url.port)};
}

std::string addresses_text(const std::vector<TcpAddress>& addresses) {
  std::string text;
  for (std::size_t i = 0; i < std::min(addresses.size(), kMostAddresses); ++i) {
    text += (i > 0 ? ", " : "") + addresses[i].text();
  }
  if (addresses.size() > kMostAddresses) {
    text += " and " + std::to_string(addresses.size() - kMostAddresses) + " more";
  }
  const bool has_ipv6 = std::any_of(addresses.begin(), addresses.end(),
                                    [](const TcpAddress& each) { return each.is_ipv6(); });
  const bool has_ipv4 = std::any_of(addresses.begin(), addresses.end(),
                                    [](const TcpAddress& each) { return !each.is_ipv6(); });
  return text + (has_ipv6 && has_ipv4 ? " (IPv4 and IPv6)" : has_ipv6 ? " (IPv6)" : " (IPv4)");
}

Finding resolve(const std::string& host, std::uint16_t port, const RequestContext& context) {
  ContextWaiter waiter(context);
  const TimePoint start = steady_clock::now();
  try {
    const auto addresses = resolve_host(host, port, kLimit, waiter);
    return {FindingStatus::Ok, host + ": " + addresses_text(addresses) + ", " +
                                   time_text(steady_clock::now() - start)};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Network) throw;
    throw Error(error.kind(), error.message() +
                                  ": check the spelling, /etc/resolv.conf and /etc/hosts, and "
                                  "whether this machine or container has a network");
  }
}

ExaminationStep proxy_step(const Proxy& proxy) {
  const std::string source =
      proxy.source.empty() ? "of the access data or the site file" : "of " + proxy.source;
  return {"proxy", kLimit, [text = proxy.address + ", " + source](const RequestContext&) {
            return Finding{FindingStatus::Note,
                           text + "; the name and the connection below are the proxy's"};
          }};
}

Finding connect(const Hop& hop, std::chrono::milliseconds timeout, const RequestContext& context) {
  ContextWaiter waiter(context);
  const std::string authority = authority_of(hop.host, hop.port);
  auto addresses = resolve_host(hop.host, hop.port, timeout, waiter);
  const TimePoint start = steady_clock::now();
  try {
    const TcpConnection connection = connect_tcp(
        std::move(addresses), (hop.proxy ? "the proxy " : "") + authority, start, timeout, waiter);
    return {FindingStatus::Ok, authority_of(connection.peer.text(), hop.port) + ", " +
                                   time_text(steady_clock::now() - start)};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Network && error.kind() != ErrorKind::TimedOut) throw;
    throw Error(error.kind(),
                error.message() + ": check the port, firewalls" +
                    (hop.proxy ? " and the proxy" : " and whether a proxy is needed (proxy)"));
  }
}

std::string trust_text(const HttpClientOptions& options) {
  if (!options.verify_tls) return "not verified";
  if (!options.ca_certificate.empty()) return "verified by caCertificate";
  const auto store = find_ca_store();
  return "verified by " + (store ? store->path.string() : "no certificate: there is no CA store");
}

std::string certificate_text(const CertificateSummary& certificate, long days) {
  return "\"" + certificate.subject + "\" issued by \"" + certificate.issuer + "\", " +
         (days < 0 ? "expired " + std::to_string(-days) + " days ago"
                   : "expires in " + std::to_string(days) + " days");
}

long days_until(std::chrono::sys_seconds time) {
  const auto left = time - std::chrono::system_clock::now();
  return std::chrono::floor<std::chrono::days>(left).count();
}

/// What the certificate says that was refused; empty if that cannot be found out.
std::string refused_certificate(const Url& url, HttpClientOptions options,
                                const RequestContext& context) {
  options.verify_tls = false;
  try {
    const CertificateSummary certificate = probe_tls(url, options, context).certificate;
    if (certificate.subject.empty() && certificate.issuer.empty()) return {};
    return "\nthe certificate: " +
           certificate_text(certificate, days_until(certificate.valid_until));
  } catch (const Error&) {
    return {};
  }
}

Finding shake_hands(const Url& url, const HttpClientOptions& options,
                    const RequestContext& context) {
  const TimePoint start = steady_clock::now();
  TlsSession session;
  try {
    session = probe_tls(url, options, context);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Tls || !options.verify_tls) throw;
    throw Error(error.kind(), error.message() + refused_certificate(url, options, context));
  }
  if (session.version.empty()) return {FindingStatus::Ok, trust_text(options)};
  const long days = days_until(session.certificate.valid_until);
  const bool is_good = options.verify_tls && days >= kDaysLeftOfNote;
  return {is_good ? FindingStatus::Ok : FindingStatus::Note,
          session.version + " " + session.cipher + ", " + time_text(steady_clock::now() - start) +
              "; certificate " + certificate_text(session.certificate, days) + "; " +
              trust_text(options) +
              (options.verify_tls ? "" : " (disableSSLVerification): anybody may be the server")};
}

}  // namespace

std::string time_text(Duration time) {
  const double milliseconds = std::chrono::duration<double, std::milli>(time).count();
  std::array<char, 32> text{};
  if (milliseconds >= 1000) {
    std::snprintf(text.data(), text.size(), "%.1f s", milliseconds / 1000);
  } else {
    std::snprintf(text.data(), text.size(), milliseconds < 10 ? "%.2f ms" : "%.0f ms",
                  milliseconds);
  }
  return text.data();
}

ExaminationStep resolution_step(std::string host, std::uint16_t port) {
  return {"name resolution", kLimit, [host = std::move(host), port](const RequestContext& context) {
            return resolve(host, port, context);
          }};
}

std::vector<ExaminationStep> connection_steps(const Url& url, const HttpClientOptions& options) {
  HttpClientOptions bounded = options;
  bounded.connect_timeout = std::min<std::chrono::milliseconds>(options.connect_timeout, kLimit);
  const Hop hop = first_hop(url, options);
  std::vector<ExaminationStep> steps;
  if (hop.proxy) steps.push_back(proxy_step(*hop.proxy));
  steps.push_back(resolution_step(hop.host, hop.port));
  steps.push_back({"connection", kLimit,
                   [hop, timeout = bounded.connect_timeout](const RequestContext& context) {
                     return connect(hop, timeout, context);
                   }});
  if (url.scheme == "https") {
    steps.push_back({"TLS", kLimit, [url, bounded](const RequestContext& context) {
                       return shake_hands(url, bounded, context);
                     }});
  }
  return steps;
}

}  // namespace red
