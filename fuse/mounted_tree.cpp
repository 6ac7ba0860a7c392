#include "fuse/mounted_tree.h"

#include <algorithm>
#include <utility>

#include "common/logging.h"

namespace red {
namespace {

constexpr std::string_view kUrlAttribute = "user.red.url";
constexpr std::string_view kEtagAttribute = "user.red.etag";
constexpr std::string_view kContentTypeAttribute = "user.red.content_type";

// A directory of so many names is listed anew in about the time that one name takes.
constexpr std::size_t kCheaplyListed = 100;
// Names that do not exist are remembered; a program that tries endless names must not fill memory.
constexpr std::size_t kMaxAbsentNames = 10'000;
// Times of files have full seconds with some protocols, and clocks differ a little.
constexpr std::chrono::seconds kTimeGrain{2};
// A file with a checksum is proved before its first byte is delivered if it is at most such a part
// of the cache: then what was fetched for that is still there when it is read.
constexpr std::uint64_t kProvedShare = 4;
constexpr std::uint64_t kAheadShare = 8;  // read ahead for the proof of one file
// A node in the table, with what the containers around it take.
constexpr std::int64_t kNodeFootprint = 200;

NodeId hash_of(NodeId parent, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ parent;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  hash ^= hash >> 31;
  return std::max<NodeId>(hash, kRootNode + 1);
}

Error no_such_entry(const std::string& name) {
  return Error(ErrorKind::NotFound, "\"" + name + "\" does not exist");
}

}  // namespace

void MountedTree::check_length(const std::string& name) {
  constexpr std::size_t kMaxName = 255;  // bytes, as statvfs says
  if (name.size() > kMaxName) throw Error::local_io(ENAMETOOLONG, "a name");
}

MountedTree::MountedTree(std::unique_ptr<RemoteStore> store, Timer& timer, const Options& options)
    : options_(options),
      timer_(timer),
      mounted_at_(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())),
      cache_(static_cast<std::size_t>(options.cache_bytes)),
      read_ahead_(options.cache_bytes),
      store_(std::move(store)) {
  Node& root = nodes_[kRootNode];
  root.kind = EntryKind::Directory;
  root.directory = std::make_unique<Directory>();
  root.lookups = 1;
}

MountedTree::~MountedTree() { shut_down(); }

void MountedTree::shut_down() {
  for (const auto& file : edited_files()) file->give_up();
  stop_.request_stop();
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, node] : nodes_) {
      if (node.directory) node.directory->files_ahead_stop.request_stop();
    }
  }
  workers_.stop();
}

void MountedTree::set_invalidation(Invalidation invalidation) {
  invalidation_ = std::move(invalidation);
}

RequestContext MountedTree::context(Priority priority) const {
  return {std::chrono::steady_clock::now() + options_.request_limit, stop_.get_token(), priority};
}

bool MountedTree::run_on_worker(Priority priority, std::function<void()> task) {
  return !stop_.stop_requested() && workers_.submit(priority, std::move(task));
}

void MountedTree::load_root() {
  std::vector<Entry> entries;
  try {
    entries = store_->list(RemotePath{}, context(Priority::Demand));
  } catch (const Error& error) {
    if (!options_.writable || error.kind() != ErrorKind::NotFound || !store_->uploader()) throw;
    store_->uploader()->make_directory({}, {}, context(Priority::Demand));
  }
  root_ = {kRootNode, EntryKind::Directory, 0, mounted_at_, options_.attribute_lifetime, {}};
  // Where there are permissions, the root has some as well.
  if (std::ranges::any_of(entries, [](const Entry& entry) { return entry.mode.has_value(); })) {
    if (const auto root = store_->stat({}, context(Priority::Demand))) {
      root_.mode = root->mode;
      root_.modified = root->modified.value_or(mounted_at_);
    }
  }
  listing_loaded(kRootNode, nullptr, std::move(entries));
}

void MountedTree::set_attribute_invalidation(std::function<void(NodeId)> invalidation) {
  attribute_invalidation_ = std::move(invalidation);
}

// --- nodes ---

MountedTree::Node& MountedTree::node_at(NodeId id) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) throw Error::local_io(ESTALE, "a file that is no longer known");
  return found->second;
}

