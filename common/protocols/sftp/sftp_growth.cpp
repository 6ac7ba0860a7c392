#include "common/protocols/sftp/sftp_growth.h"

#include <algorithm>

namespace red {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Longer than a gap between two reads, shorter than anybody minds.
constexpr Duration kBusyFor = milliseconds(250);
constexpr Duration kSample = milliseconds(250);
// TCP has opened its window by then also where a round trip takes 100 ms.
constexpr Duration kTrial = milliseconds(1500);
constexpr double kGain = 1.1;
// Lines and servers change; then it is tried again.
constexpr Duration kRemember = seconds(60);

}  // namespace

std::size_t SftpGrowthPolicy::wanted(const Observation& seen) {
  sample(seen);
  judge(seen);
  if (seen.now >= useful_until_) useful_ = SIZE_MAX;
  const std::size_t most = std::max<std::size_t>(1, std::min(max_connections_, useful_));
  if (seen.ready >= most) return most;
  const bool is_busy = seen.busy_since && seen.now - *seen.busy_since >= kBusyFor;
  if (!is_busy || trial_) return std::max<std::size_t>(1, seen.ready);
  trial_ = Trial{seen.ready + 1, rate_, seen.now};
  return seen.ready + 1;
}

void SftpGrowthPolicy::refused(TimePoint now) {
  if (!trial_) return;
  useful_ = trial_->connections - 1;
  useful_until_ = now + kRemember;
  trial_.reset();
}

void SftpGrowthPolicy::sample(const Observation& seen) {
  const Duration passed = seen.now - sampled_at_;
  if (passed < kSample) return;
  // Nobody asked for a while: what lies between says nothing.
  if (passed < kSample * 4) {
    rate_ = static_cast<double>(seen.moved - sampled_moved_) /
            std::chrono::duration<double>(passed).count();
  }
  sampled_at_ = seen.now;
  sampled_moved_ = seen.moved;
}

void SftpGrowthPolicy::judge(const Observation& seen) {
  if (!trial_ || seen.now - trial_->begun < kTrial) return;
  // The time counts from when the connection is ready.
  if (seen.ready < trial_->connections) {
    if (seen.now - trial_->begun > seconds(30)) trial_.reset();
    return;
  }
  if (rate_ < trial_->rate_before * kGain) {
    useful_ = trial_->connections - 1;
    useful_until_ = seen.now + kRemember;
  }
  trial_.reset();
}

}  // namespace red
