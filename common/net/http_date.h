#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace red {

/// Reads a Date, Last-Modified or Retry-After time in any of the three forms of RFC 9110 section
/// 5.6.7, whatever the locale. Nothing if it is none of them, or beyond what a
/// FileTime holds (years 1678 to 2261). The name of the day is not checked.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

/// Reads a time of RFC 3339 ("2020-03-03T20:01:02.5+01:00"); fractions of a second are dropped.
std::optional<std::chrono::sys_seconds> parse_rfc3339(std::string_view text);

/// Reads a UTC time off the front of `text` and leaves the rest there; on failure `text` stays as
/// it was. The pattern knows %d (day; the first digit may be a space), %b (Jan), %m, %Y, %y, %H, %M
/// and %S; every other character stands for itself.
std::optional<std::chrono::sys_seconds> read_time(std::string_view& text, std::string_view pattern);

}  // namespace red
