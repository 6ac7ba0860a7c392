#include "common/net/curl_http_client.h"

#include <algorithm>
#include <utility>

#include "common/net/curl_loop.h"

namespace red {
namespace {

bool can_multiplex(const HttpRequest& request) {
  return request.url.starts_with("https:") && !request.own_connection;
}

HttpClientOptions with_connections(HttpClientOptions options, int connections) {
  options.max_connections = std::max(connections, 1);
  return options;
}

}  // namespace

CurlHttpClient::CurlHttpClient(const HttpClientOptions& options)
    : CurlHttpClient(options, options.max_connections / 2) {}

/// With TLS both loops may talk to one host: they share what connections it allows. (A single one
/// is exceeded by one.)
CurlHttpClient::CurlHttpClient(const HttpClientOptions& options, int half)
    : serial_(std::make_shared<CurlLoop>(
          with_connections(options, options.max_connections - (options.uses_tls ? half : 0)),
          false)),
      multiplexing_(std::make_shared<CurlLoop>(with_connections(options, half), true)) {}

CurlHttpClient::~CurlHttpClient() {
  multiplexing_->stop();
  serial_->stop();
}

void CurlHttpClient::start(HttpRequest request, std::shared_ptr<HttpSink> sink,
                           const RequestContext& context) {
  const auto& loop = can_multiplex(request) ? multiplexing_ : serial_;
  loop->start(std::move(request), std::move(sink), context);
}

}  // namespace red
