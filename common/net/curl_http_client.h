#pragma once

#include <memory>

#include "common/net/http_client.h"

namespace red {

class CurlLoop;

/// HttpClient by libcurl's multi interface, with one thread that does everything: it starts with
/// the first request, and calls the sinks. Connections are kept and reused; at most
/// `max_connections` to one host. Requests of Priority::Demand go first when all connections are
/// busy.
class CurlHttpClient final : public HttpClient {
 public:
  /// Cheap, without any I/O.
  explicit CurlHttpClient(HttpClientOptions options);
  /// Exchanges that still run end with Error{Cancelled} before it returns. (The last owner may be a
  /// sink: on the client's own thread it returns first.)
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  void start(HttpRequest request, std::shared_ptr<HttpSink> sink,
             const RequestContext& context) override;

 private:
  const std::shared_ptr<CurlLoop> loop_;  ///< the thread owns it, too
};

}  // namespace red
