#include "fuse/busiest_files.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

namespace red {
namespace {

using namespace std::chrono_literals;

void read(BusiestFiles& files, const std::string& path, std::uint64_t bytes, int times = 1) {
  const auto use = files.open(path);
  for (int i = 0; i < times; ++i) use->add_read(bytes, 1ms);
}

TEST(BusiestFiles, OrdersFilesByTheBytesThatWereReadOfThem) {
  BusiestFiles files;
  read(files, "small", 10);
  read(files, "large", 1000, 3);
  read(files, "middle", 500);
  read(files, "large", 1);
  const auto busiest = files.busiest(2);
  ASSERT_EQ(busiest.size(), 2U);
  EXPECT_EQ(busiest[0].path, "large");
  EXPECT_EQ(busiest[0].bytes, 3001U);
  EXPECT_EQ(busiest[0].reads, 4U);
  EXPECT_EQ(busiest[0].waited, Duration(4ms));
  EXPECT_EQ(busiest[1].path, "middle");
}

TEST(BusiestFiles, CountsHandlesThatAreOpen) {
  BusiestFiles files;
  read(files, "f", 100);
  const auto use = files.open("f");
  const auto other = files.open("unread");
  use->add_read(50, 0ms);
  EXPECT_EQ(files.open_count(), 2U);
  const auto busiest = files.busiest(10);
  ASSERT_EQ(busiest.size(), 1U) << "what nobody has read of is not busy";
  EXPECT_EQ(busiest[0].bytes, 150U);
}

TEST(BusiestFiles, FindsTheBusyOnesAmongMoreFilesThanItRemembers) {
  BusiestFiles files(16);
  for (int i = 0; i < 10'000; ++i) {
    read(files, "quiet " + std::to_string(i), 10);
    if (i % 10 == 0) read(files, "busy", 1000);
  }
  const auto busiest = files.busiest(100);
  ASSERT_EQ(busiest.size(), 16U);
  EXPECT_EQ(busiest[0].path, "busy");
  EXPECT_LE(busiest[0].bytes, 1'000'000U) << "never more than there was";
  EXPECT_GE(busiest[0].bytes, 900'000U);
}

TEST(BusiestFiles, TakesReadsFromManyThreads) {
  BusiestFiles files;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&files] {
        for (int i = 0; i < 1000; ++i) read(files, "f" + std::to_string(i % 3), 7);
      });
    }
  }
  std::uint64_t bytes = 0;
  for (const FileReads& file : files.busiest(10)) bytes += file.bytes;
  EXPECT_EQ(bytes, 28'000U);
  EXPECT_EQ(files.open_count(), 0U);
}

}  // namespace
}  // namespace red
