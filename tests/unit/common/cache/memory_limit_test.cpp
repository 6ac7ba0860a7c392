#include "common/cache/memory_limit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

class MemoryLimit : public ::testing::Test {
 protected:
  MemoryLimit() {
    std::string pattern = (fs::temp_directory_path() / "red_memory_limit_XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~MemoryLimit() override { fs::remove_all(root_); }

  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << "\n";
  }
  std::optional<std::uint64_t> limit(const std::string& own_groups) {
    write("own", own_groups);
    return container_memory_limit(root_ / "own", root_);
  }

  fs::path root_;
};

TEST_F(MemoryLimit, OfVersionTwoIsTheSmallestOnTheWayUp) {
  write("a/memory.max", "100");
  write("a/b/memory.max", "max");
  write("a/b/c/memory.max", "300");
  EXPECT_EQ(limit("0::/a/b/c"), 100u);
  EXPECT_EQ(limit("0::/"), std::nullopt);
}

TEST_F(MemoryLimit, OfVersionOneComesFromTheMemoryController) {
  write("memory/docker/x/memory.limit_in_bytes", "4096");
  write("memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(limit("12:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/docker/x"), 4096u);
}

TEST_F(MemoryLimit, IsFoundAtTheRootOfAContainerThatSeesThePathOfItsHost) {
  write("memory.max", "5000");
  EXPECT_EQ(limit("0::/kubepods/pod1/abc"), 5000u);
  EXPECT_EQ(limit("0::/../../elsewhere"), 5000u);
}

TEST_F(MemoryLimit, IsNoneWhereThereAreNoGroups) {
  EXPECT_EQ(container_memory_limit(root_ / "missing", root_), std::nullopt);
  EXPECT_EQ(limit("nonsense\n:"), std::nullopt);
}

TEST(DefaultCacheMemory, IsTheSmallerOf256MiBAndAQuarterOfTheLimit) {
  EXPECT_EQ(default_cache_memory(std::nullopt), 256 * kMiB);
  EXPECT_EQ(default_cache_memory(4096 * kMiB), 256 * kMiB);
  EXPECT_EQ(default_cache_memory(512 * kMiB), 128 * kMiB);
}

}  // namespace
}  // namespace red
