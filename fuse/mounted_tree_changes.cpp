#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/logging.h"
#include "fuse/mounted_tree.h"

namespace red {
namespace {

Error no_such_file() { return Error::local_io(ESTALE, "a file that is no longer known"); }

}  // namespace

void MountedTree::set_loss_report(LossReport report) { loss_report_ = std::move(report); }

std::vector<std::shared_ptr<EditedFile>> MountedTree::edited_files() const {
  std::vector<std::shared_ptr<EditedFile>> files;
  const std::lock_guard lock(mutex_);
  for (const auto& weak : edited_files_) {
    if (auto file = weak.lock()) files.push_back(std::move(file));
  }
  return files;
}

void MountedTree::wait_for_writes(Duration limit) {
  const auto files = edited_files();
  struct Ended {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left = 0;
  };
  const auto ended = std::make_shared<Ended>();
  ended->left = files.size();
  for (const auto& file : files) {
    file->flush([ended](const Error*) {
      const std::lock_guard lock(ended->mutex);
      --ended->left;
      ended->changed.notify_all();
    });
  }
  std::unique_lock lock(ended->mutex);
  ended->changed.wait_for(lock, limit, [&] { return ended->left == 0; });
}

// --- what is known of names, with mutex_ held ---

/// The path of something that still has its name.
RemotePath MountedTree::live_path_of(NodeId id) const {
  for (NodeId at = id; at != kRootNode; at = nodes_.at(at).parent) {
    if (!nodes_.contains(at) || nodes_.at(at).is_unlinked) throw no_such_file();
  }
  return path_of(id);
}

bool MountedTree::is_open(const Node& node) {
  return std::ranges::any_of(node.handles, [](const auto& weak) { return !weak.expired(); });
}

std::shared_ptr<EditedFile> MountedTree::being_written(const Node& node) const {
  auto edited = node.edited.lock();
  if (!edited) return nullptr;
  const bool has_writer = std::ranges::any_of(node.handles, [](const auto& weak) {
    const auto handle = weak.lock();
    return handle && handle->writes();
  });
  return has_writer || edited->has_unsent() ? edited : nullptr;
}

std::shared_ptr<OpenFile> MountedTree::add_handle(NodeId id, std::shared_ptr<OpenFile> handle) {
  if (options_.writable) {
    auto& handles = node_at(id).handles;
    std::erase_if(handles, [](const auto& weak) { return weak.expired(); });
    handles.push_back(handle);
    opened_.insert(id);
  }
  return handle;
}

/// Readers of a directory get one listing with everything in it; lookups do without.
std::shared_ptr<DirectoryListing> MountedTree::with_changes(
    NodeId id, std::shared_ptr<DirectoryListing> listing) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end() || found->second.directory->listing != listing) return listing;
  Directory& directory = *found->second.directory;
  if (directory.unlisted.empty() && directory.removed.empty()) return listing;
  auto merged = std::make_shared<DirectoryListing>(
      *listing, directory.unlisted,
      [&](const std::string& name) { return directory.removed.contains(name); });
  // A listing that is under way may not have them.
  if (!directory.is_loading) {
    directory.unlisted.clear();
    directory.removed.clear();
  }
  charge(static_cast<std::int64_t>(merged->footprint()) -
         static_cast<std::int64_t>(listing->footprint()));
  directory.listing = merged;
  return merged;
}

/// Nothing is known of it yet but its kind.
void MountedTree::names_changed(NodeId directory) {
  Directory& state = *node_at(directory).directory;
  ++state.changes;
  state.changed_at = std::chrono::steady_clock::now();
  if (directory == kRootNode) {
    root_.modified = wall_clock();
  } else if (ChildEntry* entry = known_of(directory)) {
    entry->modified = wall_clock();
  }
}

void MountedTree::name_added(NodeId directory, const std::string& name, EntryKind kind) {
  names_changed(directory);
  Directory& state = *node_at(directory).directory;
  state.absent.erase(name);
  ChildEntry entry;
  entry.name = name;
  entry.kind = kind;
  state.unlisted.insert_or_assign(name, std::move(entry));
}

