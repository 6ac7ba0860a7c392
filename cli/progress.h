#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "transfer/progress.h"

namespace red {

/// How far a transfer is.
struct ProgressState {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_expected = 0;  ///< as far as known
  std::uint64_t files_done = 0;
  std::uint64_t files_expected = 0;
  double bytes_per_second = 0;
};

/// The line for a terminal of `width` columns: bar, bytes, rate, time left; files if there are
/// several. What does not fit is left out, the bar first.
std::string progress_line(const ProgressState& state, std::size_t width);

/// A bar on stderr if that is a terminal that can move its cursor; nothing if it is not, or
/// `quiet`. The bar disappears with the object. May start a thread.
std::unique_ptr<Progress> make_progress(bool quiet);

}  // namespace red
