#include "common/net/curl_http_client.h"

#include <utility>

#include "common/net/curl_loop.h"

namespace red {

CurlHttpClient::CurlHttpClient(HttpClientOptions options)
    : loop_(std::make_shared<CurlLoop>(std::move(options))) {}

CurlHttpClient::~CurlHttpClient() { loop_->stop(); }

void CurlHttpClient::start(HttpRequest request, std::shared_ptr<HttpSink> sink,
                           const RequestContext& context) {
  loop_->start(std::move(request), std::move(sink), context);
}

}  // namespace red