/// Whoever has it open keeps it, with its attributes.
void MountedTree::name_removed(NodeId directory, const std::string& name) {
  if (const NodeId id = find_child(directory, name); id != 0) {
    Node& node = node_at(id);
    if (const ChildEntry* entry = entry_of(directory, name)) node.last_known = *entry;
    node.is_unlinked = true;
    aliases_.erase({directory, name});
  }
  names_changed(directory);
  Directory& state = *node_at(directory).directory;
  state.unlisted.erase(name);
  if (state.listing && state.listing->find(name)) state.removed.insert(name);
  state.absent[name] = std::chrono::steady_clock::now() + options_.attribute_lifetime;
}

std::shared_ptr<EditedFile> MountedTree::edited_of(NodeId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second.edited.lock();
}

/// What is open to be read follows changes that are made here, though its version becomes another
/// one; and it has perhaps not been opened on the server yet, which could not be done any more when
/// its name is gone.
void MountedTree::hold_on_to(NodeId id, const RemotePath& path, bool loses_name) {
  std::shared_ptr<EditedFile> edited;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || !is_open(found->second)) return;
    edited = found->second.edited.lock();
  }
  if (!edited) {
    edited = open_held(path);
    if (!edited) return;
    const std::lock_guard lock(mutex_);
    const auto node = nodes_.find(id);
    if (node == nodes_.end()) return;
    switch_to(node->second, edited);
  }
  if (loses_name) edited->forget_name();
}

/// Null if it cannot be opened: that is no reason to refuse a change, and its readers then get an
/// error.
std::shared_ptr<EditedFile> MountedTree::open_held(const RemotePath& path) {
  const RequestContext limits = context(Priority::Demand);
  WriteMode mode;
  mode.read_only = true;
  try {
    auto file = store_->editor()->open_for_writing(path, mode, limits);
    return edit(std::move(file), store_->stat(path, limits).value_or(Entry{}), path);
  } catch (const Error& error) {
    log(LogLevel::Info, "holding on to " + path.text() + ": " + error.message());
    return nullptr;
  }
}

/// All that have the file open see from now on what is written, or what they held on to.
void MountedTree::switch_to(Node& node, const std::shared_ptr<EditedFile>& edited) {
  node.edited = edited;
  for (const auto& weak : node.handles) {
    if (const auto handle = weak.lock()) handle->switch_to(edited);
  }
}

/// The same for all files that a name leads to.
void MountedTree::hold_on_to_all(NodeId directory, const std::string& name) {
  std::vector<std::pair<NodeId, RemotePath>> open;
  {
    const std::lock_guard lock(mutex_);
    const NodeId top = find_child(directory, name);
    if (top == 0) return;
    for (const NodeId id : opened_) {
      if (nodes_.at(id).is_unlinked) continue;
      NodeId at = id;
      while (at != kRootNode && at != top) at = nodes_.at(at).parent;
      if (at == top) open.emplace_back(id, path_of(id));
    }
  }
  for (const auto& [id, path] : open) hold_on_to(id, path, true);
}

void MountedTree::move_node(NodeId id, NodeId directory, const std::string& name) {
  Node& node = node_at(id);
  aliases_.erase({node.parent, node.name});
  const NodeId old_parent = node.parent;
  --node_at(old_parent).children;
  ++node_at(directory).children;
  node.parent = directory;
  node.name = name;
  aliases_[{directory, name}] = id;
  // What is opened from now on is opened by its new path.
  if (node.kind == EntryKind::Directory) {
    ++directory_moves_;
    for (auto& [other, each] : nodes_) {
      if (each.content) each.content->file.reset();
    }
  } else if (node.content) {
    node.content->file.reset();
  }
  erase_if_unused(old_parent);
}

// --- files ---