NodeId MountedTree::number_of(NodeId directory, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  if (aliases_.empty()) return hash_of(directory, name);
  const auto alias = aliases_.find({directory, std::string(name)});
  return alias == aliases_.end() ? hash_of(directory, name) : alias->second;
}

NodeId MountedTree::parent_of(NodeId node) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found == nodes_.end() || node == kRootNode ? kRootNode : found->second.parent;
}

NodeId MountedTree::find_or_add_child(NodeId directory, std::string_view name, EntryKind kind) {
  if (const NodeId known = find_child(directory, name); known != 0 && node_at(known).kind == kind) {
    return known;
  }
  NodeId id = hash_of(directory, name);
  // Two names with one hash, or a file that has become a directory: the next number.
  while (nodes_.contains(id)) ++id;
  if (id != hash_of(directory, name)) aliases_[{directory, std::string(name)}] = id;
  Node& node = nodes_[id];
  node.parent = directory;
  node.name = name;
  node.kind = kind;
  if (kind == EntryKind::Directory) node.directory = std::make_unique<Directory>();
  ++node_at(directory).children;
  charge(kNodeFootprint);
  return id;
}

/// 0 if no node stands for the name.
NodeId MountedTree::find_child(NodeId directory, std::string_view name) const {
  const auto is_it = [&](const Node& node) {
    return node.parent == directory && node.name == name && !node.is_unlinked;
  };
  if (!aliases_.empty()) {
    const auto alias = aliases_.find({directory, std::string(name)});
    const auto found = alias == aliases_.end() ? nodes_.end() : nodes_.find(alias->second);
    if (found != nodes_.end() && is_it(found->second)) return found->first;
  }
  const auto found = nodes_.find(hash_of(directory, name));
  if (found != nodes_.end() && is_it(found->second)) return found->first;
  return 0;
}

void MountedTree::erase_if_unused(NodeId id) {
  while (id != kRootNode) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || found->second.lookups > 0 || found->second.children > 0) return;
    const Node& node = found->second;
    if (node.directory && (node.directory->is_loading || !node.directory->waiting.empty())) return;
    const NodeId parent = node.parent;
    if (node.directory && node.directory->listing) {
      charge(-static_cast<std::int64_t>(node.directory->listing->footprint()));
    }
    if (const auto alias = aliases_.find({parent, node.name});
        alias != aliases_.end() && alias->second == id) {
      aliases_.erase(alias);
    }
    opened_.erase(id);
    nodes_.erase(found);
    charge(-kNodeFootprint);
    --node_at(parent).children;
    id = parent;
  }
}

void MountedTree::charge(std::int64_t bytes) { cache_.reserve(bytes); }

void MountedTree::forget(NodeId id, std::uint64_t lookups) {
  const std::lock_guard lock(mutex_);
  release_lookups(id, lookups);
}

void MountedTree::release_lookups(NodeId id, std::uint64_t lookups) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || id == kRootNode) return;
  found->second.lookups -= std::min(found->second.lookups, lookups);
  erase_if_unused(id);
}

RemotePath MountedTree::path_of(NodeId id) const {
  std::vector<const std::string*> names;
  for (NodeId at = id; at != kRootNode;) {
    const Node& node = nodes_.at(at);
    names.push_back(&node.name);
    at = node.parent;
  }
  RemotePath path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) path = path.child(**name);
  return path;
}

// --- what is known of names ---

ChildEntry* MountedTree::entry_of(NodeId directory, std::string_view name) {
  const auto found = nodes_.find(directory);
  if (found == nodes_.end() || !found->second.directory) return nullptr;
  Directory& state = *found->second.directory;
  const auto unlisted = state.unlisted.find(name);
  if (unlisted != state.unlisted.end()) return &unlisted->second;
  if (!state.listing || state.removed.contains(name)) return nullptr;
  const auto position = state.listing->find(name);
  return position ? &(*state.listing)[*position] : nullptr;
}

Attributes MountedTree::root_attributes() const { return root_; }

/// What is known of something that has, or had, a name.
ChildEntry* MountedTree::known_of(NodeId id) {
  Node& node = node_at(id);
  if (id == kRootNode) return nullptr;
  if (!node.is_unlinked) return entry_of(node.parent, node.name);
  return node.last_known ? &*node.last_known : nullptr;
}

