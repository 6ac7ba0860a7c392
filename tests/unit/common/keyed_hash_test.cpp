#include "common/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace red {
namespace {

std::string hex(const HashValue& value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : value) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{0xF})];
  }
  return text;
}

TEST(KeyedHash, IsTheOneOfTheStandard) {
  const std::string key = "Jefe";  // RFC 4231 section 4.3
  EXPECT_EQ(hex(keyed_hash(std::as_bytes(std::span(key)), "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(SlowHash, DependsOnSaltAndSecret) {
  const HashValue salt = random_key();
  EXPECT_EQ(slow_hash(salt, "secret"), slow_hash(salt, "secret"));
  EXPECT_NE(slow_hash(salt, "secret"), slow_hash(salt, "secrets"));
  EXPECT_NE(slow_hash(salt, "secret"), slow_hash(random_key(), "secret"));
}

}  // namespace
}  // namespace red
