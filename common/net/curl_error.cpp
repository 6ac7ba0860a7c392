#include "common/net/curl_error.h"

#include <cstring>
#include <system_error>

namespace red {
namespace {

std::string seconds_text(std::chrono::milliseconds time) {
  const auto tenths = time.count() / 100;
  const std::string whole = std::to_string(tenths / 10);
  return tenths % 10 == 0 ? whole + " s" : whole + "." + std::to_string(tenths % 10) + " s";
}

std::string own_words(const CurlFailure& failure) {
  return std::string(failure.text.empty() ? curl_easy_strerror(failure.code) : failure.text);
}

/// "host:port" that the connection was to be made to, if libcurl's words tell: a proxy's, perhaps
/// one that only the environment names.
std::string connect_target(const CurlFailure& failure) {
  constexpr std::string_view kStart = "Failed to connect to ";
  constexpr std::string_view kMiddle = " port ";
  std::string_view text = failure.text;
  const auto middle = text.find(kMiddle);
  if (!text.starts_with(kStart) || middle == std::string_view::npos) return failure.authority;
  std::string host(text.substr(kStart.size(), middle - kStart.size()));
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  text.remove_prefix(middle + kMiddle.size());
  return host + ":" + std::string(text.substr(0, text.find(' ')));
}

Error connect_error(const CurlFailure& failure) {
  const std::string target = connect_target(failure);
  std::string message = failure.what + ": cannot connect to ";
  message += (target == failure.authority ? "" : "the proxy ") + target;
  if (failure.proxy_status == 407) {
    return {ErrorKind::Authentication,
            message + ": the proxy answers HTTP 407: check the credentials in proxy"};
  }
  if (failure.proxy_status >= 300) {
    return {ErrorKind::Network,
            message + ": the proxy answers HTTP " + std::to_string(failure.proxy_status)};
  }
  // Not libcurl's own words: about a proxy that makes no sense to it they hold its password.
  const std::string reason = failure.system_error != 0
                                 ? std::generic_category().message(failure.system_error)
                                 : curl_easy_strerror(failure.code);
  return {ErrorKind::Network, message + ": " + reason};
}

Error timeout_error(const CurlFailure& failure) {
  const bool is_resolving = failure.text.starts_with("Resolving");
  return {ErrorKind::TimedOut,
          failure.what + ": cannot " +
              (is_resolving ? "resolve host " + failure.host : "connect to " + failure.authority) +
              " within " + seconds_text(failure.connect_timeout)};
}

Error closed_early_error(const CurlFailure& failure) {
  std::string message = failure.what + ": closed after " + std::to_string(failure.received);
  if (failure.announced) message += " of " + std::to_string(*failure.announced);
  return {ErrorKind::Network, message + " bytes"};
}

Error tls_error(const CurlFailure& failure) {
  const std::string reason = own_words(failure);
  // A connection that is cut during the handshake says nothing about certificates.
  const bool is_cut = failure.code == CURLE_SSL_CONNECT_ERROR &&
                      (reason.find("SYSCALL") != std::string::npos ||
                       reason.find("reset by peer") != std::string::npos ||
                       reason.find("unexpected eof") != std::string::npos);
  if (is_cut) {
    return {ErrorKind::Network,
            failure.what + ": " + failure.authority + " closed during the TLS handshake"};
  }
  std::string message = failure.what + ": TLS with " + failure.authority + ": " + reason;
  if (failure.code == CURLE_PEER_FAILED_VERIFICATION) {
    message += "; if this server is to be trusted, give caCertificate, or disableSSLVerification";
  } else if (failure.code == CURLE_SSL_CACERT_BADFILE) {
    message +=
        "; check caCertificate and SSL_CERT_FILE, or install the system's CA certificates "
        "(ca-certificates)";
  }
  return {ErrorKind::Tls, std::move(message)};
}

Error other_error(const CurlFailure& failure, ErrorKind kind, std::string_view why) {
  return {kind, failure.what + ": " + std::string(why) + " (" + own_words(failure) + ")"};
}

Error broken_connection_error(const CurlFailure& failure) {
  // libcurl's own bound for headers comes with the code of a broken connection.
  if (failure.text.starts_with("Too large response headers")) {
    return other_error(failure, ErrorKind::Protocol, "the answer's header is too long");
  }
  if (failure.proxy_status >= 300) return connect_error(failure);
  if (failure.is_in_body) return closed_early_error(failure);
  return other_error(failure, ErrorKind::Network, failure.authority + " closed without an answer");
}

}  // namespace

Error error_from_curl(const CurlFailure& failure) {
  switch (failure.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {ErrorKind::Network, failure.what + ": cannot resolve host " + failure.host};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorKind::Network, failure.what + ": cannot resolve the proxy's name"};
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
      return connect_error(failure);
    case CURLE_OPERATION_TIMEDOUT:
      return timeout_error(failure);
    case CURLE_PARTIAL_FILE:
      return closed_early_error(failure);
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return broken_connection_error(failure);
    case CURLE_SEND_FAIL_REWIND:
      return other_error(failure, ErrorKind::Network, "the connection broke while sending");
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_USE_SSL_FAILED:
      return tls_error(failure);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_OUT_OF_MEMORY:  // a header line that is longer than libcurl's buffer
      return other_error(failure, ErrorKind::Protocol, "the answer is no valid HTTP");
    default:
      return other_error(failure, ErrorKind::Network, "the transfer failed");
  }
}

}  // namespace red
