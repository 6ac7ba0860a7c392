#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"

namespace red {

/// What is known about a transfer that libcurl ended with a failure.
struct CurlFailure {
  CURLcode code = CURLE_OK;
  std::string_view text;                   ///< libcurl's own words; may be empty
  std::string what;                        ///< "GET http://host/path"
  std::string host;                        ///< without port
  std::string authority;                   ///< "host:port"
  int system_error = 0;                    ///< errno of the connect
  int proxy_status = 0;                    ///< the proxy's answer to CONNECT; 0: none
  bool is_in_body = false;                 ///< the answer's head has come
  std::uint64_t received = 0;              ///< bytes of the body
  std::optional<std::uint64_t> announced;  ///< bytes of the body
  std::chrono::milliseconds connect_timeout{0};
};

/// The one place that knows what a CURLcode means.
Error error_from_curl(const CurlFailure& failure);

}  // namespace red
