#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/servers/relay.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {

/// A test that mounts at most one directory. At the end nothing may be left: no mount, no process.
/// Skips where nothing can be mounted.
class MountFixture : public ::testing::Test {
 protected:
  explicit MountFixture(const std::string& connector = "red-connector-http")
      : connector_(connector) {}
  void SetUp() override;
  void TearDown() override;

  /// mount-dir at mount_, which does not exist before unless a test makes it.
  Outcome mount(const Json& access);
  Outcome mount(const std::string& url) { return mount(Json{{"url", url}}); }
  Outcome umount() { return connector_.run({"umount-dir", mount_}); }

  /// The process that serves the mount; 0 if there is not exactly one.
  pid_t daemon() const;
  /// Whether the daemon ends by itself, soon.
  bool daemon_ends() const;

  Connector connector_;
  TemporaryDirectory directory_;
  std::filesystem::path mount_ = directory_ / "mount";
};

/// What reading a part of a file gave: the bytes, or the errno.
struct ReadResult {
  std::string bytes;
  int error_number = 0;
};

/// Opens, reads at `offset` until `count` bytes or the end, closes. Never throws.
ReadResult read_at(const std::filesystem::path& file, std::uint64_t offset, std::size_t count);

/// A descriptor for reading, -1 with errno set if there is none.
int open_for_reading(const std::filesystem::path& file);

/// The same from an open descriptor, without the page cache's help in remembering failures.
ReadResult read_at(int descriptor, std::uint64_t offset, std::size_t count);

/// The first `size` bytes, read in large parts with the relay's connections cut after each; fewer
/// when a part cannot be read.
std::string read_while_cutting(Relay& relay, int descriptor, std::size_t size);

}  // namespace red::testing
