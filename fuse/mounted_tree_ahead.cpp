// What MountedTree fetches before anybody asks for it.
#include <algorithm>
#include <utility>

#include "fuse/mounted_tree.h"

namespace red {
namespace {

// Sizes that a listing does not tell are asked for ahead of the reader, more the longer it goes on.
constexpr std::size_t kFirstStatWindow = 32;
constexpr std::size_t kMaxStatWindow = 1024;
// Directories are listed ahead of a reader who goes from one to the next, likewise.
constexpr std::size_t kFirstListWindow = 4;
constexpr std::size_t kMaxListWindow = 256;
constexpr std::size_t kMaxListedAhead = 1000;
// A directory that is being worked in is listed again before its listing expires, up to this size.
constexpr std::size_t kMostRefreshed = 5000;
// Files that are fetched whole before they are opened: larger ones are read ahead once they are.
constexpr std::uint64_t kMaxWholeFile = 4 * 1024 * 1024;
constexpr std::size_t kMaxFetchedAhead = 1000;

}  // namespace

/// Lets go of what was held so long that it is not wanted any more, or is too much.
void MountedTree::release_oldest(std::deque<std::pair<TimePoint, NodeId>>& held,
                                 std::size_t max_count) {
  const TimePoint now = std::chrono::steady_clock::now();
  while (!held.empty() && (held.front().first <= now || held.size() > max_count)) {
    const NodeId oldest = held.front().second;
    held.pop_front();
    release_lookups(oldest, 1);
  }
}

// --- directories ---

/// A program that goes from one directory to its sibling is likely to go on: find, tar, rsync.
void MountedTree::list_ahead(NodeId directory) {
  std::vector<NodeId> wanted;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = std::chrono::steady_clock::now();
    release_oldest(listed_ahead_, kMaxListedAhead);
    const auto found = nodes_.find(directory);
    if (directory == kRootNode || found == nodes_.end()) return;
    const NodeId parent = found->second.parent;
    const std::shared_ptr<DirectoryListing> siblings = nodes_.at(parent).directory->listing;
    const auto position = siblings ? siblings->find(found->second.name) : std::nullopt;
    if (!position) return;
    const auto [begin, end] =
        siblings->list_ahead.advance(*position, kFirstListWindow, kMaxListWindow, siblings->size());
    for (std::size_t at = begin; at < end; ++at) {
      const ChildEntry& entry = (*siblings)[at];
      if (entry.kind != EntryKind::Directory) continue;
      const NodeId id = find_or_add_child(parent, entry.name, entry.kind);
      Node& node = node_at(id);
      if (node.directory->is_loading || node.directory->listing) continue;
      ++node.lookups;
      listed_ahead_.emplace_back(now + options_.attribute_lifetime, id);
      wanted.push_back(id);
    }
  }
  for (const NodeId id : wanted) {
    load_listing(id, Priority::Background,
                 [](const Error*, const std::shared_ptr<DirectoryListing>&) {});
  }
}

/// Whoever makes one file after the other asks for names that do not exist: with a fresh listing
/// the answer needs no round trip.
void MountedTree::refresh_ahead(NodeId directory) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(directory);
    if (found == nodes_.end() || !found->second.directory) return;
    Directory& state = *found->second.directory;
    const TimePoint now = std::chrono::steady_clock::now();
    const bool is_due = state.listing && state.changes > 0 &&
                        state.listing->size() + state.unlisted.size() <= kMostRefreshed &&
                        now < state.listing->valid_until() &&
                        now + options_.attribute_lifetime / 2 > state.listing->valid_until();
    if (!is_due || std::exchange(state.is_loading, true)) return;
    state.changes_when_asked = state.changes;
  }
  fetch_listing(directory, Priority::Background);
}

// --- attributes ---