std::shared_ptr<EditedFile> MountedTree::edit(std::shared_ptr<WritableFile> file, const Entry& now,
                                              const RemotePath& path) {
  // A loss may still be told while the tree goes away.
  auto report = [report = loss_report_, path](const Error& error) {
    log(LogLevel::Error, "writing " + path.text() + ": " + error.message());
    if (report) report(path.text(), error);
  };
  auto edited = std::make_shared<EditedFile>(
      std::move(file), now.size.value_or(0), now.modified.value_or(mounted_at_),
      EditedFile::Environment{timer_, options_.request_limit, stop_.get_token(), std::move(report),
                              sets_times_});
  const std::lock_guard lock(mutex_);
  std::erase_if(edited_files_, [](const auto& weak) { return weak.expired(); });
  edited_files_.push_back(edited);
  return edited;
}

MountedTree::Opened MountedTree::start_editing(NodeId id, std::shared_ptr<EditedFile> edited,
                                               const RemotePath& path) {
  Opened opened;
  const std::lock_guard lock(mutex_);
  Node& node = node_at(id);
  switch_to(node, edited);
  if (node.content) {
    node.content->id = 0;
    node.content->in_page_cache = 0;
    node.content->file.reset();
  }
  opened.file =
      add_handle(id, std::make_shared<OpenFile>(std::move(edited), path.text(), true, counters_));
  return opened;
}

void MountedTree::open_for_writing(NodeId id, bool truncate, OpenReply reply) {
  RemotePath path;
  std::shared_ptr<EditedFile> edited;
  {
    const std::lock_guard lock(mutex_);
    const Node& node = node_at(id);
    if (node.kind != EntryKind::File) throw Error::local_io(EISDIR, node.name);
    edited = being_written(node);
    if (!edited) path = live_path_of(id);
  }
  if (edited) {
    auto opened = start_editing(id, edited, path);
    opened.keep_page_cache = !truncate;
    if (!truncate) return reply(nullptr, std::move(opened));
    FileChange change;
    change.size = 0;
    edited->change(change, [opened = std::move(opened), reply](const Error* error) {
      reply(error, error == nullptr ? opened : Opened{});
    });
    return;
  }
  const auto opened = std::make_shared<Opened>();
  run_change(
      path, [opened, reply](const Error* error) { reply(error, std::move(*opened)); },
      [this, id, path, truncate, opened] {
        WriteMode mode;
        mode.truncate = truncate;
        const RequestContext limits = context(Priority::Demand);
        auto file = store_->editor()->open_for_writing(path, mode, limits);
        Entry now;
        now.size = 0;
        if (!truncate) {
          const auto found = store_->stat(path, limits);
          if (!found || found->kind != EntryKind::File) throw no_such_file();
          now = *found;
        }
        *opened = start_editing(id, edit(std::move(file), now, path), path);
      });
}

void MountedTree::released(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  if (!is_open(node)) opened_.erase(id);
  const auto edited = node.edited.lock();
  if (!edited || node.is_unlinked) return;
  ++nodes_.at(node.parent).directory->changes;
  // The server is asked what it has made of it, the next time somebody wants to know.
  if (ChildEntry* entry = entry_of(node.parent, node.name)) {
    entry->size = edited->size();
    entry->modified = edited->modified();
    entry->modified_is_exact = false;
    entry->etag.clear();
    entry->valid_until = {};
  }
}

// --- changes ---

void MountedTree::run_change(const RemotePath& path, Done reply, std::function<void()> change) {
  const auto shared_reply = std::make_shared<Done>(std::move(reply));
  const bool submitted =
      run_on_worker(Priority::Demand, [path, shared_reply, change = std::move(change)] {
        std::optional<Error> failure;
        try {
          change();
        } catch (...) {
          failure = current_exception_as_error();
          log(LogLevel::Info, path.text() + ": " + failure->message());
        }
        (*shared_reply)(failure ? &*failure : nullptr);
      });
  if (submitted) return;
  const Error error(ErrorKind::Cancelled, "the mount is being ended");
  (*shared_reply)(&error);
}

RemotePath MountedTree::path_of_child(NodeId directory, const std::string& name) const {
  check_length(name);
  const std::lock_guard lock(mutex_);
  return live_path_of(directory).child(name);
}