Attributes MountedTree::attributes_of(NodeId id) {
  if (id == kRootNode) return root_attributes();
  const Node& node = node_at(id);
  Attributes attributes{id, node.kind, 0, mounted_at_, {}, {}};
  ChildEntry* entry = known_of(id);
  const auto written = node.is_unlinked ? node.edited.lock() : being_written(node);
  if (written && entry != nullptr) {
    entry->size = written->size();
    entry->modified = written->modified();
  }
  if (entry != nullptr) {
    attributes.size =
        node.kind == EntryKind::Symlink ? entry->link_target.size() : entry->size.value_or(0);
    attributes.mode = entry->mode;
    attributes.modified = entry->modified;
    const Duration left = entry->valid_until - std::chrono::steady_clock::now();
    if (entry->size || node.kind == EntryKind::Symlink) {
      attributes.valid_for = std::max(left, Duration::zero());
    }
    if (written) attributes.valid_for = options_.attribute_lifetime;
  } else if (written) {
    attributes.size = written->size();
    attributes.modified = written->modified();
  } else if (node.content) {
    // Gone from the listing while it is open: what the open handles read is still true of them.
    attributes.size = node.content->version.size.value_or(0);
    attributes.modified = node.content->version.modified.value_or(mounted_at_);
  }
  if (node.kind == EntryKind::Directory) attributes.valid_for = options_.attribute_lifetime;
  attributes.same_file_as = node.same_file_as;
  return attributes;
}

void MountedTree::store_stat(NodeId directory, const std::string& name,
                             const std::optional<Entry>& found) {
  const auto position = nodes_.find(directory);
  if (position == nodes_.end() || !position->second.directory) return;
  Directory& state = *position->second.directory;
  const TimePoint valid_until = std::chrono::steady_clock::now() + options_.attribute_lifetime;
  ChildEntry* entry = entry_of(directory, name);
  if (!found) {
    if (entry != nullptr && state.listing) state.listing->expire();
    state.unlisted.erase(name);
    if (state.absent.size() >= kMaxAbsentNames) state.absent.clear();
    state.absent[name] = valid_until;
    return;
  }
  state.absent.erase(name);
  if (entry == nullptr) {
    entry = &state.unlisted[name];
    entry->name = name;
    entry->kind = found->kind;
    entry->modified = mounted_at_;
  }
  if (found->mode) entry->mode = static_cast<std::uint16_t>(*found->mode);
  entry->link_target = found->link_target;
  entry->size = found->size;
  entry->size_is_untold = !found->size.has_value();
  entry->etag = found->etag;
  if (found->modified) {
    entry->modified = *found->modified;
    entry->modified_is_exact = found->modified_is_exact;
  }
  entry->valid_until = valid_until;
}

// --- listings ---

void MountedTree::load_listing(NodeId directory, Priority priority, ListingReply reply) {
  std::shared_ptr<DirectoryListing> listing;
  {
    const std::lock_guard lock(mutex_);
    Node& node = node_at(directory);
    if (!node.directory) throw Error::local_io(ENOTDIR, node.name);
    Directory& state = *node.directory;
    if (state.listing && std::chrono::steady_clock::now() < state.listing->valid_until()) {
      listing = state.listing;
    } else {
      if (!state.is_loading) state.changes_when_asked = state.changes;
      state.waiting.push_back(std::move(reply));
      if (std::exchange(state.is_loading, true)) return;
    }
  }
  if (listing) {
    reply(nullptr, std::move(listing));
    return;
  }
  fetch_listing(directory, priority);
}

void MountedTree::fetch_listing(NodeId directory, Priority priority) {
  RemotePath path;
  std::uint64_t moves = 0;
  {
    const std::lock_guard lock(mutex_);
    path = path_of(directory);
    moves = directory_moves_;
  }
  const bool submitted = run_on_worker(priority, [this, directory, path, moves, priority] {
    std::vector<Entry> entries;
    std::optional<Error> failure;
    try {
      entries = store_->list(path, context(priority));
    } catch (...) {
      failure = current_exception_as_error();
    }
    // Another directory may have got the path meanwhile.
    if (has_moved(directory, moves)) return fetch_listing(directory, priority);
    listing_loaded(directory, failure ? &*failure : nullptr, std::move(entries));
  });
  if (submitted) return;
  const Error error(ErrorKind::Cancelled, "the mount is being ended");
  listing_loaded(directory, &error, {});
}

