#include "common/net/curl_handle.h"

#include <algorithm>
#include <mutex>
#include <string>

#include "common/error.h"

namespace red {
namespace {

constexpr const char* kUserAgent = "red-connector/1.0.0";

// For bulk: measured on loopback, 64 KiB cost half as much processor time again as 512 KiB, and
// more than that brings little. Each transfer has one, a hundred streams of HTTP/2 a hundred, so
// that small requests get a small one.
constexpr long kBulkBuffer = 512 * 1024;
constexpr long kSmallBuffer = 64 * 1024;

// Bodies from this size on wait for the server's consent before they are sent: an answer that
// refuses (401, 413) then costs no upload. Below it a round trip is dearer than the body.
constexpr std::uint64_t kExpectContinueFrom = 1 << 20;
constexpr long kExpectTimeoutMs = 500;

constexpr long kConnectionMaxIdleSeconds = 55;  // most servers and NATs give up at 60 or later
constexpr long kDnsCacheSeconds = 60;
constexpr long kKeepAliveIdleSeconds = 30;
constexpr long kKeepAliveIntervalSeconds = 10;

bool is_header_safe(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

bool is_pem(std::string_view text) { return text.find("-----BEGIN") != std::string_view::npos; }

}  // namespace

void set_up_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

CurlHandle::CurlHandle(const HttpClientOptions& options, bool is_bulk, bool offers_http2)
    : options_(options), easy_(curl_easy_init()) {
  if (!easy_) throw Error(ErrorKind::Internal, "cannot set up an HTTP transfer");
  set(CURLOPT_ERRORBUFFER, error_text_.data());
  set(CURLOPT_NOSIGNAL, 1L);
  // Without it, calling off a request waits for its name to be resolved.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_NOPROGRESS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_USERAGENT, kUserAgent);
  set(CURLOPT_BUFFERSIZE, is_bulk ? kBulkBuffer : kSmallBuffer);
  set(CURLOPT_UPLOAD_BUFFERSIZE, is_bulk ? kBulkBuffer : kSmallBuffer);
  set(CURLOPT_EXPECT_100_TIMEOUT_MS, kExpectTimeoutMs);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set(CURLOPT_TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set(CURLOPT_MAXAGE_CONN, kConnectionMaxIdleSeconds);
  set(CURLOPT_DNS_CACHE_TIMEOUT, kDnsCacheSeconds);
  set(CURLOPT_HTTP_VERSION,
      static_cast<long>(offers_http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // The second request waits for what the first connection turns out to be.
  set(CURLOPT_PIPEWAIT, offers_http2 ? 1L : 0L);
  set_tls();
  set_proxy();
}

template <typename Value>
void CurlHandle::set(CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy_.get(), option, value);
  if (code == CURLE_OK) return;
  throw Error(ErrorKind::Internal, "libcurl refuses option " +
                                       std::to_string(static_cast<int>(option)) + ": " +
                                       curl_easy_strerror(code));
}

void CurlHandle::set_tls() {
  set(CURLOPT_SSL_VERIFYPEER, options_.verify_tls ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, options_.verify_tls ? 2L : 0L);
  const std::string& certificate = options_.ca_certificate;
  if (is_pem(certificate)) {
    // libcurl does not write to a blob; its C interface knows no const.
    curl_blob blob{const_cast<char*>(certificate.data()), certificate.size(), CURL_BLOB_NOCOPY};
    set(CURLOPT_CAINFO_BLOB, &blob);
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  } else if (!certificate.empty()) {
    set_ca_store({.path = certificate});
  } else if (const auto store = find_ca_store()) {
    set_ca_store(*store);
  }
}

void CurlHandle::set_ca_store(const CaStore& store) {
  // Never both, as libcurl has it at first: with a directory beside the file it reads the file anew
  // for every connection (20 ms), and it would trust what was not meant.
  set(CURLOPT_CAINFO, store.is_directory ? nullptr : store.path.c_str());
  set(CURLOPT_CAPATH, store.is_directory ? store.path.c_str() : nullptr);
}

void CurlHandle::set_proxy() {
  if (options_.proxy.empty()) return;  // libcurl asks the environment
  set(CURLOPT_PROXY, options_.proxy.c_str());
  if (!options_.proxy_has_exceptions) set(CURLOPT_NOPROXY, "");
}

void CurlHandle::prepare(const CurlLeg& leg) {
  error_text_[0] = '\0';
  set(CURLOPT_URL, leg.url.to_string().c_str());
  set_method(leg);
  set_credentials(leg);
  set_headers(leg);
  set(CURLOPT_FRESH_CONNECT, leg.fresh_connection ? 1L : 0L);
}

void CurlHandle::set_method(const CurlLeg& leg) {
  const bool sends = leg.body != nullptr || leg.method == "PUT" || leg.method == "POST";
  set(CURLOPT_HTTPGET, 1L);
  set(CURLOPT_NOBODY, leg.method == "HEAD" ? 1L : 0L);
  if (leg.method != "HEAD") set(CURLOPT_UPLOAD, sends ? 1L : 0L);
  set(CURLOPT_INFILESIZE_LARGE, sends && leg.body != nullptr
                                    ? static_cast<curl_off_t>(leg.body->size())
                                    : static_cast<curl_off_t>(sends ? 0 : -1));
  const bool is_plain = leg.method == "HEAD" || (leg.method == "GET" && !sends);
  set(CURLOPT_CUSTOMREQUEST, is_plain ? nullptr : leg.method.c_str());
}

void CurlHandle::set_credentials(const CurlLeg& leg) {
  using Scheme = HttpCredentials::Scheme;
  const auto& own = leg.request.credentials;
  const HttpCredentials& given = own ? *own : options_.credentials;
  const Scheme scheme = leg.with_secrets ? given.scheme : Scheme::None;
  const bool has_password = scheme == Scheme::Basic || scheme == Scheme::Digest;
  set(CURLOPT_USERNAME, has_password ? given.username.c_str() : nullptr);
  set(CURLOPT_PASSWORD, has_password ? given.password.c_str() : nullptr);
  set(CURLOPT_XOAUTH2_BEARER, scheme == Scheme::Bearer ? given.password.c_str() : nullptr);
  switch (scheme) {
    case Scheme::None:
      return set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_NONE));
    case Scheme::Basic:
      return set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    case Scheme::Digest:
      return set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_DIGEST));
    case Scheme::Bearer:
      return set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
  }
}

