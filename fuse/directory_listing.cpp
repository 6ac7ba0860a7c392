#include "fuse/directory_listing.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace red {

Version ChildEntry::version() const {
  return {etag, modified_is_exact ? std::optional(modified) : std::nullopt, size};
}

bool ChildEntry::is_complete(TimePoint now) const {
  return kind != EntryKind::File || (now < valid_until && (size || size_is_untold));
}

DirectoryListing::DirectoryListing(std::vector<Entry> entries, FileTime default_time,
                                   TimePoint valid_until)
    : valid_until_(valid_until) {
  entries_.reserve(entries.size());
  for (Entry& entry : entries) {
    ChildEntry child;
    child.name = std::move(entry.name);
    child.name.shrink_to_fit();
    child.etag = std::move(entry.etag);
    child.etag_is_listed = !child.etag.empty();
    child.size = entry.size;
    child.modified = entry.modified.value_or(default_time);
    child.modified_is_exact = entry.modified && entry.modified_is_exact;
    child.kind = entry.kind;
    if (entry.mode) child.mode = static_cast<std::uint16_t>(*entry.mode);
    child.link_target = std::move(entry.link_target);
    if (entry.size || entry.kind == EntryKind::Symlink) child.valid_until = valid_until;
    add(std::move(child));
  }
  sort_names();
}

DirectoryListing::DirectoryListing(const DirectoryListing& older,
                                   std::map<std::string, ChildEntry, std::less<>> added,
                                   const std::function<bool(const std::string&)>& is_removed)
    : stat_ahead(older.stat_ahead), list_ahead(older.list_ahead), valid_until_(older.valid_until_) {
  entries_.reserve(older.size() + added.size());
  for (const ChildEntry& entry : older.entries_) {
    if (!added.contains(entry.name) && !is_removed(entry.name)) add(entry);
  }
  for (auto& [name, entry] : added) add(std::move(entry));
  sort_names();
}

void DirectoryListing::add(ChildEntry entry) {
  footprint_ += sizeof(ChildEntry) + 2 * sizeof(std::uint32_t) + entry.name.capacity() +
                entry.etag.capacity() + entry.link_target.capacity();
  entries_.push_back(std::move(entry));
}

void DirectoryListing::sort_names() {
  by_name_.resize(entries_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  std::ranges::sort(by_name_, {},
                    [this](std::uint32_t i) -> const std::string& { return entries_[i].name; });
}

std::optional<std::size_t> DirectoryListing::find(std::string_view name) const {
  const auto position = std::ranges::lower_bound(
      by_name_, name, {}, [this](std::uint32_t i) { return std::string_view(entries_[i].name); });
  if (position == by_name_.end() || entries_[*position].name != name) return std::nullopt;
  return *position;
}

void DirectoryListing::sort_numerically() {
  if (numerically_.size() == entries_.size()) return;
  numerically_ = by_name_;
  std::ranges::sort(numerically_, numerically_before,
                    [this](std::uint32_t i) -> std::string_view { return entries_[i].name; });
}

std::optional<FileRanks> DirectoryListing::ranks_of(std::string_view name) {
  const auto listed = find(name);
  if (!listed) return std::nullopt;
  sort_numerically();
  const auto name_at = [this](std::uint32_t i) { return std::string_view(entries_[i].name); };
  const auto by_name = std::ranges::lower_bound(by_name_, name, {}, name_at);
  const auto numeric = std::ranges::lower_bound(numerically_, name, numerically_before, name_at);
  return FileRanks{*listed, static_cast<std::size_t>(by_name - by_name_.begin()),
                   static_cast<std::size_t>(numeric - numerically_.begin())};
}

ChildEntry& DirectoryListing::at(FileOrder order, std::size_t rank) {
  if (order == FileOrder::Listed) return entries_[rank];
  return entries_[(order == FileOrder::ByName ? by_name_ : numerically_)[rank]];
}

std::pair<std::size_t, std::size_t> DirectoryListing::Ahead::advance(std::size_t position,
                                                                     std::size_t first_window,
                                                                     std::size_t max_window,
                                                                     std::size_t size) {
  window = window == 0 ? first_window : std::min(window * 2, max_window);
  std::size_t begin = std::max(position + 1, frontier);
  if (position + max_window < frontier) begin = position + 1;
  frontier = std::min(begin + window, size);
  return {std::min(begin, frontier), frontier};
}

void DirectoryListing::distrust_files() {
  for (ChildEntry& entry : entries_) entry.valid_until = {};
}

void DirectoryListing::inherit(const DirectoryListing& older, TimePoint now) {
  for (ChildEntry& entry : entries_) {
    const auto position = older.find(entry.name);
    if (!position) continue;
    const ChildEntry& known = older.entries_[*position];
    if (known.kind != entry.kind) continue;
    if (!entry.size && known.is_complete(now)) {
      entry.size = known.size;
      entry.size_is_untold = known.size_is_untold;
      entry.valid_until = known.valid_until;
      entry.etag = known.etag;
    }
    // A listing that tells minutes agrees with a time that is known to the second.
    const auto difference = known.modified - entry.modified;
    const bool agrees =
        difference < std::chrono::minutes(1) && -difference < std::chrono::minutes(1);
    if (known.modified_is_exact && !entry.modified_is_exact && agrees && entry.size == known.size) {
      entry.modified = known.modified;
      entry.modified_is_exact = true;
      if (entry.etag.empty()) entry.etag = known.etag;
    }
  }
}

}  // namespace red
