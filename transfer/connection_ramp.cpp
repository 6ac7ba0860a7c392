#include "transfer/connection_ramp.h"

#include <algorithm>

namespace red {
namespace {

using namespace std::chrono_literals;

constexpr int kMostConnections = 16;  // more rarely help one file, and servers dislike them
constexpr Duration kInterval = 250ms;
constexpr Duration kTryAgainAfter = 10s;
constexpr double kWorthwhileGain = 1.1;

}  // namespace

ConnectionRamp::ConnectionRamp(int max_connections, TimePoint start)
    : max_connections_(std::clamp(max_connections, 1, kMostConnections)), interval_began_(start) {}

int ConnectionRamp::update(TimePoint now, std::uint64_t total_bytes) {
  const Duration elapsed = now - interval_began_;
  if (elapsed < kInterval) return wanted_;
  const double bytes = static_cast<double>(total_bytes) -
                       static_cast<double>(std::min(bytes_at_interval_begin_, total_bytes));
  const double rate = bytes / std::chrono::duration<double>(elapsed).count();
  interval_began_ = now;
  bytes_at_interval_begin_ = total_bytes;

  if (!is_climbing_ && now - settled_at_ >= kTryAgainAfter) {
    is_climbing_ = true;
    rate_before_step_ = 0;
  }
  // Nothing came at all: that says nothing about the number of connections.
  if (!is_climbing_ || bytes <= 0) return wanted_;
  if (rate < rate_before_step_ * kWorthwhileGain) {
    settle(before_step_, now);
  } else if (wanted_ == max_connections_) {
    settle(wanted_, now);
  } else {
    step(rate);
  }
  return wanted_;
}

void ConnectionRamp::on_refusal(int in_use, TimePoint now) {
  settle(std::clamp(in_use - 1, 1, wanted_), now);
}

void ConnectionRamp::settle(int connections, TimePoint now) {
  wanted_ = connections;
  before_step_ = connections;
  is_climbing_ = false;
  settled_at_ = now;
}

void ConnectionRamp::step(double rate) {
  rate_before_step_ = rate;
  before_step_ = wanted_;
  wanted_ = std::min(wanted_ * 2, max_connections_);
}

}  // namespace red
