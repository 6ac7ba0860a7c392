#pragma once

#include <string_view>

#include "common/error.h"
#include "common/net/http_client.h"

namespace red {

/// The Error for an answer whose status says that the request was not served (4xx, 5xx, and what
/// else is unexpected). `display_url` is for people: without userinfo and query.
Error error_for_status(const HttpResponseHead& head, std::string_view method,
                       std::string_view display_url);

}  // namespace red
