#pragma once

#include <chrono>
#include <functional>

namespace red::testing {

/// Waits until `condition` holds, looking every 10 ms; for what cannot be awaited as an event.
/// False after `limit`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(10));

}  // namespace red::testing
