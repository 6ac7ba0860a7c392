#include "common/net/http_date.h"

#include <algorithm>
#include <array>

namespace red {
namespace {

using std::chrono::sys_seconds;

struct DateTime {
  int year = 1970;
  int month = 1;
  int day = 1;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<int> read_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

std::optional<int> read_day(std::string_view& text) {
  if (!text.starts_with(' ')) return read_number(text, 2);
  text.remove_prefix(1);
  return read_number(text, 1);
}

std::optional<int> read_month_name(std::string_view& text) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto found = std::find(kMonths.begin(), kMonths.end(), text.substr(0, 3));
  if (found == kMonths.end()) return std::nullopt;
  text.remove_prefix(3);
  return static_cast<int>(found - kMonths.begin()) + 1;
}

int current_year() {
  const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<int>(std::chrono::year_month_day(today).year());
}

/// RFC 9110 section 5.6.7: what seems to be more than 50 years ahead is in the past.
std::optional<int> read_short_year(std::string_view& text) {
  const std::optional<int> two_digits = read_number(text, 2);
  if (!two_digits) return std::nullopt;
  const int now = current_year();
  const int year = now - now % 100 + *two_digits;
  return year > now + 50 ? year - 100 : year;
}

bool assign(int& field, std::optional<int> value) {
  if (value) field = *value;
  return value.has_value();
}

bool read_field(std::string_view& text, char field, DateTime& into) {
  switch (field) {
    case 'd':
      return assign(into.day, read_day(text));
    case 'b':
      return assign(into.month, read_month_name(text));
    case 'm':
      return assign(into.month, read_number(text, 2));
    case 'Y':
      return assign(into.year, read_number(text, 4));
    case 'y':
      return assign(into.year, read_short_year(text));
    case 'H':
      return assign(into.hour, read_number(text, 2));
    case 'M':
      return assign(into.minute, read_number(text, 2));
    case 'S':
      return assign(into.second, read_number(text, 2));
    default:
      return false;
  }
}

bool read_pattern(std::string_view& text, std::string_view pattern, DateTime& into) {
  while (!pattern.empty()) {
    if (pattern[0] == '%' && pattern.size() > 1) {
      if (!read_field(text, pattern[1], into)) return false;
      pattern.remove_prefix(2);
    } else {
      if (text.empty() || text[0] != pattern[0]) return false;
      text.remove_prefix(1);
      pattern.remove_prefix(1);
    }
  }
  return true;
}

std::optional<sys_seconds> to_time(const DateTime& t) {
  using namespace std::chrono;
  const year_month_day date{year{t.year}, month{static_cast<unsigned>(t.month)},
                            day{static_cast<unsigned>(t.day)}};
  // What 64 bits of nanoseconds hold: whoever keeps the time in those must not overflow.
  if (t.year < 1678 || t.year > 2261) return std::nullopt;
  // 60 is a leap second.
  if (!date.ok() || t.hour > 23 || t.minute > 59 || t.second > 60) return std::nullopt;
  return sys_days{date} + hours{t.hour} + minutes{t.minute} + seconds{t.second};
}

void drop_fraction(std::string_view& text) {
  if (!text.starts_with('.')) return;
  text.remove_prefix(1);
  while (!text.empty() && is_digit(text[0])) text.remove_prefix(1);
}

/// "Z" or "+01:00".
std::optional<std::chrono::minutes> read_zone(std::string_view text) {
  if (text == "Z") return std::chrono::minutes{0};
  const bool west = text.starts_with('-');
  if (!west && !text.starts_with('+')) return std::nullopt;
  text.remove_prefix(1);
  DateTime offset;
  if (!read_pattern(text, "%H:%M", offset) || !text.empty()) return std::nullopt;
  const std::chrono::minutes east{offset.hour * 60 + offset.minute};
  return west ? -east : east;
}

}  // namespace

std::optional<sys_seconds> read_time(std::string_view& text, std::string_view pattern) {
  DateTime fields;
  std::string_view rest = text;
  if (!read_pattern(rest, pattern, fields)) return std::nullopt;
  const std::optional<sys_seconds> time = to_time(fields);
  if (time) text = rest;
  return time;
}

std::optional<sys_seconds> parse_http_date(std::string_view text) {
  const std::size_t day_name_end = text.find_first_of(", ");
  if (day_name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(day_name_end);
  for (const std::string_view pattern :
       {", %d %b %Y %H:%M:%S GMT", ", %d-%b-%y %H:%M:%S GMT", " %b %d %H:%M:%S %Y"}) {
    std::string_view rest = text;
    const std::optional<sys_seconds> time = read_time(rest, pattern);
    if (time && rest.empty()) return time;
  }
  return std::nullopt;
}

std::optional<sys_seconds> parse_rfc3339(std::string_view text) {
  const std::optional<sys_seconds> local = read_time(text, "%Y-%m-%dT%H:%M:%S");
  if (!local) return std::nullopt;
  drop_fraction(text);
  const std::optional<std::chrono::minutes> zone = read_zone(text);
  if (!zone) return std::nullopt;
  return *local - *zone;
}

}  // namespace red
