#include "fuse/files_ahead.h"

#include <algorithm>
#include <string_view>

namespace red {
namespace {

// So many steps forward make an order: two could be chance in a small directory.
constexpr int kStepsOfOrder = 2;
// Readers that share the work overtake each other by about as many files as they are, and skip some
// that need not be read.
constexpr std::size_t kReach = 16;
constexpr std::size_t kFirstWindow = 8;
// At 1,000 files/s a round trip of 100 ms takes 100 files; twice that keeps the line busy.
constexpr std::size_t kMaxWindow = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The run of digits at the beginning, without leading zeros; `text` moves behind it.
std::string_view take_number(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  std::string_view number(text.begin(), end);
  text.remove_prefix(number.size());
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

}  // namespace

FilesAheadPolicy::Step FilesAheadPolicy::opened(const FileRanks& ranks,
                                                std::optional<FileOrder> expected) {
  Step step;
  if (order_) {
    const std::size_t rank = ranks[static_cast<std::size_t>(*order_)];
    if (rank + kReach < position_ || rank > std::max(frontier_, position_ + 1) + kReach) {
      *this = {};
      step.is_broken = true;
    } else {
      position_ = std::max(position_, rank);
    }
  }
  if (!order_) look_for_order(ranks, expected);
  if (!order_) return step;
  frontier_ = std::max(frontier_, position_ + 1);
  // More only when half of the window is used up.
  if (frontier_ - position_ - 1 > window_ / 2) return step;
  window_ = window_ == 0 ? kFirstWindow : std::min(window_ * 2, kMaxWindow);
  step.order = order_;
  step.begin = frontier_;
  step.end = position_ + 1 + window_;
  frontier_ = step.end;
  return step;
}

void FilesAheadPolicy::look_for_order(const FileRanks& ranks, std::optional<FileOrder> expected) {
  if (!furthest_) {
    furthest_ = ranks;
    if (expected && ranks[static_cast<std::size_t>(*expected)] == 0) begin(*expected, 0);
    return;
  }
  for (std::size_t i = 0; i < kFileOrders; ++i) {
    std::size_t& furthest = (*furthest_)[i];
    const bool is_step = ranks[i] > furthest && ranks[i] <= furthest + kReach;
    const bool is_overtaken = ranks[i] <= furthest && ranks[i] + kReach >= furthest;
    if (is_step) ++steps_[i];
    if (!is_step && !is_overtaken) steps_[i] = 0;
    if (!is_overtaken) furthest = ranks[i];
    if (steps_[i] >= kStepsOfOrder) return begin(static_cast<FileOrder>(i), ranks[i]);
  }
}

void FilesAheadPolicy::begin(FileOrder order, std::size_t rank) {
  order_ = order;
  position_ = rank;
  frontier_ = rank + 1;
}

bool numerically_before(std::string_view left, std::string_view right) {
  const std::string_view whole_left = left;
  const std::string_view whole_right = right;
  while (!left.empty() && !right.empty()) {
    if (is_digit(left.front()) && is_digit(right.front())) {
      const std::string_view a = take_number(left);
      const std::string_view b = take_number(right);
      if (a.size() != b.size()) return a.size() < b.size();
      if (a != b) return a < b;
      continue;
    }
    if (left.front() != right.front()) {
      return static_cast<unsigned char>(left.front()) < static_cast<unsigned char>(right.front());
    }
    left.remove_prefix(1);
    right.remove_prefix(1);
  }
  if (left.empty() != right.empty()) return left.empty();
  return whole_left < whole_right;  // differ in leading zeros only
}

}  // namespace red
