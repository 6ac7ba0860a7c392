#include "common/net/ca_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <vector>

#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using Origin = CaStore::Origin;

/// Places in a directory of its own, and none in the environment.
class FindCaStore : public ::testing::Test {
 protected:
  FindCaStore() { forget_environment(); }
  ~FindCaStore() override { forget_environment(); }

  static void forget_environment() {
    ::unsetenv("SSL_CERT_FILE");
    ::unsetenv("SSL_CERT_DIR");
  }

  std::optional<CaStore> find() const { return find_ca_store(places_, own_copy_); }

  static void expect(const std::optional<CaStore>& store, const fs::path& path, Origin origin) {
    ASSERT_TRUE(store.has_value());
    EXPECT_EQ(store->path, path);
    EXPECT_EQ(store->origin, origin);
  }

  const TemporaryDirectory directory_;
  const std::vector<fs::path> places_{directory_ / "debian.crt", directory_ / "fedora.crt"};
  const fs::path own_copy_ = directory_ / "own.crt";
};

TEST_F(FindCaStore, TheFirstPlaceThatHasOneIsTaken) {
  write_file(places_[1], "certificates");
  expect(find(), places_[1], Origin::System);
  write_file(places_[0], "certificates");
  expect(find(), places_[0], Origin::System);
}

TEST_F(FindCaStore, TheSystemsGoesBeforeTheOwnCopy) {
  write_file(own_copy_, "certificates");
  expect(find(), own_copy_, Origin::OwnCopy);
  write_file(places_[1], "certificates");
  expect(find(), places_[1], Origin::System);
}

TEST_F(FindCaStore, AnEmptyFileOrADirectoryIsNone) {
  write_file(places_[0], "");
  fs::create_directory(places_[1]);
  EXPECT_FALSE(find().has_value());
}

TEST_F(FindCaStore, TheEnvironmentGoesBeforeAll) {
  write_file(places_[0], "certificates");
  ::setenv("SSL_CERT_DIR", "/certificates", 1);
  expect(find(), "/certificates", Origin::Environment);
  EXPECT_TRUE(find()->is_directory);
  ::setenv("SSL_CERT_FILE", "/certificates.pem", 1);
  expect(find(), "/certificates.pem", Origin::Environment);
  EXPECT_FALSE(find()->is_directory);
}

TEST_F(FindCaStore, AnEmptyVariableIsNone) {
  write_file(places_[0], "certificates");
  ::setenv("SSL_CERT_FILE", "", 1);
  ::setenv("SSL_CERT_DIR", "", 1);
  expect(find(), places_[0], Origin::System);
}

}  // namespace
}  // namespace red::testing