/// What has been made on the server is known here from now on. Counts one lookup.
NodeId MountedTree::enter_made(NodeId directory, const std::string& name, const Entry& made) {
  const std::lock_guard lock(mutex_);
  name_added(directory, name, made.kind);
  store_stat(directory, name, made);
  const NodeId id = find_or_add_child(directory, name, made.kind);
  ++node_at(id).lookups;
  return id;
}

Attributes MountedTree::known_attributes_of(NodeId id) {
  const std::lock_guard lock(mutex_);
  return attributes_of(id);
}

/// `make` makes the name on the server, on a worker, and tells what it is.
void MountedTree::make_entry(
    NodeId directory, const std::string& name, AttributesReply reply,
    std::function<Entry(const RemotePath& path, const RequestContext& limits)> make) {
  const RemotePath path = path_of_child(directory, name);
  const auto attributes = std::make_shared<Attributes>();
  run_change(
      path, [attributes, reply](const Error* error) { reply(error, *attributes); },
      [this, directory, name, path, attributes, make = std::move(make)] {
        const Entry made = make(path, context(Priority::Demand));
        *attributes = known_attributes_of(enter_made(directory, name, made));
      });
}

void MountedTree::create(NodeId directory, const std::string& name, const WriteMode& mode,
                         CreateReply reply) {
  const RemotePath path = path_of_child(directory, name);
  struct Made {
    Attributes attributes;
    Opened opened;
  };
  const auto made = std::make_shared<Made>();
  run_change(
      path,
      [made, reply](const Error* error) {
        reply(error, made->attributes, std::move(made->opened));
      },
      [this, directory, name, mode, path, made] {
        const RequestContext limits = context(Priority::Demand);
        auto file = store_->editor()->open_for_writing(path, mode, limits);
        Entry now;
        now.size = 0;
        now.mode = mode.mode;
        now.modified = wall_clock();
        if (!mode.exclusive && !mode.truncate) {
          // Somebody else may have made it first.
          if (const auto found = store_->stat(path, limits)) now = *found;
        }
        now.kind = EntryKind::File;
        const NodeId id = enter_made(directory, name, now);
        made->opened = start_editing(id, edit(std::move(file), now, path), path);
        made->attributes = known_attributes_of(id);
      });
}

void MountedTree::make_directory(NodeId directory, const std::string& name, std::uint32_t mode,
                                 AttributesReply reply) {
  // What has just been made is known to be empty.
  auto enter_empty = [this, reply = std::move(reply)](const Error* error,
                                                      const Attributes& attributes) {
    if (error == nullptr) list_as_empty(attributes.node);
    reply(error, attributes);
  };
  make_entry(directory, name, std::move(enter_empty),
             [this, mode](const RemotePath& path, const RequestContext& limits) {
               store_->editor()->make_directory(path, mode, limits);
               Entry made;
               made.kind = EntryKind::Directory;
               made.mode = mode;
               made.modified = wall_clock();
               return made;
             });
}

void MountedTree::list_as_empty(NodeId directory) {
  const std::lock_guard lock(mutex_);
  node_at(directory).directory->listing = std::make_shared<DirectoryListing>(
      std::vector<Entry>{}, mounted_at_,
      std::chrono::steady_clock::now() + options_.attribute_lifetime);
}

void MountedTree::make_symlink(NodeId directory, const std::string& name, const std::string& target,
                               AttributesReply reply) {
  // The kernel wants a link, whatever it is shown as when it is looked at again.
  auto answer_as_link = [this, directory, name, target, reply = std::move(reply)](
                            const Error* error, Attributes attributes) {
    if (error == nullptr && attributes.kind != EntryKind::Symlink) {
      attributes = enter_as_link(directory, name, target, attributes.node);
    }
    reply(error, attributes);
  };
  make_entry(directory, name, std::move(answer_as_link),
             [this, target](const RemotePath& path, const RequestContext& limits) {
               store_->editor()->make_symlink(path, target, limits);
               // Where it leads to decides what it is shown as.
               if (auto found = store_->stat(path, limits)) return std::move(*found);
               // It would not be shown, and nobody could take it away again.
               store_->editor()->remove(path, limits);
               throw Error(
                   ErrorKind::PermissionDenied,
                   path.text() + ": the link would lead out of the mounted directory to nothing");
             });
}

