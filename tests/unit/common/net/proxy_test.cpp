#include "common/net/proxy.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace red {
namespace {

/// The variables of this process, set for one test.
class ProxyFor : public ::testing::Test {
 protected:
  ProxyFor() { clear(); }
  ~ProxyFor() override { clear(); }

  static void clear() {
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                             "no_proxy", "NO_PROXY", "HTTP_PROXY"}) {
      ::unsetenv(name);
    }
  }
  static void set(const char* name, const char* value) { ::setenv(name, value, 1); }
  static std::string found(const char* url, const std::string& configured = {}) {
    const auto proxy = proxy_for(Url::parse(url), configured);
    if (!proxy) return "none";
    return proxy->host + ":" + std::to_string(proxy->port) +
           (proxy->source.empty() ? "" : " of " + proxy->source);
  }
};

TEST_F(ProxyFor, IsNoneWhereNobodySaysSo) { EXPECT_EQ(found("http://h/"), "none"); }

TEST_F(ProxyFor, DependsOnTheScheme) {
  set("http_proxy", "http://plain:3128");
  set("HTTPS_PROXY", "secure:3129");
  EXPECT_EQ(found("http://h/"), "plain:3128 of http_proxy");
  EXPECT_EQ(found("https://h/"), "secure:3129 of HTTPS_PROXY");
}

TEST_F(ProxyFor, IgnoresWhatARequestHeaderCanSet) {
  set("HTTP_PROXY", "http://attacker:1");
  EXPECT_EQ(found("http://h/"), "none");
}

TEST_F(ProxyFor, FallsBackToTheOneForAll) {
  set("all_proxy", "socks5h://[2001:db8::1]:99/");
  EXPECT_EQ(found("https://h/"), "2001:db8::1:99 of all_proxy");
}

TEST_F(ProxyFor, HasThePortsThatLibcurlHas) {
  EXPECT_EQ(found("http://h/", "p"), "p:1080");
  EXPECT_EQ(found("http://h/", "https://p"), "p:443");
}

TEST_F(ProxyFor, TakesTheConfiguredOneWhateverTheEnvironmentSays) {
  set("http_proxy", "http://plain:3128");
  set("no_proxy", "*");
  EXPECT_EQ(found("http://h/"), "none");
  EXPECT_EQ(found("http://h/", "http://user:pa@ss@mine:8080/"), "mine:8080");
  EXPECT_EQ(proxy_for(Url::parse("http://h/"), "http://user:pa@ss@mine:8080")->address,
            "http://***@mine:8080");
}

TEST(NoProxy, NamesHostsWithAllBelowThem) {
  EXPECT_TRUE(is_in_no_proxy("example.com", "other, example.com"));
  EXPECT_TRUE(is_in_no_proxy("www.Example.com", "EXAMPLE.com"));
  EXPECT_TRUE(is_in_no_proxy("www.example.com.", ".example.com"));
  EXPECT_FALSE(is_in_no_proxy("badexample.com", "example.com"));
  EXPECT_FALSE(is_in_no_proxy("example.com", "www.example.com"));
  EXPECT_FALSE(is_in_no_proxy("example.com", ""));
  EXPECT_TRUE(is_in_no_proxy("example.com", "*"));
}

TEST(NoProxy, NamesAddressesAndNetworks) {
  EXPECT_TRUE(is_in_no_proxy("127.0.0.1", "localhost,127.0.0.1"));
  EXPECT_TRUE(is_in_no_proxy("10.20.30.40", "10.0.0.0/8"));
  EXPECT_TRUE(is_in_no_proxy("10.20.30.40", "10.20.16.0/20"));
  EXPECT_FALSE(is_in_no_proxy("10.20.32.40", "10.20.16.0/20"));
  EXPECT_FALSE(is_in_no_proxy("11.0.0.1", "10.0.0.0/8"));
  EXPECT_TRUE(is_in_no_proxy("[2001:db8::7]", "2001:db8::/32"));
  EXPECT_TRUE(is_in_no_proxy("[::1]", "::1"));
}

TEST(ProxyCredentials, AreHiddenWhateverTheyHold) {
  EXPECT_EQ(without_credentials("http://p:1"), "http://p:1");
  EXPECT_EQ(without_credentials("http://u:p@p:1"), "http://***@p:1");
  EXPECT_EQ(without_credentials("u:s/e?c@r:et@p:1"), "***@p:1");
  EXPECT_EQ(without_credentials("http://u:x://y@p"), "http://***@p");
}

}  // namespace
}  // namespace red
