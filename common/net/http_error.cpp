#include "common/net/http_error.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>

#include "common/net/http_date.h"

namespace red {
namespace {

struct StatusRow {
  int status;
  ErrorKind kind;
  std::string_view reason;
  std::string_view hint;  ///< what a person can do about it; may be empty
};

// Reason phrases as RFC 9110 has them: HTTP/2 sends none, and a server's own text is not ours to
// print.
constexpr std::array kRows{
    StatusRow{400, ErrorKind::Remote, "Bad Request", ""},
    StatusRow{401, ErrorKind::Authentication, "Unauthorized", "check the credentials in auth"},
    StatusRow{403, ErrorKind::PermissionDenied, "Forbidden", ""},
    StatusRow{404, ErrorKind::NotFound, "Not Found", ""},
    StatusRow{405, ErrorKind::Unsupported, "Method Not Allowed", ""},
    StatusRow{407, ErrorKind::Authentication, "Proxy Authentication Required",
              "check the credentials in proxy"},
    StatusRow{408, ErrorKind::TimedOut, "Request Timeout", ""},
    StatusRow{409, ErrorKind::Remote, "Conflict", ""},
    StatusRow{410, ErrorKind::NotFound, "Gone", ""},
    StatusRow{411, ErrorKind::Remote, "Length Required", ""},
    StatusRow{412, ErrorKind::ChangedRemotely, "Precondition Failed", ""},
    StatusRow{413, ErrorKind::Remote, "Content Too Large", "the server's limit is lower"},
    StatusRow{414, ErrorKind::Remote, "URI Too Long", ""},
    StatusRow{416, ErrorKind::ChangedRemotely, "Range Not Satisfiable", "the file became shorter"},
    StatusRow{423, ErrorKind::Remote, "Locked", ""},
    StatusRow{429, ErrorKind::Unavailable, "Too Many Requests", ""},
    StatusRow{500, ErrorKind::Remote, "Internal Server Error", ""},
    StatusRow{501, ErrorKind::Unsupported, "Not Implemented", ""},
    StatusRow{502, ErrorKind::Unavailable, "Bad Gateway", ""},
    StatusRow{503, ErrorKind::Unavailable, "Service Unavailable", ""},
    StatusRow{504, ErrorKind::Unavailable, "Gateway Timeout", ""},
    StatusRow{507, ErrorKind::Remote, "Insufficient Storage", "no space left on the server"},
};

StatusRow row_for(int status) {
  const auto* found = std::find_if(kRows.begin(), kRows.end(),
                                   [&](const auto& row) { return row.status == status; });
  return found != kRows.end() ? *found : StatusRow{status, ErrorKind::Remote, "", ""};
}

/// Retry-After: seconds or a date (RFC 9110 section 10.2.3).
std::optional<std::chrono::milliseconds> retry_after(const HttpResponseHead& head) {
  using std::chrono::seconds;
  const auto value = head.headers.find("Retry-After");
  if (!value) return std::nullopt;
  unsigned count = 0;
  const auto [end, failure] = std::from_chars(value->data(), value->data() + value->size(), count);
  if (failure == std::errc{} && end == value->data() + value->size()) return seconds(count);
  const auto date = parse_http_date(*value);
  if (!date) return std::nullopt;
  const auto pause = std::chrono::ceil<seconds>(*date - std::chrono::system_clock::now());
  return std::max(pause, seconds(0));
}

}  // namespace

Error error_for_status(const HttpResponseHead& head, std::string_view method,
                       std::string_view display_url) {
  const StatusRow row = row_for(head.status);
  std::string message(method);
  message.append(" ").append(display_url).append(": HTTP ").append(std::to_string(head.status));
  if (!row.reason.empty()) message.append(" (").append(row.reason).append(")");
  if (!row.hint.empty()) message.append(": ").append(row.hint);
  const Error error(row.kind, std::move(message));
  if (row.kind != ErrorKind::Unavailable) return error;
  const auto pause = retry_after(head);
  return pause ? error.with_retry_after(*pause) : error;
}

}  // namespace red
