#include "cli/progress.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <typeinfo>

namespace red {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

ProgressState half() {
  return {.bytes_done = 512 * kMiB,
          .bytes_expected = 1024 * kMiB,
          .files_done = 0,
          .files_expected = 1,
          .bytes_per_second = 64.0 * static_cast<double>(kMiB)};
}

TEST(ProgressLine, ShowsBarBytesRateAndTimeLeft) {
  EXPECT_EQ(progress_line(half(), 71),
            "[##########          ]   50%  512 MiB of 1.0 GiB  64.0 MiB/s  0:08 left");
}

TEST(ProgressLine, ShowsFilesOfDirectories) {
  ProgressState state = half();
  state.files_done = 3;
  state.files_expected = 12;
  EXPECT_NE(progress_line(state, 120).find("3 of 12 files"), std::string::npos);
}

TEST(ProgressLine, LeavesOutTheBarFirst) {
  EXPECT_EQ(progress_line(half(), 50), " 50%  512 MiB of 1.0 GiB  64.0 MiB/s  0:08 left");
  EXPECT_EQ(progress_line(half(), 30), " 50%  512 MiB of 1.0 GiB");
}

TEST(ProgressLine, KnowsNoEndWithoutAnExpectedSize) {
  ProgressState state = half();
  state.bytes_expected = 0;
  EXPECT_EQ(progress_line(state, 80), "512 MiB  64.0 MiB/s");
  state.bytes_expected = state.bytes_done - 1;
  EXPECT_EQ(progress_line(state, 80), "512 MiB  64.0 MiB/s");
}

TEST(ProgressLine, PromisesNoTimeWhileNothingComes) {
  ProgressState state = half();
  state.bytes_per_second = 0;
  EXPECT_NE(progress_line(state, 80).find("--:-- left"), std::string::npos);
}

TEST(ProgressLine, ShowsHoursAndTheEnd) {
  ProgressState state = half();
  state.bytes_per_second = static_cast<double>(state.bytes_done) / 7325;
  EXPECT_NE(progress_line(state, 80).find("2:02:05 left"), std::string::npos);
  state.bytes_done = state.bytes_expected;
  EXPECT_NE(progress_line(state, 80).find("100%"), std::string::npos);
  EXPECT_NE(progress_line(state, 80).find("0:00 left"), std::string::npos);
}

RC_GTEST_PROP(ProgressLine, NeverExceedsTheWidth,
              (std::uint64_t done, std::uint64_t expected, std::uint64_t files,
               std::uint16_t width)) {
  ProgressState state{done, expected, files / 2, files, static_cast<double>(done) / 7};
  RC_ASSERT(progress_line(state, width).size() <= width);
}

TEST(Progress, IsSilentWhenAskedToBe) {
  const auto progress = make_progress(true);
  const Progress& quiet = *progress;
  EXPECT_EQ(typeid(quiet), typeid(SilentProgress));
}

}  // namespace
}  // namespace red
