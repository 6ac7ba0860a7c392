#pragma once

#include <memory>

#include "common/net/http_client.h"

namespace red {

class CurlLoop;

/// HttpClient by libcurl's multi interface, with two threads that do everything, each from its
/// first request on: one for HTTP/1.1, the other for HTTP/2, which is offered where there is TLS
/// and no connection of its own is asked for. They call the sinks. Connections are kept and reused;
/// at most `max_connections` to one host. Requests of Priority::Demand go first when all
/// connections are busy.
class CurlHttpClient final : public HttpClient {
 public:
  /// Cheap, without any I/O.
  explicit CurlHttpClient(const HttpClientOptions& options);
  /// Exchanges that still run end with Error{Cancelled} before it returns. (The last owner may be a
  /// sink: on the client's own thread it returns first.)
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  void start(HttpRequest request, std::shared_ptr<HttpSink> sink,
             const RequestContext& context) override;

 private:
  CurlHttpClient(const HttpClientOptions& options, int half);

  // Their threads own them, too.
  const std::shared_ptr<CurlLoop> serial_;
  const std::shared_ptr<CurlLoop> multiplexing_;
};

}  // namespace red
