#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/net/http_client.h"
#include "common/net/url.h"

namespace red {

/// What the access data of an HTTP connector says, checked and complete. Plain data.
struct HttpAccess {
  Url url;
  std::string method = "GET";  ///< GET, PUT or POST
  HttpClientOptions client;
};

}  // namespace red