/// In the place of a lookup of `shown`. Not to be believed for any time.
Attributes MountedTree::enter_as_link(NodeId directory, const std::string& name,
                                      const std::string& target, NodeId shown) {
  const std::lock_guard lock(mutex_);
  Attributes link;
  link.node = find_or_add_child(directory, name, EntryKind::Symlink);
  link.kind = EntryKind::Symlink;
  link.size = target.size();
  link.modified = wall_clock();
  ++node_at(link.node).lookups;
  release_lookups(shown, 1);
  return link;
}

void MountedTree::make_hard_link(NodeId existing, NodeId directory, const std::string& name,
                                 AttributesReply reply) {
  RemotePath from;
  {
    const std::lock_guard lock(mutex_);
    from = live_path_of(existing);
  }
  auto answer_as_same = [this, existing, reply = std::move(reply)](const Error* error,
                                                                   Attributes attributes) {
    if (error == nullptr) attributes.same_file_as = link_inodes(existing, attributes.node);
    reply(error, attributes);
  };
  make_entry(directory, name, std::move(answer_as_same),
             [this, from](const RemotePath& path, const RequestContext& limits) {
               store_->editor()->make_hard_link(from, path, limits);
               if (auto found = store_->stat(path, limits)) return std::move(*found);
               throw Error(ErrorKind::NotFound, path.text() + " does not exist");
             });
}

/// SFTP does not tell inodes: what was linked here is known to be one file, which is what programs
/// look for directly after.
NodeId MountedTree::link_inodes(NodeId existing, NodeId linked) {
  const std::lock_guard lock(mutex_);
  const auto file = nodes_.find(existing);
  const auto other = nodes_.find(linked);
  if (file == nodes_.end() || other == nodes_.end()) return 0;
  const NodeId inode = file->second.same_file_as != 0 ? file->second.same_file_as : existing;
  other->second.same_file_as = inode;
  return inode;
}

void MountedTree::remove(NodeId directory, const std::string& name, Done reply) {
  const RemotePath path = path_of_child(directory, name);
  run_change(path, std::move(reply), [this, directory, name, path] {
    hold_on_to_all(directory, name);
    store_->editor()->remove(path, context(Priority::Demand));
    const std::lock_guard lock(mutex_);
    name_removed(directory, name);
  });
}

void MountedTree::remove_directory(NodeId directory, const std::string& name, Done reply) {
  const RemotePath path = path_of_child(directory, name);
  run_change(path, std::move(reply), [this, directory, name, path] {
    store_->editor()->remove_directory(path, context(Priority::Demand));
    const std::lock_guard lock(mutex_);
    name_removed(directory, name);
  });
}

void MountedTree::rename(NodeId directory, const std::string& name, NodeId new_directory,
                         const std::string& new_name, bool replace, Done reply) {
  const RemotePath from = path_of_child(directory, name);
  const RemotePath to = path_of_child(new_directory, new_name);
  run_change(from, std::move(reply),
             [this, directory, name, new_directory, new_name, replace, from, to] {
               hold_on_to_all(directory, name);
               hold_on_to_all(new_directory, new_name);
               store_->editor()->rename(from, to, replace, context(Priority::Demand));
               if (from != to) name_moved(directory, name, new_directory, new_name);
             });
}

void MountedTree::name_moved(NodeId directory, const std::string& name, NodeId new_directory,
                             const std::string& new_name) {
  const std::lock_guard lock(mutex_);
  ChildEntry moved;
  if (const ChildEntry* known = entry_of(directory, name)) moved = *known;
  name_removed(new_directory, new_name);
  name_added(new_directory, new_name, moved.kind);
  moved.name = new_name;
  *entry_of(new_directory, new_name) = moved;
  if (const NodeId id = find_child(directory, name); id != 0) {
    move_node(id, new_directory, new_name);
  }
  name_removed(directory, name);
}