/// A program that asks for the size of one file of a directory usually goes on with the next ones.
void MountedTree::stat_siblings_ahead(NodeId directory, const std::string& name) {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(directory);
    if (found == nodes_.end() || !found->second.directory->listing) return;
    DirectoryListing& listing = *found->second.directory->listing;
    const auto position = listing.find(name);
    if (!position) return;
    const TimePoint now = std::chrono::steady_clock::now();
    const auto [begin, end] =
        listing.stat_ahead.advance(*position, kFirstStatWindow, kMaxStatWindow, listing.size());
    for (std::size_t at = begin; at < end; ++at) {
      const ChildEntry& entry = listing[at];
      if (!entry.is_complete(now)) names.push_back(entry.name);
    }
  }
  for (const std::string& next : names) {
    stat_child(directory, next, Ask::IfIncomplete, Priority::Background, [](const Error*) {});
  }
}

// --- files ---

/// A program that opens one small file of a directory after the other gets the next ones before it
/// asks for them.
void MountedTree::fetch_files_ahead(NodeId id) {
  if (options_.writable || !options_.keep_cache) return;
  std::vector<std::shared_ptr<CachedFile>> files;
  std::stop_source given_up(std::nostopstate);
  std::stop_token stop;
  {
    const std::lock_guard lock(mutex_);
    release_oldest(fetched_ahead_, kMaxFetchedAhead);
    const auto node = nodes_.find(id);
    if (node == nodes_.end() || id == kRootNode) return;
    const NodeId parent = node->second.parent;
    Node& directory = node_at(parent);
    Directory& state = *directory.directory;
    const auto listing = state.listing;
    const auto ranks = listing ? listing->ranks_of(node->second.name) : std::nullopt;
    if (!ranks) return;
    std::optional<FileOrder> expected;
    if (files_reader_ && files_reader_->parent == directory.parent) {
      expected = files_reader_->order;
    }
    const auto step = state.files_ahead.opened(*ranks, expected);
    if (step.is_broken) given_up = std::exchange(state.files_ahead_stop, std::stop_source());
    if (const auto order = state.files_ahead.order()) {
      files_reader_ = FilesReader{directory.parent, *order};
    }
    if (step.order) files = files_to_fetch(parent, *listing, step);
    stop = state.files_ahead_stop.get_token();
  }
  given_up.request_stop();
  for (const auto& file : files) file->read_ahead({0, file->size().value_or(0)}, stop);
}

std::vector<std::shared_ptr<CachedFile>> MountedTree::files_to_fetch(
    NodeId directory, DirectoryListing& listing, const FilesAheadPolicy::Step& step) {
  std::vector<std::shared_ptr<CachedFile>> files;
  FilesAheadPolicy& policy = node_at(directory).directory->files_ahead;
  const TimePoint now = std::chrono::steady_clock::now();
  const auto wanted_size = [&](std::size_t rank) -> std::uint64_t {
    const ChildEntry& entry = listing.at(*step.order, rank);
    const bool is_wanted = entry.kind == EntryKind::File && entry.is_complete(now);
    const std::uint64_t size = is_wanted ? entry.size.value_or(0) : 0;
    return size > kMaxWholeFile ? 0 : size;
  };
  // What has been fetched and not been opened yet counts, too.
  std::uint64_t bytes = 0;
  for (std::size_t rank = policy.position() + 1; rank < std::min(step.begin, listing.size());
       ++rank) {
    bytes += wanted_size(rank);
  }
  for (std::size_t rank = step.begin; rank < std::min(step.end, listing.size()); ++rank) {
    const std::uint64_t size = wanted_size(rank);
    if (size == 0) continue;
    bytes += size;
    if (bytes > read_ahead_.share()) {
      policy.stopped_at(rank);
      break;
    }
    const ChildEntry& entry = listing.at(*step.order, rank);
    if (entry_of(directory, entry.name) != &entry) continue;
    const NodeId id = find_or_add_child(directory, entry.name, entry.kind);
    Node& node = node_at(id);
    ++node.lookups;
    fetched_ahead_.emplace_back(now + options_.attribute_lifetime, id);
    // The kernel has what has been opened before.
    if (node.content && node.content->id != 0 && node.content->in_page_cache == node.content->id)
      continue;
    bool has_changed = false;
    files.push_back(content_of(id, entry, has_changed));
  }
  return files;
}

}  // namespace red
