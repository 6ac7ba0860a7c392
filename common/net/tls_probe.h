#pragma once

#include <string>

#include "common/net/certificate.h"
#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/request_context.h"

namespace red {

/// What was agreed on with a server.
struct TlsSession {
  std::string version;  ///< "TLSv1.3"
  std::string cipher;
  CertificateSummary certificate;  ///< the server's own
};

/// Connects, through a proxy if there is one, and shakes hands, without any request. Blocks. Throws
/// what an exchange would.
TlsSession probe_tls(const Url& url, const HttpClientOptions& options,
                     const RequestContext& context);

}  // namespace red
