#include "common/json/nearest_name.h"

#include <gtest/gtest.h>

#include <array>

namespace red {
namespace {

constexpr std::array<std::string_view, 5> kKnown{"url", "method", "auth", "disableSSLVerification",
                                                 "caCertificate"};

TEST(NearestName, FindsTypingMistakes) {
  EXPECT_EQ(nearest_name("metod", kKnown), "method");
  EXPECT_EQ(nearest_name("emthod", kKnown), "method");
  EXPECT_EQ(nearest_name("ulr", kKnown), "url");
  EXPECT_EQ(nearest_name("disableSslVerificaton", kKnown), "disableSSLVerification");
}

TEST(NearestName, DoesNotMindCaseAndSeparators) {
  EXPECT_EQ(nearest_name("URL", kKnown), "url");
  EXPECT_EQ(nearest_name("disable_ssl_verification", kKnown), "disableSSLVerification");
  EXPECT_EQ(nearest_name("ca-certificate", kKnown), "caCertificate");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("host", kKnown), "");
  EXPECT_EQ(nearest_name("", kKnown), "");
  EXPECT_EQ(nearest_name(std::string(1'000'000, 'u'), kKnown), "");
}

}  // namespace
}  // namespace red