void MountedTree::change(NodeId id, const FileChange& change, AttributesReply reply) {
  RemotePath path;
  std::shared_ptr<EditedFile> edited;
  {
    std::unique_lock lock(mutex_);
    const Node& node = node_at(id);
    // Neither times nor permissions of a link can be set: the protocol would set those of what it
    // leads to.
    if (node.kind == EntryKind::Symlink) {
      const Attributes attributes = attributes_of(id);
      lock.unlock();
      return reply(nullptr, attributes);
    }
    edited = node.is_unlinked ? node.edited.lock() : being_written(node);
    if (!edited) path = live_path_of(id);
  }
  const auto adopt = [this, id, change](Attributes& attributes) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return;
    Node& node = found->second;
    if (id != kRootNode && !node.is_unlinked) ++nodes_.at(node.parent).directory->changes;
    ChildEntry* entry = known_of(id);
    if (entry != nullptr && id != kRootNode && !node.is_unlinked) {
      // Beside the listing, so that one that was asked for before does not bring back the old.
      auto& known = nodes_.at(node.parent).directory->unlisted;
      entry = &known.insert_or_assign(node.name, ChildEntry(*entry)).first->second;
    }
    if (entry != nullptr) {
      if (change.mode) entry->mode = static_cast<std::uint16_t>(*change.mode);
      if (change.modified) entry->modified = *change.modified;
      if (change.size && node.kind == EntryKind::File) entry->size = change.size;
      if (change.size || change.modified) {
        entry->modified_is_exact = false;
        entry->valid_until = {};
        if (node.content) node.content->id = 0;
      }
    }
    attributes = attributes_of(id);
  };
  if (edited) {
    edited->change(change, [adopt, reply](const Error* error) {
      Attributes attributes;
      if (error == nullptr) adopt(attributes);
      reply(error, attributes);
    });
    return;
  }
  const auto attributes = std::make_shared<Attributes>();
  run_change(
      path, [attributes, reply](const Error* error) { reply(error, *attributes); },
      [this, id, path, change, adopt, attributes] {
        if (change.size || change.modified) hold_on_to(id, path, false);
        store_->editor()->change(path, change, context(Priority::Demand));
        if (const auto held = edited_of(id)) held->adopt(change);
        adopt(*attributes);
      });
}

void MountedTree::copy(NodeId from, ByteRange range, NodeId to, std::uint64_t offset,
                       CopyReply reply) {
  RemotePath source;
  RemotePath target;
  std::shared_ptr<EditedFile> read;
  std::shared_ptr<EditedFile> written;
  {
    const std::lock_guard lock(mutex_);
    const Node& source_node = node_at(from);
    const Node& target_node = node_at(to);
    if (source_node.is_unlinked || target_node.is_unlinked) {
      throw Error::local_io(EOPNOTSUPP, "copying a file that has lost its name");
    }
    source = live_path_of(from);
    target = live_path_of(to);
    read = being_written(source_node);
    written = being_written(target_node);
    if (!written) throw Error::local_io(EBADF, target_node.name);
  }
  auto make = [this, source, range, target, offset, written,
               reply = std::move(reply)](const Error* error) {
    if (error != nullptr) return reply(error, 0);
    const auto copied = std::make_shared<std::uint64_t>(0);
    run_change(
        target,
        [copied, written, offset, reply](const Error* failure) {
          if (*copied > 0) written->filled_to(offset + *copied);
          reply(failure, *copied);
        },
        [this, source, range, target, offset, copied] {
          *copied =
              store_->editor()->copy(source, range, target, offset, context(Priority::Demand));
        });
  };
  // Both as they have been written so far.
  written->flush([read, make = std::move(make)](const Error* error) {
    if (error != nullptr || !read) return make(error);
    read->flush(make);
  });
}

void MountedTree::space(SpaceReply reply) {
  const auto space = std::make_shared<FileSystemSpace>();
  run_change(
      {}, [space, reply](const Error* error) { reply(error, *space); },
      [this, space] { *space = store_->editor()->space(context(Priority::Demand)); });
}

}  // namespace red