bool MountedTree::has_moved(NodeId directory, std::uint64_t moves) const {
  const std::lock_guard lock(mutex_);
  return directory_moves_ != moves && nodes_.contains(directory);
}

void MountedTree::listing_loaded(NodeId directory, const Error* error, std::vector<Entry> entries) {
  const TimePoint now = std::chrono::steady_clock::now();
  std::shared_ptr<DirectoryListing> listing;
  if (error == nullptr) {
    listing = std::make_shared<DirectoryListing>(std::move(entries), mounted_at_,
                                                 now + options_.attribute_lifetime);
  } else {
    log(LogLevel::Warning, "listing a directory: " + error->message());
  }
  std::vector<ListingReply> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(directory);
    if (found == nodes_.end()) return;
    Directory& state = *found->second.directory;
    state.is_loading = false;
    waiting.swap(state.waiting);
    if (listing) {
      charge(static_cast<std::int64_t>(listing->footprint()));
      if (state.listing) {
        listing->inherit(*state.listing, now);
        charge(-static_cast<std::int64_t>(state.listing->footprint()));
      }
      state.listing = listing;
      if (state.changes == state.changes_when_asked) {
        state.unlisted.clear();
        state.absent.clear();
        state.removed.clear();
      } else {
        // It may tell of files as they were before.
        listing->distrust_files();
      }
    }
    erase_if_unused(directory);
  }
  for (const ListingReply& reply : waiting) reply(error, listing);
}

void MountedTree::open_directory(NodeId directory, ListingReply reply) {
  if (options_.writable) {
    reply = [this, directory, reply = std::move(reply)](const Error* error,
                                                        std::shared_ptr<DirectoryListing> listing) {
      if (error == nullptr) listing = with_changes(directory, std::move(listing));
      reply(error, std::move(listing));
    };
  }
  load_listing(directory, Priority::Demand, std::move(reply));
  list_ahead(directory);
}

std::optional<Attributes> MountedTree::enter(NodeId directory, DirectoryListing& listing,
                                             std::size_t index) {
  const std::lock_guard lock(mutex_);
  const ChildEntry& entry = listing[index];
  const TimePoint now = std::chrono::steady_clock::now();
  // A listing that has been replaced since it was opened still tells names, but no attributes.
  if (!entry.is_complete(now) || !nodes_.contains(directory) ||
      entry_of(directory, entry.name) != &entry) {
    return std::nullopt;
  }
  const NodeId id = find_or_add_child(directory, entry.name, entry.kind);
  ++node_at(id).lookups;
  return attributes_of(id);
}

// --- lookups and attributes ---

void MountedTree::lookup(NodeId directory, const std::string& name, AttributesReply reply) {
  check_length(name);
  if (!RemotePath::is_valid_name(name)) {
    reply(nullptr, {});
    return;
  }
  if (options_.writable) refresh_ahead(directory);
  // What may change at any moment is looked at by itself rather than with a large directory.
  if (options_.writable && is_better_asked_alone(directory)) {
    lookup_listed(directory, name, std::move(reply));
    return;
  }
  load_listing(directory, Priority::Demand,
               [this, directory, name, reply = std::move(reply)](
                   const Error* error, const std::shared_ptr<DirectoryListing>&) {
                 // A directory that must not be listed can still be entered by names that are
                 // known.
                 if (error == nullptr || error->kind() == ErrorKind::PermissionDenied ||
                     error->kind() == ErrorKind::Unsupported) {
                   lookup_listed(directory, name, reply);
                 } else {
                   reply(error, {});
                 }
               });
}

