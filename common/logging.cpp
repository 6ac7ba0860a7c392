#include "common/logging.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "common/error.h"

namespace red {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warning:
      return spdlog::level::warn;
    case LogLevel::Error:
      return spdlog::level::err;
    case LogLevel::Off:
      break;
  }
  return spdlog::level::off;
}

/// spdlog would make a directory that is missing, be it for a mistyped name.
void check_parent_of(const std::filesystem::path& file) {
  const auto parent = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (::access(parent.c_str(), F_OK) != 0) {
    throw Error::local_io(errno, "cannot open the log file " + file.string());
  }
}

spdlog::sink_ptr make_file_sink(const std::string& path, std::size_t max_bytes) {
  if (max_bytes == 0) return std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  constexpr std::size_t kOldFiles = 0;
  return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, max_bytes, kOldFiles);
}

}  // namespace

void open_log(LogLevel level, const std::optional<std::filesystem::path>& file,
              std::size_t max_bytes) {
  try {
    std::shared_ptr<spdlog::logger> logger;
    if (file) {
      check_parent_of(*file);
      logger = std::make_shared<spdlog::logger>("red", make_file_sink(file->string(), max_bytes));
      logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
      logger->flush_on(spdlog::level::info);
    } else {
      logger = std::make_shared<spdlog::logger>("red",
                                                std::make_shared<spdlog::sinks::stderr_sink_mt>());
      logger->set_pattern("red-connector: %l: %v");
    }
    logger->set_level(to_spdlog(level));
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& failure) {
    throw Error(ErrorKind::LocalIo, "cannot open the log file: " + std::string(failure.what()));
  }
}

bool log_enabled(LogLevel level) noexcept {
  return spdlog::default_logger_raw()->should_log(to_spdlog(level));
}

void log(LogLevel level, std::string_view message) noexcept {
  // A log that cannot be written must not take the program with it; spdlog's own error handler
  // reports to stderr, and what it throws ends here.
  try {
    spdlog::default_logger_raw()->log(to_spdlog(level),
                                      spdlog::string_view_t(message.data(), message.size()));
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

}  // namespace red
