#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>

#include "common/clock.h"

namespace red {
namespace {

using namespace std::chrono_literals;

std::string size_text(double bytes) {
  constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  // 999.5 would be shown as 1000.
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit > 0 && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes,
                kUnits[unit]);
  return text.data();
}

std::string time_text(double seconds) {
  const auto whole = static_cast<long>(std::ceil(seconds));
  std::array<char, 32> text{};
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%ld:%02ld", whole / 60, whole % 60);
  }
  return text.data();
}

bool knows_the_end(const ProgressState& state) {
  return state.bytes_expected > 0 && state.bytes_done <= state.bytes_expected;
}

double fraction_of(const ProgressState& state) {
  return static_cast<double>(state.bytes_done) / static_cast<double>(state.bytes_expected);
}

std::string percent_text(const ProgressState& state) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%3d%%", static_cast<int>(fraction_of(state) * 100));
  return text.data();
}

std::string time_left_text(const ProgressState& state) {
  // Nobody believes in weeks, and a stalled transfer has no end.
  constexpr double kLongest = 100 * 3600;
  const double left = static_cast<double>(state.bytes_expected - state.bytes_done);
  if (left > state.bytes_per_second * kLongest) return "--:-- left";
  return time_text(left > 0 ? left / state.bytes_per_second : 0) + " left";
}

std::string bar_text(double fraction, std::size_t columns) {
  const auto full = static_cast<std::size_t>(fraction * static_cast<double>(columns));
  return "[" + std::string(full, '#') + std::string(columns - full, ' ') + "]";
}

std::size_t terminal_width() {
  winsize size = {};
  constexpr std::size_t kUsual = 80;
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kUsual;
}

void write_to_terminal(std::string_view text) {
  // A terminal that went away ends nothing.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Bytes per second over the last few seconds.
class RateMeter {
 public:
  double update(std::uint64_t bytes, TimePoint now) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (seconds <= 0) return rate_;
    const double current =
        std::max(0.0, static_cast<double>(bytes) - static_cast<double>(last_bytes_)) / seconds;
    // The average over all of the past at first, then weighed with a time constant.
    elapsed_ += seconds;
    const double weight = std::max(seconds / elapsed_, 1 - std::exp(-seconds / kMemory));
    rate_ += weight * (current - rate_);
    last_ = now;
    last_bytes_ = bytes;
    return rate_;
  }

 private:
  static constexpr double kMemory = 3;  ///< seconds

  TimePoint last_ = std::chrono::steady_clock::now();
  std::uint64_t last_bytes_ = 0;
  double elapsed_ = 0;
  double rate_ = 0;
};

/// Draws with a thread of its own, so that a stalled transfer is seen to be stalled.
class ProgressBar final : public Progress {
 public:
  ProgressBar() : thread_([this](const std::stop_token& stop) { draw_until(stop); }) {}

  void expect(std::uint64_t files, std::uint64_t bytes) noexcept override {
    files_expected_ += files;
    bytes_expected_ += bytes;
  }
  void advance(std::int64_t bytes) noexcept override { bytes_done_ += bytes; }
  void file_done() noexcept override { ++files_done_; }

 private:
  static constexpr auto kPause = 100ms;

  void draw_until(const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any ended;
    // What is done within the first pause needs no bar.
    while (!ended.wait_for(lock, stop, kPause, [&] { return stop.stop_requested(); })) draw();
    if (drawn_) write_to_terminal("\r\x1b[K");
  }

  void draw() {
    ProgressState state;
    state.bytes_done = static_cast<std::uint64_t>(std::max<std::int64_t>(0, bytes_done_));
    state.bytes_expected = bytes_expected_;
    state.files_done = files_done_;
    state.files_expected = files_expected_;
    state.bytes_per_second = rate_.update(state.bytes_done, std::chrono::steady_clock::now());
    write_to_terminal("\r" + progress_line(state, terminal_width() - 1) + "\x1b[K");
    drawn_ = true;
  }

  std::atomic<std::uint64_t> files_expected_ = 0;
  std::atomic<std::uint64_t> bytes_expected_ = 0;
  std::atomic<std::int64_t> bytes_done_ = 0;
  std::atomic<std::uint64_t> files_done_ = 0;

  // of the thread
  RateMeter rate_;
  bool drawn_ = false;

  std::jthread thread_;
};

bool stderr_can_show_a_bar() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal && *terminal &&
         std::string_view(terminal) != "dumb";
}

}  // namespace

std::string progress_line(const ProgressState& state, std::size_t width) {
  const bool has_end = knows_the_end(state);
  std::string bytes = size_text(static_cast<double>(state.bytes_done));
  if (has_end) bytes += " of " + size_text(static_cast<double>(state.bytes_expected));
  // The most important first; the bar takes what is left.
  std::string text;
  const auto add = [&](const std::string& part) {
    if (text.size() + 2 + part.size() <= width) text += (text.empty() ? "" : "  ") + part;
  };
  if (has_end) add(percent_text(state));
  add(bytes);
  add(size_text(state.bytes_per_second) + "/s");
  if (has_end) add(time_left_text(state));
  if (state.files_expected > 1) {
    add(std::to_string(state.files_done) + " of " + std::to_string(state.files_expected) +
        " files");
  }
  constexpr std::size_t kLeastBar = 10, kMostBar = 40, kAroundBar = 4;
  if (!has_end || text.size() + kLeastBar + kAroundBar > width) return text;
  const std::size_t columns = std::min(kMostBar, width - text.size() - kAroundBar);
  return bar_text(fraction_of(state), columns) + "  " + text;
}

std::unique_ptr<Progress> make_progress(bool quiet) {
  if (quiet || !stderr_can_show_a_bar()) return std::make_unique<SilentProgress>();
  return std::make_unique<ProgressBar>();
}

}  // namespace red