void MountedTree::lookup_listed(NodeId directory, const std::string& name, AttributesReply reply) {
  std::optional<Attributes> absent;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = std::chrono::steady_clock::now();
    const auto found = nodes_.find(directory);
    if (found == nodes_.end()) {
      absent.emplace();
    } else if (entry_of(directory, name) == nullptr) {
      const Directory& state = *found->second.directory;
      const auto known = state.absent.find(name);
      const bool is_trusted = trusts_in_absence(state, now);
      if (is_trusted && known != state.absent.end() && now < known->second) {
        absent.emplace().valid_for = known->second - now;
      } else if (is_trusted && state.listing && store_->listings_are_complete() &&
                 (!options_.writable || now < state.listing->valid_until())) {
        const Duration left = state.listing->valid_until() - now;
        absent.emplace().valid_for = std::max(left, Duration::zero());
      }
    }
  }
  if (absent) {
    reply(nullptr, *absent);
  } else {
    complete_child(directory, name, std::move(reply));
  }
}

/// What was made elsewhere a moment ago can be opened: where others may write, a name that is not
/// known is asked for, unless it is we who make names in that directory just now.
bool MountedTree::trusts_in_absence(const Directory& state, TimePoint now) const {
  return !options_.writable || now - state.changed_at < options_.attribute_lifetime;
}

bool MountedTree::is_better_asked_alone(NodeId directory) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(directory);
  if (found == nodes_.end() || !found->second.directory) return false;
  const Directory& state = *found->second.directory;
  return state.listing && state.listing->size() > kCheaplyListed &&
         std::chrono::steady_clock::now() >= state.listing->valid_until();
}

std::optional<Attributes> MountedTree::enter_complete(NodeId directory, const std::string& name) {
  const std::lock_guard lock(mutex_);
  const ChildEntry* entry = entry_of(directory, name);
  if (entry == nullptr || !entry->is_complete(std::chrono::steady_clock::now())) {
    return std::nullopt;
  }
  const NodeId id = find_or_add_child(directory, name, entry->kind);
  ++node_at(id).lookups;
  return attributes_of(id);
}

void MountedTree::complete_child(NodeId directory, const std::string& name, AttributesReply reply) {
  if (const auto attributes = enter_complete(directory, name)) {
    reply(nullptr, *attributes);
    return;
  }
  stat_child(directory, name, Ask::IfIncomplete, Priority::Demand,
             [this, directory, name, reply = std::move(reply)](const Error* error) {
               Attributes absent;
               absent.valid_for = absence_lifetime(directory);
               reply(error, error == nullptr ? enter_complete(directory, name).value_or(absent)
                                             : Attributes{});
             });
  stat_siblings_ahead(directory, name);
}

/// How long the kernel may believe that a name does not exist.
Duration MountedTree::absence_lifetime(NodeId directory) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(directory);
  if (found == nodes_.end() || !found->second.directory) return {};
  const bool is_trusted =
      trusts_in_absence(*found->second.directory, std::chrono::steady_clock::now());
  return is_trusted ? options_.attribute_lifetime : Duration::zero();
}

void MountedTree::stat_child(NodeId directory, const std::string& name, Ask ask, Priority priority,
                             std::function<void(const Error*)> done) {
  RemotePath path;
  {
    std::unique_lock lock(mutex_);
    // Another request may have brought it since the caller looked.
    const ChildEntry* entry = ask == Ask::IfIncomplete ? entry_of(directory, name) : nullptr;
    if (entry != nullptr && entry->is_complete(std::chrono::steady_clock::now())) {
      lock.unlock();
      done(nullptr);
      return;
    }
    if (!nodes_.contains(directory)) {
      lock.unlock();
      const Error error = Error::local_io(ESTALE, name);
      done(&error);
      return;
    }
    auto& waiting = stats_waiting_[{directory, name}];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
    path = path_of(directory).child(name);
  }
  const auto finish = [this, directory, name](const Error* error,
                                              const std::optional<Entry>& found) {
    std::vector<std::function<void(const Error*)>> waiting;
    {
      const std::lock_guard lock(mutex_);
      if (error == nullptr) store_stat(directory, name, found);
      const auto position = stats_waiting_.find({directory, name});
      waiting.swap(position->second);
      stats_waiting_.erase(position);
    }
    for (const auto& reply : waiting) reply(error);
  };
  const bool submitted = run_on_worker(priority, [this, path, priority, finish] {
    try {
      finish(nullptr, store_->stat(path, context(priority)));
    } catch (...) {
      const Error error = current_exception_as_error();
      log(LogLevel::Warning, path.text() + ": " + error.message());
      finish(&error, std::nullopt);
    }
  });
  if (submitted) return;
  const Error error(ErrorKind::Cancelled, "the mount is being ended");
  finish(&error, std::nullopt);
}

