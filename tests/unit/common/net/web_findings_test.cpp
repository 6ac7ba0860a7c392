#include "common/net/web_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace red {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::chrono::sys_seconds kDate = std::chrono::sys_days(std::chrono::year(2025) / 6 / 30);

HttpResponseHead answer(HttpHeaders headers) {
  return {.status = 200, .headers = std::move(headers), .url = {}};
}

TEST(ClockFinding, ComparesWithTheServersDate) {
  const HttpResponseHead head = answer({{"Date", "Mon, 30 Jun 2025 00:00:00 GMT"}});
  EXPECT_EQ(clock_finding(head, kDate + 30s)->status, FindingStatus::Ok);
  EXPECT_EQ(clock_finding(head, kDate + 90s)->status, FindingStatus::Note);
  EXPECT_THAT(clock_finding(head, kDate + 90s)->text, HasSubstr("90 s ahead of"));
  EXPECT_THAT(clock_finding(head, kDate - 2h)->text, HasSubstr("7200 s behind"));
}

TEST(ClockFinding, IsNoneWithoutADate) {
  EXPECT_FALSE(clock_finding(answer({}), kDate).has_value());
  EXPECT_FALSE(clock_finding(answer({{"Date", "yesterday"}}), kDate).has_value());
}

TEST(OfferedText, NamesTheSchemesAlone) {
  EXPECT_EQ(offered_text(answer({{"WWW-Authenticate", "Basic realm=\"x\""},
                                 {"www-authenticate", "Digest nonce=\"secret\""}})),
            "; offered: Basic, Digest");
  EXPECT_EQ(offered_text(answer({})), "");
}

TEST(ServerFinding, IsBounded) {
  EXPECT_EQ(server_finding(answer({{"Server", "nginx"}}))->text, "nginx");
  EXPECT_EQ(server_finding(answer({{"Server", std::string(5000, 'x')}}))->text.size(), 100u);
  EXPECT_FALSE(server_finding(answer({})).has_value());
}

}  // namespace
}  // namespace red
