#include "common/net/web_findings.h"

#include <algorithm>

#include "common/net/http_date.h"

namespace red {
namespace {

using namespace std::chrono_literals;

/// What a server writes of itself is bounded before anybody reads it.
constexpr std::size_t kMaxWords = 100;
/// Signed URLs and tokens are rarely refused below this.
constexpr auto kTolerated = 60s;

std::string scheme_in(std::string_view challenge) {
  return std::string(challenge.substr(0, std::min<std::size_t>(challenge.find(' '), 20)));
}

bool is_challenge(std::string_view field) {
  constexpr std::string_view kName = "www-authenticate";
  return std::equal(field.begin(), field.end(), kName.begin(), kName.end(),
                    [](char a, char b) { return (a | 0x20) == b; });
}

}  // namespace

std::string offered_text(const HttpResponseHead& head) {
  std::string text;
  for (const auto& [name, value] : head.headers) {
    if (is_challenge(name)) text += (text.empty() ? "" : ", ") + scheme_in(value);
  }
  return text.empty() ? text : "; offered: " + text;
}

std::optional<Finding> server_finding(const HttpResponseHead& head) {
  const auto server = head.headers.find("Server");
  if (!server || server->empty()) return std::nullopt;
  return Finding{FindingStatus::Ok, std::string(server->substr(0, kMaxWords))};
}

std::optional<Finding> clock_finding(const HttpResponseHead& head,
                                     std::chrono::system_clock::time_point answered) {
  const auto field = head.headers.find("Date");
  const auto date = field ? parse_http_date(*field) : std::nullopt;
  if (!date) return std::nullopt;
  const auto ahead = std::chrono::round<std::chrono::seconds>(answered - *date);
  const auto difference = std::chrono::abs(ahead);
  if (difference <= kTolerated) {
    return Finding{FindingStatus::Ok, "agrees with this machine's"};
  }
  return Finding{FindingStatus::Note,
                 "this machine's clock is " + std::to_string(difference.count()) + " s " +
                     (ahead > 0s ? "ahead of" : "behind") +
                     " the server's: set it, certificates and signed URLs depend on it"};
}

}  // namespace red
