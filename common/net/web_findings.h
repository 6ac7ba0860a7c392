#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/net/http_client.h"
#include "common/remote/examination.h"

namespace red {

/// "; offered: Basic, Digest" if the answer names ways to authenticate, else nothing.
std::string offered_text(const HttpResponseHead& head);

/// What the server calls itself; nothing if it does not say.
std::optional<Finding> server_finding(const HttpResponseHead& head);

/// How far our clock is from the server's, if the answer, which came at `answered`, tells.
std::optional<Finding> clock_finding(const HttpResponseHead& head,
                                     std::chrono::system_clock::time_point answered);

}  // namespace red
