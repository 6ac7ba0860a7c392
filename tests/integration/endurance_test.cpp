// What many repetitions would show: something that is left each time, something that grows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

class EnduranceMount : public MountFixture {
 protected:
  /// Descriptors of the daemon.
  std::size_t descriptors() const {
    const fs::directory_iterator all("/proc/" + std::to_string(daemon()) + "/fd");
    return static_cast<std::size_t>(std::distance(fs::begin(all), fs::end(all)));
  }
  /// Resident memory of the daemon in KiB.
  std::uint64_t memory() const {
    std::ifstream status("/proc/" + std::to_string(daemon()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
    }
    ADD_FAILURE() << "no daemon";
    return 0;
  }

  NginxServer server_;
};

TEST_F(EnduranceMount, AThousandMountsLeaveNothing) {
  write_file(server_.root() / "file", "content");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(mount(server_.url()), Succeeded()) << i;
    ASSERT_EQ(read_file(mount_ / "file"), "content") << i;
    ASSERT_THAT(umount(), Succeeded()) << i;
    ASSERT_FALSE(fs::exists(mount_)) << i;
    ASSERT_THAT(connector_.processes(), IsEmpty()) << i;
  }
}

TEST_F(EnduranceMount, ManyFilesThatAreReadLeaveTheDaemonAsItWas) {
  constexpr int kFiles = 20'000;
  FileTree tree;
  for (int i = 0; i < kFiles; ++i) {
    tree[std::to_string(i % 100) + "/" + std::to_string(i)] = std::to_string(i);
  }
  write_tree(server_.root(), tree);
  ASSERT_THAT(mount(server_.url()), Succeeded());
  std::size_t descriptors_after_first = 0;
  std::uint64_t memory_after_first = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < kFiles; ++i) {
      const fs::path file = mount_ / std::to_string(i % 100) / std::to_string(i);
      ASSERT_EQ(read_file(file), std::to_string(i)) << file;
    }
    if (round == 0) descriptors_after_first = descriptors();
    if (round == 0) memory_after_first = memory();
  }
  EXPECT_LE(descriptors(), descriptors_after_first + 32) << "connections may come and go";
  EXPECT_LE(memory(), memory_after_first + 32 * 1024);
}

}  // namespace
}  // namespace red::testing
