#pragma once

#include <functional>
#include <stop_token>

#include "common/byte_source.h"

namespace red {

/// Looks at all of a file before it is sent, or kept: throws Error if it must not be. Empty: any
/// content is right.
using ContentCheck = std::function<void(ByteSource& content)>;

/// Runs a check that is not empty until it ends or a stop is requested. Throws Error{Cancelled}.
void check_content(const ContentCheck& check, ByteSource& content, const std::stop_token& stop);

}  // namespace red