void CurlHandle::set_headers(const CurlLeg& leg) {
  set(CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
  headers_.reset();
  for (const auto& [name, value] : leg.request.headers) add_header(name, value);
  bool has_encoding = leg.request.headers.find("Accept-Encoding").has_value();
  if (leg.with_secrets) {
    for (const auto& [name, value] : leg.request.private_headers) add_header(name, value);
    has_encoding = has_encoding || options_.headers.find("Accept-Encoding").has_value();
    for (const auto& [name, value] : options_.headers) {
      if (!leg.request.headers.find(name)) add_header(name, value);
    }
  }
  // Ranges and sizes are those of the bytes as they are stored.
  if (!has_encoding) add_header("Accept-Encoding", "identity");
  const bool expects = leg.body != nullptr && leg.body->size() >= kExpectContinueFrom;
  if (!expects) headers_.reset(curl_slist_append(headers_.release(), "Expect:"));
  set(CURLOPT_HTTPHEADER, headers_.get());
}

void CurlHandle::add_header(std::string_view name, std::string_view value) {
  if (name.empty() || !is_header_safe(name) || !is_header_safe(value)) {
    throw Error(ErrorKind::InvalidAccess,
                "header \"" + std::string(name) + "\" is empty or holds a line break or NUL");
  }
  // libcurl takes "Name:" as "do not send it", and "Name;" as a header without a value.
  const std::string line =
      value.empty() ? std::string(name) + ";" : std::string(name) + ": " + std::string(value);
  headers_.reset(curl_slist_append(headers_.release(), line.c_str()));
}

}  // namespace red
