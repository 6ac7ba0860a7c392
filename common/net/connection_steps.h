#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/net/http_client.h"
#include "common/net/tcp_connection.h"
#include "common/net/url.h"
#include "common/remote/examination.h"

namespace red {

/// "0.42 ms", "35 ms", "1.2 s".
std::string time_text(Duration time);

/// Whether a host has addresses, and which.
ExaminationStep resolution_step(std::string host, std::uint16_t port);

/// From here to a web server: proxy, name, TCP, TLS.
std::vector<ExaminationStep> connection_steps(const Url& url, const HttpClientOptions& options);

}  // namespace red
