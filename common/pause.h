#pragma once

#include <chrono>
#include <stop_token>

namespace red {

/// A pause before another try, of which many do not come at the same moment: at least half of
/// `longest`, at most all of it.
std::chrono::milliseconds jittered(std::chrono::milliseconds longest);

/// Sleeps; throws Error{Cancelled} as soon as a stop is requested.
void sleep_for(std::chrono::milliseconds pause, const std::stop_token& stop);

}  // namespace red
