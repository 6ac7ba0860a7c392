#include "common/net/redirect.h"

#include <gtest/gtest.h>

#include "common/error.h"

namespace red::testing {
namespace {

HttpResponseHead redirect(int status, std::string location) {
  return {.status = status, .headers = {{"Location", std::move(location)}}, .url = {}};
}

bool may_share(std::string_view first, std::string_view other) {
  return may_share_credentials(Url::parse(first), Url::parse(other));
}

TEST(Redirect, CredentialsStayWithTheirOriginOrMoveToItsTls) {
  EXPECT_TRUE(may_share("http://a/x", "http://a:80/y"));
  EXPECT_TRUE(may_share("http://a/x", "https://a/y"));
  EXPECT_FALSE(may_share("https://a/x", "http://a/y"));
  EXPECT_FALSE(may_share("http://a/x", "http://b/y"));
  EXPECT_FALSE(may_share("http://a/x", "http://a:8080/y"));
  EXPECT_FALSE(may_share("http://a:8080/x", "https://a/y"));
  EXPECT_FALSE(may_share("http://a/x", "https://a:8443/y"));
  EXPECT_FALSE(may_share("http://a/x", "http://sub.a/y"));
}

TEST(Redirect, NeedsAStatusAndALocation) {
  EXPECT_TRUE(RedirectTrail::is_redirect(redirect(301, "/x")));
  EXPECT_FALSE(RedirectTrail::is_redirect(redirect(300, "/x")));
  EXPECT_FALSE(RedirectTrail::is_redirect(redirect(304, "/x")));
  EXPECT_FALSE(RedirectTrail::is_redirect({.status = 301, .headers = {}, .url = {}}));
}

TEST(Redirect, DropsCredentialsInALocation) {
  RedirectTrail trail("GET", Url::parse("http://a/x"));
  trail.follow(redirect(302, "http://eve:pw@b/y"));
  EXPECT_EQ(trail.url().userinfo, "");
  EXPECT_FALSE(trail.may_send_credentials());
  trail.follow(redirect(302, "http://a/z"));
  EXPECT_TRUE(trail.may_send_credentials());
}

TEST(Redirect, ComingBackWithAnotherMethodIsNoCircle) {
  RedirectTrail trail("POST", Url::parse("http://a/x"));
  trail.follow(redirect(303, "/x"));
  EXPECT_EQ(trail.method(), "GET");
  EXPECT_FALSE(trail.keeps_body());
  EXPECT_THROW(trail.follow(redirect(303, "/x")), Error);
}

}  // namespace
}  // namespace red::testing
