#pragma once

#include <string_view>

namespace red {

/// Whether a text holds at least one X.509 certificate in PEM form (RFC 7468 section 5).
bool holds_certificate(std::string_view pem);

}  // namespace red
