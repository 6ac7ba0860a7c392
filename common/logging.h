#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string_view>

namespace red {

enum class LogLevel { Debug, Info, Warning, Error, Off };

/// Sets up the process' one log. Commands log warnings to stderr (`red-connector: warning: …`), a
/// daemon to its file. Messages never hold secrets. Not thread-safe; call before threads start.
/// A file that would grow over `max_bytes` (0: no bound) is started anew. Throws Error{LocalIo} if
/// the file cannot be opened.
void open_log(LogLevel level, const std::optional<std::filesystem::path>& file,
              std::size_t max_bytes = 0);

bool log_enabled(LogLevel level) noexcept;

/// Thread-safe, never throws.
void log(LogLevel level, std::string_view message) noexcept;

}  // namespace red
