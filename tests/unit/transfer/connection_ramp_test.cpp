#include "transfer/connection_ramp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace red {
namespace {

using namespace std::chrono_literals;

/// Plays a transfer whose rate is a function of its connections.
class Transfer {
 public:
  Transfer(int max_connections, std::function<double(int)> bytes_per_second)
      : ramp_(max_connections, TimePoint{}), rate_(std::move(bytes_per_second)) {}

  int run_for(Duration time) {
    for (const TimePoint end = now_ + time; now_ < end;) {
      now_ += 50ms;
      bytes_ += rate_(connections_) * 0.05;
      connections_ = ramp_.update(now_, static_cast<std::uint64_t>(bytes_));
      most_ = std::max(most_, connections_);
    }
    return connections_;
  }
  void refuse() { ramp_.on_refusal(connections_, now_); }
  void set_rate(std::function<double(int)> rate) { rate_ = std::move(rate); }
  int most() const { return most_; }

 private:
  ConnectionRamp ramp_;
  std::function<double(int)> rate_;
  TimePoint now_{};
  double bytes_ = 0;
  int connections_ = 1;
  int most_ = 1;
};

double scaling(int connections) { return 1e6 * connections; }
double flat(int) { return 1e8; }

TEST(ConnectionRamp, BeginsWithOne) {
  Transfer transfer(16, scaling);
  EXPECT_EQ(transfer.run_for(200ms), 1);
}

TEST(ConnectionRamp, DoublesWhileEveryStepIsFaster) {
  Transfer transfer(16, scaling);
  EXPECT_EQ(transfer.run_for(250ms), 2);
  EXPECT_EQ(transfer.run_for(250ms), 4);
  EXPECT_EQ(transfer.run_for(2s), 16);
}

TEST(ConnectionRamp, KeepsToTheCallersLimit) {
  Transfer transfer(5, scaling);
  EXPECT_EQ(transfer.run_for(60s), 5);
}

TEST(ConnectionRamp, NeverUsesMoreThanSixteen) {
  Transfer transfer(100, scaling);
  EXPECT_EQ(transfer.run_for(60s), 16);
}

TEST(ConnectionRamp, TakesBackAStepThatDidNotHelp) {
  Transfer transfer(16, flat);
  EXPECT_EQ(transfer.run_for(2s), 1);
  EXPECT_EQ(transfer.most(), 2);
}

TEST(ConnectionRamp, StopsWhereTheLinkIsFull) {
  Transfer transfer(16, [](int connections) { return std::min(scaling(connections), 4e6); });
  EXPECT_EQ(transfer.run_for(5s), 4);
}

TEST(ConnectionRamp, TriesAgainAfterAWhile) {
  Transfer transfer(16, flat);
  transfer.run_for(2s);
  transfer.set_rate(scaling);
  EXPECT_EQ(transfer.run_for(5s), 1);
  EXPECT_EQ(transfer.run_for(10s), 16);
}

TEST(ConnectionRamp, UsesLessAfterARefusalAndDoesNotClimbSoon) {
  Transfer transfer(16, scaling);
  ASSERT_EQ(transfer.run_for(750ms), 8);
  transfer.refuse();
  EXPECT_EQ(transfer.run_for(5s), 7);
}

TEST(ConnectionRamp, NeverGoesBelowOne) {
  Transfer transfer(16, scaling);
  for (int i = 0; i < 5; ++i) transfer.refuse();
  EXPECT_EQ(transfer.run_for(1s), 1);
}

TEST(ConnectionRamp, LearnsNothingFromSilence) {
  Transfer transfer(16, [](int) { return 0.0; });
  EXPECT_EQ(transfer.run_for(5s), 1);
}

}  // namespace
}  // namespace red
