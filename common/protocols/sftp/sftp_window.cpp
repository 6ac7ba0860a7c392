#include "common/protocols/sftp/sftp_window.h"

#include <algorithm>

namespace red {
namespace {

using std::chrono::milliseconds;

// Long enough to hold some answers, short enough to follow a connection that speeds up.
constexpr Duration kMinInterval = milliseconds(20);
// The best of these counts: a pause of the reader is not a slow line.
constexpr std::size_t kIntervals = 10;
// An interval that nobody filled says nothing about the line.
constexpr int kIdleFactor = 4;

}  // namespace

void SftpWindow::answered(TimePoint sent, TimePoint now) {
  const Duration taken = now - sent;
  if (!round_trip_ || taken < *round_trip_) round_trip_ = taken;
}

void SftpWindow::received(std::uint64_t bytes, TimePoint now) {
  const Duration interval = std::max(kMinInterval, round_trip_.value_or(kMinInterval));
  const Duration passed = now - interval_begin_;
  if (passed > interval * kIdleFactor) {
    interval_begin_ = now;
    interval_bytes_ = 0;
    return;
  }
  interval_bytes_ += bytes;
  if (passed >= interval) end_interval(now);
}

void SftpWindow::end_interval(TimePoint now) {
  const std::chrono::duration<double> passed = now - interval_begin_;
  rates_.push_back(static_cast<double>(interval_bytes_) / passed.count());
  if (rates_.size() > kIntervals) rates_.pop_front();
  interval_begin_ = now;
  interval_bytes_ = 0;
  if (!round_trip_) return;
  const std::chrono::duration<double> round_trip = *round_trip_;
  const double wanted = 2 * *std::max_element(rates_.begin(), rates_.end()) * round_trip.count();
  limit_ = std::clamp(static_cast<std::uint64_t>(wanted), kMin, kMax);
}

}  // namespace red
