#include "common/net/http_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace red::testing {
namespace {

using namespace std::chrono_literals;

Error error_for(int status, HttpHeaders headers = {}) {
  return error_for_status({.status = status, .headers = std::move(headers), .url = {}}, "GET",
                          "http://host/x");
}

TEST(HttpError, NamesRequestStatusAndHint) {
  EXPECT_EQ(error_for(404).message(), "GET http://host/x: HTTP 404 (Not Found)");
  EXPECT_EQ(error_for(401).message(),
            "GET http://host/x: HTTP 401 (Unauthorized): check the credentials in auth");
  EXPECT_EQ(error_for(599).message(), "GET http://host/x: HTTP 599");
}

TEST(HttpError, TellsKindsApart) {
  const std::pair<int, ErrorKind> kinds[] = {
      {401, ErrorKind::Authentication},  {403, ErrorKind::PermissionDenied},
      {404, ErrorKind::NotFound},        {405, ErrorKind::Unsupported},
      {407, ErrorKind::Authentication},  {408, ErrorKind::TimedOut},
      {409, ErrorKind::Remote},          {410, ErrorKind::NotFound},
      {412, ErrorKind::ChangedRemotely}, {416, ErrorKind::ChangedRemotely},
      {418, ErrorKind::Remote},          {423, ErrorKind::Remote},
      {429, ErrorKind::Unavailable},     {500, ErrorKind::Remote},
      {501, ErrorKind::Unsupported},     {502, ErrorKind::Unavailable},
      {503, ErrorKind::Unavailable},     {504, ErrorKind::Unavailable},
      {507, ErrorKind::Remote}};
  for (const auto& [status, kind] : kinds) EXPECT_EQ(error_for(status).kind(), kind) << status;
}

TEST(HttpError, CarriesRetryAfterInSecondsOrAsADate) {
  EXPECT_EQ(error_for(503, {{"Retry-After", "120"}}).retry_after(), 120s);
  EXPECT_EQ(error_for(429, {{"Retry-After", "Tue, 03 Mar 2020 20:01:02 GMT"}}).retry_after(), 0s);
  const auto late = error_for(503, {{"Retry-After", "Tue, 03 Mar 2099 20:01:02 GMT"}});
  EXPECT_GT(late.retry_after(), 24h);
  EXPECT_FALSE(error_for(503, {{"Retry-After", "soon"}}).retry_after());
  EXPECT_FALSE(error_for(503).retry_after());
  EXPECT_FALSE(error_for(404, {{"Retry-After", "120"}}).retry_after());
}

}  // namespace
}  // namespace red::testing
