#include "common/protocols/sftp/sftp_growth.h"

#include <gtest/gtest.h>

#include <chrono>

#include "common/protocols/sftp/sftp_window.h"

namespace red {
namespace {

using namespace std::chrono_literals;

/// Connections that are always busy, and move `rate(connections)` bytes per second together.
class Line {
 public:
  explicit Line(std::uint64_t (*rate)(std::size_t)) : rate_(rate) {}

  void run(Duration time) {
    for (const TimePoint end = now_ + time; now_ < end; now_ += 50ms) {
      moved_ += rate_(connections_) / 20;
      used_ = policy_.wanted({now_, connections_, moved_, begin_});
      if (used_ > connections_) connections_ = used_;
    }
  }
  std::size_t connections() const { return connections_; }
  std::size_t used() const { return used_; }

 private:
  std::uint64_t (*rate_)(std::size_t);
  SftpGrowthPolicy policy_{4};
  const TimePoint begin_{1h};
  TimePoint now_ = begin_;
  std::size_t connections_ = 1;
  std::size_t used_ = 1;
  std::uint64_t moved_ = 0;
};

TEST(SftpGrowthPolicy, AddsConnectionsWhileTheyHelp) {
  Line line([](std::size_t connections) { return 50'000'000 * connections; });
  line.run(20s);
  EXPECT_EQ(line.used(), 4u);
}

TEST(SftpGrowthPolicy, GoesBackWhenOneMoreDoesNotHelp) {
  Line line([](std::size_t) -> std::uint64_t { return 50'000'000; });
  line.run(20s);
  EXPECT_EQ(line.connections(), 2u);
  EXPECT_EQ(line.used(), 1u);
}

TEST(SftpGrowthPolicy, AConnectionThatKeepsUpStaysAlone) {
  SftpGrowthPolicy policy(4);
  for (TimePoint now{1h}; now < TimePoint(1h + 10s); now += 50ms) {
    EXPECT_EQ(policy.wanted({now, 1, 0, std::nullopt}), 1u);
  }
}

TEST(SftpGrowthPolicy, ARefusalIsRemembered) {
  SftpGrowthPolicy policy(4);
  const TimePoint begin{1h};
  EXPECT_EQ(policy.wanted({begin + 1s, 1, 0, begin}), 2u);
  policy.refused(begin + 2s);
  EXPECT_EQ(policy.wanted({begin + 3s, 1, 0, begin}), 1u);
  EXPECT_EQ(policy.wanted({begin + 63s, 1, 0, begin}), 2u);
}

TEST(SftpWindow, FollowsTheRateAndTheRoundTrip) {
  SftpWindow window;
  TimePoint now{1h};
  window.answered(now - 40ms, now);
  for (int i = 0; i < 200; ++i) {
    now += 10ms;
    window.received(1'000'000, now);  // 100 MB/s
  }
  EXPECT_NEAR(static_cast<double>(window.limit()), 8'000'000.0, 500'000.0);
  SftpWindow slow;
  slow.answered(now - 20ms, now);
  for (int i = 0; i < 200; ++i) {
    now += 10ms;
    slow.received(10'000, now);
  }
  EXPECT_EQ(slow.limit(), SftpWindow::kMin);
}

}  // namespace
}  // namespace red
