#include "common/logging.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace red {
namespace {

TEST(Log, StartsABoundedFileAnewBeforeItGrowsTooBig) {
  constexpr std::size_t kMaxBytes = 4096;
  const auto path =
      std::filesystem::temp_directory_path() / ("bounded-" + std::to_string(::getpid()) + ".log");
  open_log(LogLevel::Warning, path, kMaxBytes);
  for (int i = 0; i < 1000; ++i) {
    log(LogLevel::Warning, "a line of some length");
    ASSERT_LE(std::filesystem::file_size(path), kMaxBytes);
  }
  EXPECT_GT(std::filesystem::file_size(path), 0u);
  open_log(LogLevel::Warning, std::nullopt);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace red
