#include "common/cache/disk_health.h"

#include <cerrno>

#include "common/logging.h"

namespace red {
namespace {

constexpr std::chrono::seconds kWritePause{20};

bool is_lack_of_room(int error_number) { return error_number == ENOSPC || error_number == EDQUOT; }

/// Not the disk's fault, and over in a moment.
bool is_passing(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == EBUSY ||
         error_number == ENOMEM || error_number == EINTR;
}

}  // namespace

bool DiskHealth::is_writable() const noexcept {
  return is_usable() &&
         std::chrono::steady_clock::now().time_since_epoch().count() >= writable_from_.load();
}

bool DiskHealth::attempt(const std::function<void()>& work) noexcept {
  try {
    work();
    return true;
  } catch (...) {
    failed(current_exception_as_error());
    return false;
  }
}

void DiskHealth::pause_writing(std::string_view why) noexcept {
  const TimePoint later = std::chrono::steady_clock::now() + kWritePause;
  writable_from_.store(later.time_since_epoch().count());
  warn_once(why);
}

void DiskHealth::failed(const Error& error) noexcept {
  const int reason = error.error_number();
  if (is_passing(reason)) return;
  if (is_lack_of_room(reason)) return pause_writing(error.message());
  failures_.fetch_add(1);
  warn_once(error.message());
}

void DiskHealth::warn_once(std::string_view why) noexcept {
  if (has_warned_.exchange(true)) return;
  log(LogLevel::Warning, "cache directory " + directory_ + ": " + std::string(why) +
                             "; what it does not take is kept in memory only");
}

}  // namespace red
