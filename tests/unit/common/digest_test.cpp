#include "common/digest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace red {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string digest_of(DigestAlgorithm algorithm, std::string_view text) {
  Digest digest(algorithm);
  digest.update(bytes_of(text));
  return digest.hex();
}

TEST(Digest, MatchesTheStandardsExamples) {
  EXPECT_EQ(digest_of(DigestAlgorithm::Sha1, ""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(digest_of(DigestAlgorithm::Md5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(digest_of(DigestAlgorithm::Md5, "message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(Digest, TakesItsBytesInPieces) {
  Digest pieces(DigestAlgorithm::Sha1);
  pieces.update(bytes_of("abcdbcdecdefdefgefghfghighij"));
  pieces.update(bytes_of("hijkijkljklmklmnlmnomnopnopq"));
  EXPECT_EQ(pieces.hex(), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

}  // namespace
}  // namespace red
