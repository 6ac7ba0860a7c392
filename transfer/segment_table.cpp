#include "transfer/segment_table.h"

#include <algorithm>

namespace red {

SegmentTable::Id SegmentTable::add_whole() { return add({0, kUnknownEnd}).id; }

void SegmentTable::set_size(std::uint64_t size) {
  Segment& whole = active_.begin()->second;
  whole.end = whole.request_end = size;
}

SegmentTable::Piece SegmentTable::add(ByteRange range) {
  const Id id = next_id_++;
  active_.emplace(id, Segment{range.begin, range.end, range.end});
  return {id, range};
}

std::optional<SegmentTable::Piece> SegmentTable::take() {
  if (!free_.empty()) {
    const ByteRange range = free_.back();
    free_.pop_back();
    return add(range);
  }
  const auto rest = [](const auto& entry) { return entry.second.end - entry.second.next; };
  const auto largest = std::max_element(
      active_.begin(), active_.end(),
      [&](const auto& left, const auto& right) { return rest(left) < rest(right); });
  if (largest == active_.end() || rest(*largest) < 2 * kMinPiece) return std::nullopt;
  Segment& segment = largest->second;
  if (segment.end == kUnknownEnd) return std::nullopt;
  const std::uint64_t middle = segment.next + (segment.end - segment.next) / 2;
  const ByteRange tail{middle - middle % kGrain, segment.end};
  segment.end = tail.begin;
  return add(tail);
}

std::uint64_t SegmentTable::claim(Id id, std::uint64_t count) {
  Segment& segment = active_.at(id);
  const std::uint64_t wanted = std::min(count, segment.end - segment.next);
  segment.next += wanted;
  return wanted;
}

bool SegmentTable::is_complete(Id id) const {
  const Segment& segment = active_.at(id);
  return segment.next == segment.end;
}

bool SegmentTable::is_cut_short(Id id) const {
  const Segment& segment = active_.at(id);
  return segment.end < segment.request_end;
}

bool SegmentTable::start_over(Id id) {
  if (active_.size() > 1 || !free_.empty()) return false;
  Segment& segment = active_.at(id);
  if (is_cut_short(id)) return false;
  segment.next = 0;
  return true;
}

void SegmentTable::end(Id id) {
  const Segment segment = active_.at(id);
  active_.erase(id);
  if (segment.next == segment.end) return;
  const ByteRange missing{segment.next, segment.end};
  if (!give_to_predecessor(missing)) free_.push_back(missing);
}

/// A read that still goes on may run through what another did not even begin.
bool SegmentTable::give_to_predecessor(ByteRange missing) {
  for (auto& [id, segment] : active_) {
    const bool goes_on = segment.next < segment.end;
    if (goes_on && segment.end == missing.begin && segment.request_end >= missing.end) {
      segment.end = missing.end;
      return true;
    }
  }
  return false;
}

}  // namespace red
