#include "common/net/http_date.h"

#include <gtest/gtest.h>

#include <string>

namespace red {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

const sys_seconds kNovember1994{seconds{784111777}};  // the example of RFC 9110 section 5.6.7

TEST(HttpDate, ReadsAllThreeForms) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), kNovember1994);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), kNovember1994);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994"), kNovember1994);
}

TEST(HttpDate, TakesTwoDigitYearsFarAheadAsPast) {
  using namespace std::chrono;
  const auto today = floor<days>(system_clock::now());
  const int year = static_cast<int>(year_month_day(today).year());
  const auto two_digits = [](int y) { return std::to_string(100 + y % 100).substr(1); };
  const auto read = [&](int y) {
    const auto time = parse_http_date("Sunday, 06-Nov-" + two_digits(y) + " 08:49:37 GMT");
    return time ? static_cast<int>(year_month_day(floor<days>(*time)).year()) : 0;
  };
  EXPECT_EQ(read(year), year);
  EXPECT_EQ(read(year + 51), year - 49);
}

TEST(HttpDate, AcceptsLeapSecondsAndLeapDays) {
  EXPECT_EQ(parse_http_date("Thu, 29 Feb 2024 23:59:60 GMT"), sys_seconds{seconds{1709251200}});
}

TEST(HttpDate, RefusesWhatIsNoDate) {
  for (const char* text :
       {"", "Sun", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, -6 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

TEST(HttpDate, RefusesTimesThatNanosecondsCannotHold) {
  EXPECT_FALSE(parse_http_date("Sun, 06 Nov 1677 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sun, 06 Nov 2262 08:49:37 GMT"));
  EXPECT_TRUE(parse_http_date("Sun, 06 Nov 1678 08:49:37 GMT"));
  EXPECT_TRUE(parse_http_date("Sun, 06 Nov 2261 08:49:37 GMT"));
}

TEST(Rfc3339, ReadsZonesAndDropsFractions) {
  const sys_seconds expected{seconds{1583265662}};
  EXPECT_EQ(parse_rfc3339("2020-03-03T20:01:02Z"), expected);
  EXPECT_EQ(parse_rfc3339("2020-03-03T20:01:02.999999999Z"), expected);
  EXPECT_EQ(parse_rfc3339("2020-03-03T21:31:02+01:30"), expected);
  EXPECT_EQ(parse_rfc3339("2020-03-03T12:01:02.5-08:00"), expected);
}

TEST(Rfc3339, RefusesWhatIsNoDate) {
  for (const char* text : {"", "2020-03-03", "2020-03-03T20:01:02", "2020-03-03T20:01:02Z ",
                           "2020-13-03T20:01:02Z", "2020-03-03T20:01:02+1:00"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(ReadTime, LeavesTheRestAndOnFailureEverything) {
  std::string_view text = "03-Mar-2020 20:01   12";
  EXPECT_EQ(read_time(text, "%d-%b-%Y %H:%M"), sys_seconds{seconds{1583265660}});
  EXPECT_EQ(text, "   12");
  EXPECT_FALSE(read_time(text, "%d-%b-%Y"));
  EXPECT_EQ(text, "   12");
}

}  // namespace
}  // namespace red
