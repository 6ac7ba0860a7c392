#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace red {

/// Prints what mounting and transferring needs, and what of it is missing here; with access data
/// also how its server is reached and what it serves. Throws Error{NotReady} if something is
/// missing or fails, Error{InvalidAccess} or Error{LocalIo} for the access data before anything is
/// printed, Error{Cancelled} when a signal asks to end. To be called before there are threads.
void run_doctor(std::string_view connector, const std::optional<std::filesystem::path>& access);

}  // namespace red