void MountedTree::get_attributes(NodeId id, AttributesReply reply) {
  NodeId directory = 0;
  std::string name;
  Attributes attributes;
  bool is_known = false;
  {
    const std::lock_guard lock(mutex_);
    const Node& node = node_at(id);
    const ChildEntry* entry = id == kRootNode ? nullptr : entry_of(node.parent, node.name);
    is_known = node.kind == EntryKind::Directory || node.is_unlinked || being_written(node) ||
               (entry != nullptr && entry->is_complete(std::chrono::steady_clock::now()));
    if (is_known) attributes = attributes_of(id);
    directory = node.parent;
    name = node.name;
  }
  if (is_known) {
    reply(nullptr, attributes);
    return;
  }
  stat_child(directory, name, Ask::IfIncomplete, Priority::Demand,
             [this, id, reply = std::move(reply)](const Error* error) {
               if (error != nullptr) {
                 reply(error, {});
                 return;
               }
               std::optional<Error> gone;
               Attributes found;
               {
                 const std::lock_guard lock(mutex_);
                 const auto node = nodes_.find(id);
                 if (node != nodes_.end() &&
                     (node->second.content || entry_of(node->second.parent, node->second.name))) {
                   found = attributes_of(id);
                 } else {
                   gone = no_such_entry(node == nodes_.end() ? "" : node->second.name);
                 }
               }
               reply(gone ? &*gone : nullptr, found);
             });
}

void MountedTree::read_link(NodeId id, TextReply reply) {
  std::string target;
  {
    const std::lock_guard lock(mutex_);
    const Node& node = node_at(id);
    const ChildEntry* entry = id == kRootNode ? nullptr : entry_of(node.parent, node.name);
    if (node.kind != EntryKind::Symlink) throw Error::local_io(EINVAL, node.name);
    if (entry == nullptr || entry->kind != EntryKind::Symlink) throw no_such_entry(node.name);
    target = entry->link_target;
  }
  reply(nullptr, target);
}

// --- files ---

void MountedTree::open(NodeId id, Access access, OpenReply reply) {
  if (access != Access::Read) {
    open_for_writing(id, access == Access::WriteTruncated, std::move(reply));
    return;
  }
  NodeId directory = 0;
  std::string name;
  bool is_ready = false;
  {
    const std::lock_guard lock(mutex_);
    const Node& node = node_at(id);
    if (node.kind == EntryKind::Directory) throw Error::local_io(EISDIR, node.name);
    if (node.kind == EntryKind::Symlink) throw Error::local_io(ELOOP, node.name);
    directory = node.parent;
    name = node.name;
    const TimePoint now = std::chrono::steady_clock::now();
    const ChildEntry* entry = entry_of(directory, name);
    is_ready = entry != nullptr && entry->is_complete(now);
    if (is_ready && node.content && !options_.is_known_tree &&
        !is_proved_by_listing(*entry, *node.content)) {
      is_ready = now - node.content->checked < options_.attribute_lifetime;
    }
    if (options_.writable) is_ready = being_written(node) != nullptr;
  }
  if (is_ready) {
    finish_open(id, false, std::move(reply));
    return;
  }
  stat_child(directory, name, Ask::Always, Priority::Demand,
             [this, id, reply = std::move(reply)](const Error* error) {
               if (error != nullptr) {
                 reply(error, {});
               } else {
                 finish_open(id, true, reply);
               }
             });
}

/// Without an ETag or an exact time a listing cannot tell whether what is cached is still right;
/// and where files have ETags, size and time alone do not.
bool MountedTree::is_proved_by_listing(const ChildEntry& entry, const Content& content) {
  return entry.version().is_validator() && (entry.etag_is_listed || content.version.etag.empty());
}

void MountedTree::finish_open(NodeId id, bool confirmed, OpenReply reply) {
  Opened opened;
  std::optional<Error> failure;
  bool has_changed = false;
  {
    std::unique_lock lock(mutex_);
    const auto found = nodes_.find(id);
    const ChildEntry* entry =
        found == nodes_.end() ? nullptr : entry_of(found->second.parent, found->second.name);
    if (entry == nullptr) {
      failure = no_such_entry(found == nodes_.end() ? "" : found->second.name);
    } else {
      Node& node = found->second;
      if (auto edited = being_written(node)) {
        opened.file = add_handle(id, std::make_shared<OpenFile>(
                                         std::move(edited), path_of(id).text(), false, counters_));
        opened.keep_page_cache = true;
        lock.unlock();
        reply(nullptr, std::move(opened));
        return;
      }
      std::shared_ptr<CachedFile> file = content_of(id, *entry, has_changed);
      Content& content = *node.content;
      if (confirmed) content.checked = std::chrono::steady_clock::now();
      if (content.check) failure = content.check->failure();
      opened.file = add_handle(
          id, std::make_shared<OpenFile>(std::move(file), content.check, path_of(id).text(),
                                         options_.keep_cache ? &read_ahead_ : nullptr, counters_));
      opened.keep_page_cache = content.in_page_cache == content.id;
      opened.direct_io = !entry->size || !options_.keep_cache;
      content.in_page_cache = opened.direct_io ? 0 : content.id;
    }
  }
  // The kernel ends reading at the size that it knows.
  if (has_changed && options_.writable && attribute_invalidation_) attribute_invalidation_(id);
  const bool is_open = !failure && opened.file != nullptr;
  reply(failure ? &*failure : nullptr, std::move(opened));
  if (is_open) fetch_files_ahead(id);
}

std::shared_ptr<CachedFile> MountedTree::content_of(NodeId id, const ChildEntry& entry,
                                                    bool& has_changed) {
  Node& node = node_at(id);
  if (!node.content) node.content = std::make_unique<Content>();
  Content& content = *node.content;
  const Version current = entry.version();
  // Two changes within one second look the same.
  const bool may_change_unseen =
      options_.writable && entry.modified + kTimeGrain > std::chrono::system_clock::now();
  has_changed = content.id == 0 || !content.version.may_equal(current) || may_change_unseen;
  if (has_changed) {
    content = Content{next_content_++,       current, content.content_type, {}, {},
                      content.in_page_cache, nullptr};
  }
  if (auto file = content.file.lock()) return file;
  return open_content(id, path_of(id), entry.size, content);
}

/// With mutex_ held, like the calls of the store that need no network.
std::shared_ptr<CachedFile> MountedTree::open_content(NodeId id, const RemotePath& path,
                                                      std::optional<std::uint64_t> size,
                                                      Content& content) {
  std::shared_ptr<RemoteFile> remote = store_->open(path, content.version);
  if (const auto promised = remote->promised_checksum(); promised && !content.check) {
    content.check = make_check(id, *promised, size);
  }
  auto file = std::make_shared<CachedFile>(
      std::move(remote), content.id, size,
      CachedFile::Environment{cache_, timer_, options_.request_limit, options_.keep_cache,
                              stop_.get_token()},
      CachedFile::Listener{[this, id](const ReadAnswer& answer) { answered(id, answer); },
                           [this, id](const Error& error) { failed(id, error); }});
  content.file = file;
  return file;
}

/// Without a cache nothing can be kept until it is proved.
std::shared_ptr<ContentCheck> MountedTree::make_check(NodeId id, Checksum promised,
                                                      std::optional<std::uint64_t> size) {
  const ContentCheck::Limits limits{options_.keep_cache ? options_.cache_bytes / kProvedShare : 0,
                                    options_.cache_bytes / kAheadShare};
  auto check = std::make_shared<ContentCheck>(std::move(promised), size, limits,
                                              [this, id](const Error* error) {
                                                counters_.checked(error == nullptr);
                                                if (error != nullptr) failed(id, *error);
                                              });
  // Of an empty file it is known at once.
  if (check->state() != ContentCheck::State::Unproved) {
    counters_.checked(check->state() == ContentCheck::State::Proved);
  }
  return check;
}

MountStats MountedTree::stats() const {
  MountStats stats;
  stats.is_writable = options_.writable;
  counters_.add_to(stats);
  stats.wasted_bytes = cache_.bytes_without_use();
  stats.cache_used_bytes = cache_.bytes_in_use();
  stats.cache_bound_bytes = cache_.max_bytes();
  return stats;
}

void MountedTree::answered(NodeId id, const ReadAnswer& answer) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || !found->second.content) return;
  Node& node = found->second;
  node.content->version.complete_from(answer.version);
  node.content->content_type = answer.content_type;
  node.content->checked = std::chrono::steady_clock::now();
  if (options_.is_known_tree) return;
  ChildEntry* entry = entry_of(node.parent, node.name);
  if (entry == nullptr || !entry->version().may_equal(answer.version)) return;
  if (answer.version.modified) {
    entry->modified = *answer.version.modified;
    entry->modified_is_exact = true;
  }
  if (!answer.version.etag.empty()) entry->etag = answer.version.etag;
  if (!entry->size) entry->size = answer.version.size;
  if (entry->size) entry->valid_until = node.content->checked + options_.attribute_lifetime;
}

/// The file has changed under its readers, or is not what was promised: what is known of it is out
/// of date, here and in the kernel, so that whoever opens it anew gets the new one.
void MountedTree::failed(NodeId id, const Error& error) {
  if (error.kind() != ErrorKind::ChangedRemotely && error.kind() != ErrorKind::NotFound &&
      error.kind() != ErrorKind::Integrity) {
    return;
  }
  NodeId directory = 0;
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return;
    directory = found->second.parent;
    name = found->second.name;
    // The ids of contents only grow: the next open gets a new one.
    if (found->second.content) {
      found->second.content->id = 0;
      found->second.content->in_page_cache = 0;
      found->second.content->file.reset();
    }
    if (ChildEntry* entry = entry_of(directory, name)) {
      entry->valid_until = {};
      entry->size.reset();
      entry->etag.clear();
      entry->modified_is_exact = false;
    }
    if (const auto parent = nodes_.find(directory);
        parent != nodes_.end() && parent->second.directory->listing) {
      parent->second.directory->listing->expire();
    }
  }
  // Not here: the kernel waits for the pages of this very read before it forgets them.
  run_on_worker(Priority::Demand, [this, directory, name, id] {
    if (invalidation_) invalidation_(directory, name, id);
  });
}

// --- extended attributes ---

std::vector<std::string_view> MountedTree::extended_attribute_names(NodeId id) {
  const std::lock_guard lock(mutex_);
  if (node_at(id).kind != EntryKind::File) return {kUrlAttribute};
  return {kUrlAttribute, kEtagAttribute, kContentTypeAttribute};
}

void MountedTree::get_extended_attribute(NodeId id, std::string_view name, TextReply reply) {
  const Error none(ErrorKind::NotFound, "no such extended attribute");
  std::string value;
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    const Node& node = node_at(id);
    const ChildEntry* entry = id == kRootNode ? nullptr : entry_of(node.parent, node.name);
    path = path_of(id);
    if (name == kUrlAttribute) value = store_->location(path);
    if (node.kind == EntryKind::File) {
      if (name == kEtagAttribute && entry != nullptr) value = entry->etag;
      if (name == kContentTypeAttribute && node.content) value = node.content->content_type;
    }
    const bool can_ask =
        node.kind == EntryKind::File && (name == kEtagAttribute || name == kContentTypeAttribute);
    if (value.empty() && !can_ask) path = {};
  }
  if (!value.empty() || path.is_root()) {
    reply(value.empty() ? &none : nullptr, value);
    return;
  }
  const bool submitted = run_on_worker(
      Priority::Demand, [this, path, none, wants_etag = name == kEtagAttribute, reply] {
        try {
          const auto found = store_->stat(path, context(Priority::Demand));
          const std::string text = !found ? "" : (wants_etag ? found->etag : found->content_type);
          reply(text.empty() ? &none : nullptr, text);
        } catch (...) {
          const Error error = current_exception_as_error();
          reply(&error, {});
        }
      });
  if (!submitted) reply(&none, {});
}

}  // namespace red
