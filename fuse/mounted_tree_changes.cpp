#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/logging.h"
#include "fuse/mounted_tree.h"

namespace red {
namespace {

Error no_such_file() { return Error::local_io(ESTALE, "a file that is no longer known"); }

}  // namespace

void MountedTree::set_loss_report(LossReport report) { loss_report_ = std::move(report); }

void MountedTree::wait_for_writes(Duration limit) {
  std::vector<std::shared_ptr<EditedFile>> files;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& weak : edited_files_) {
      if (auto file = weak.lock()) files.push_back(std::move(file));
    }
  }
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
  {
    std::unique_lock lock(ended->mutex);
    ended->changed.wait_for(lock, limit, [&] { return ended->left == 0; });
  }
  for (const auto& file : files) file->give_up();
}

// --- what is known of names, with mutex_ held ---

/// The path of something that still has its name.
RemotePath MountedTree::live_path_of(NodeId id) const {
  for (NodeId at = id; at != kRootNode; at = nodes_.at(at).parent) {
    if (!nodes_.contains(at) || nodes_.at(at).is_unlinked) throw no_such_file();
  }
  return path_of(id);
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

std::shared_ptr<OpenFile> MountedTree::add_handle(Node& node, std::shared_ptr<OpenFile> handle) {
  if (options_.writable) {
    std::erase_if(node.handles, [](const auto& weak) { return weak.expired(); });
    node.handles.push_back(handle);
  }
  return handle;
}

/// Readers of a directory get one listing with everything in it.
void MountedTree::merge_changes(Directory& directory) {
  if (!directory.listing || (directory.unlisted.empty() && directory.removed.empty())) return;
  auto merged = std::make_shared<DirectoryListing>(
      *directory.listing, directory.unlisted,
      [&](const std::string& name) { return directory.removed.contains(name); });
  // A listing that is under way may not have them.
  if (!directory.is_loading) {
    directory.unlisted.clear();
    directory.removed.clear();
  }
  charge(static_cast<std::int64_t>(merged->footprint()) -
         static_cast<std::int64_t>(directory.listing->footprint()));
  directory.listing = std::move(merged);
}

ChildEntry& MountedTree::name_added(NodeId directory, const std::string& name, EntryKind kind) {
  Directory& state = *node_at(directory).directory;
  ++state.changes;
  state.absent.erase(name);
  ChildEntry& entry = state.unlisted[name];
  entry = ChildEntry{};
  entry.name = name;
  entry.kind = kind;
  entry.modified = std::chrono::time_point_cast<FileTime::duration>(
      std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  entry.valid_until = std::chrono::steady_clock::now() + options_.attribute_lifetime;
  return entry;
}

void MountedTree::name_removed(NodeId directory, const std::string& name) {
  Directory& state = *node_at(directory).directory;
  ++state.changes;
  state.unlisted.erase(name);
  if (state.listing && state.listing->find(name)) state.removed.insert(name);
  state.absent[name] = std::chrono::steady_clock::now() + options_.attribute_lifetime;
}

/// Before name_removed(): whoever has it open keeps it, with its attributes.
void MountedTree::unlink_node(NodeId directory, const std::string& name) {
  const NodeId id = find_child(directory, name);
  if (id == 0) return;
  Node& node = node_at(id);
  if (const ChildEntry* entry = entry_of(directory, name)) node.last_known = *entry;
  node.is_unlinked = true;
  aliases_.erase({directory, name});
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
    if (found == nodes_.end() || found->second.kind != EntryKind::File) return;
    const bool is_open = std::ranges::any_of(found->second.handles,
                                             [](const auto& weak) { return !weak.expired(); });
    if (!is_open) return;
    edited = found->second.edited.lock();
  }
  if (!edited) {
    const RequestContext limits = context(Priority::Demand);
    WriteMode mode;
    mode.read_only = true;
    auto file = store_->editor()->open_for_writing(path, mode, limits);
    const auto now = store_->stat(path, limits);
    edited = edit(std::move(file), now ? now->size.value_or(0) : 0,
                  now ? now->modified.value_or(mounted_at_) : mounted_at_, path);
    const std::lock_guard lock(mutex_);
    const auto node = nodes_.find(id);
    if (node == nodes_.end()) return;
    node->second.edited = edited;
    for (const auto& weak : node->second.handles) {
      if (const auto handle = weak.lock()) handle->switch_to(edited);
    }
  }
  if (loses_name) edited->forget_name();
}

/// The same for all files that a name leads to.
void MountedTree::hold_on_to_all(NodeId directory, const std::string& name) {
  std::vector<std::pair<NodeId, RemotePath>> open;
  {
    const std::lock_guard lock(mutex_);
    const NodeId top = find_child(directory, name);
    if (top == 0) return;
    for (const auto& [id, node] : nodes_) {
      if (node.handles.empty() || node.is_unlinked) continue;
      for (NodeId at = id; at != kRootNode; at = nodes_.at(at).parent) {
        if (at != top) continue;
        open.emplace_back(id, path_of(id));
        break;
      }
    }
  }
  for (const auto& [id, path] : open) hold_on_to(id, path, true);
}

void MountedTree::move_node(NodeId id, NodeId directory, const std::string& name) {
  Node& node = node_at(id);
  aliases_.erase({node.parent, node.name});
  if (node.kind == EntryKind::Directory) ++directory_moves_;
  const NodeId old_parent = node.parent;
  --node_at(old_parent).children;
  ++node_at(directory).children;
  node.parent = directory;
  node.name = name;
  aliases_[{directory, name}] = id;
  // What is opened from now on is opened by its new path.
  for (auto& [other, each] : nodes_) {
    if (each.content) each.content->file.reset();
  }
  erase_if_unused(old_parent);
}

// --- files ---

std::shared_ptr<EditedFile> MountedTree::edit(std::shared_ptr<WritableFile> file,
                                              std::uint64_t size, FileTime modified,
                                              const RemotePath& path) {
  EditedFile::Environment environment{
      timer_, options_.request_limit, stop_.get_token(), [this, path](const Error& error) {
        log(LogLevel::Error, "writing " + path.text() + ": " + error.message());
        if (loss_report_) loss_report_(path.text(), error);
      }};
  auto edited =
      std::make_shared<EditedFile>(std::move(file), size, modified, std::move(environment));
  const std::lock_guard lock(mutex_);
  std::erase_if(edited_files_, [](const auto& weak) { return weak.expired(); });
  edited_files_.push_back(edited);
  return edited;
}

/// All that have the file open see from now on what is written.
MountedTree::Opened MountedTree::start_editing(NodeId id, std::shared_ptr<EditedFile> edited,
                                               const RemotePath& path) {
  Opened opened;
  const std::lock_guard lock(mutex_);
  Node& node = node_at(id);
  node.edited = edited;
  for (const auto& weak : node.handles) {
    if (const auto handle = weak.lock()) handle->switch_to(edited);
  }
  if (node.content) {
    node.content->id = 0;
    node.content->in_page_cache = 0;
    node.content->file.reset();
  }
  opened.file = add_handle(node, std::make_shared<OpenFile>(std::move(edited), path.text(), true));
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
        auto edited_file =
            edit(std::move(file), now.size.value_or(0), now.modified.value_or(mounted_at_), path);
        *opened = start_editing(id, std::move(edited_file), path);
      });
}

void MountedTree::released(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  Node& node = found->second;
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

void MountedTree::create(NodeId directory, const std::string& name, const WriteMode& mode,
                         CreateReply reply) {
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    path = live_path_of(directory).child(name);
  }
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
        if (!mode.exclusive && !mode.truncate) {
          // Somebody else may have made it first.
          if (const auto found = store_->stat(path, limits)) now = *found;
        }
        NodeId id = 0;
        {
          const std::lock_guard lock(mutex_);
          ChildEntry& entry = name_added(directory, name, EntryKind::File);
          entry.size = now.size.value_or(0);
          entry.mode = static_cast<std::uint16_t>(now.mode.value_or(0644));
          id = find_or_add_child(directory, name, EntryKind::File);
          ++node_at(id).lookups;
        }
        auto edited_file =
            edit(std::move(file), now.size.value_or(0), now.modified.value_or(mounted_at_), path);
        made->opened = start_editing(id, std::move(edited_file), path);
        const std::lock_guard lock(mutex_);
        made->attributes = attributes_of(id);
      });
}

void MountedTree::make_directory(NodeId directory, const std::string& name, std::uint32_t mode,
                                 AttributesReply reply) {
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    path = live_path_of(directory).child(name);
  }
  const auto attributes = std::make_shared<Attributes>();
  run_change(
      path, [attributes, reply](const Error* error) { reply(error, *attributes); },
      [this, directory, name, mode, path, attributes] {
        store_->editor()->make_directory(path, mode, context(Priority::Demand));
        const std::lock_guard lock(mutex_);
        name_added(directory, name, EntryKind::Directory).mode = static_cast<std::uint16_t>(mode);
        const NodeId id = find_or_add_child(directory, name, EntryKind::Directory);
        Node& node = node_at(id);
        ++node.lookups;
        node.directory->listing = std::make_shared<DirectoryListing>(
            std::vector<Entry>{}, mounted_at_,
            std::chrono::steady_clock::now() + options_.attribute_lifetime);
        *attributes = attributes_of(id);
      });
}

void MountedTree::make_symlink(NodeId directory, const std::string& name, const std::string& target,
                               AttributesReply reply) {
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    path = live_path_of(directory).child(name);
  }
  const auto attributes = std::make_shared<Attributes>();
  run_change(
      path, [attributes, reply](const Error* error) { reply(error, *attributes); },
      [this, directory, name, target, path, attributes] {
        const RequestContext limits = context(Priority::Demand);
        store_->editor()->make_symlink(path, target, limits);
        // Where it leads to decides what it is shown as.
        const auto found = store_->stat(path, limits);
        if (!found) {
          // It would not be shown, and nobody could take it away again.
          store_->editor()->remove(path, limits);
          throw Error(
              ErrorKind::PermissionDenied,
              path.text() + ": the link would lead out of the mounted directory to nothing");
        }
        const std::lock_guard lock(mutex_);
        name_added(directory, name, found->kind);
        store_stat(directory, name, found);
        const NodeId id = find_or_add_child(directory, name, found->kind);
        ++node_at(id).lookups;
        *attributes = attributes_of(id);
      });
}

void MountedTree::make_hard_link(NodeId existing, NodeId directory, const std::string& name,
                                 AttributesReply reply) {
  RemotePath from;
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    from = live_path_of(existing);
    path = live_path_of(directory).child(name);
  }
  const auto attributes = std::make_shared<Attributes>();
  run_change(
      path, [attributes, reply](const Error* error) { reply(error, *attributes); },
      [this, directory, name, from, path, attributes] {
        const RequestContext limits = context(Priority::Demand);
        store_->editor()->make_hard_link(from, path, limits);
        const auto found = store_->stat(path, limits);
        if (!found) throw Error(ErrorKind::NotFound, path.text() + " does not exist");
        const std::lock_guard lock(mutex_);
        name_added(directory, name, found->kind);
        store_stat(directory, name, found);
        const NodeId id = find_or_add_child(directory, name, found->kind);
        ++node_at(id).lookups;
        *attributes = attributes_of(id);
      });
}

void MountedTree::remove(NodeId directory, const std::string& name, Done reply) {
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    path = live_path_of(directory).child(name);
  }
  run_change(path, std::move(reply), [this, directory, name, path] {
    hold_on_to_all(directory, name);
    store_->editor()->remove(path, context(Priority::Demand));
    const std::lock_guard lock(mutex_);
    unlink_node(directory, name);
    name_removed(directory, name);
  });
}

void MountedTree::remove_directory(NodeId directory, const std::string& name, Done reply) {
  RemotePath path;
  {
    const std::lock_guard lock(mutex_);
    path = live_path_of(directory).child(name);
  }
  run_change(path, std::move(reply), [this, directory, name, path] {
    store_->editor()->remove_directory(path, context(Priority::Demand));
    const std::lock_guard lock(mutex_);
    unlink_node(directory, name);
    name_removed(directory, name);
  });
}

void MountedTree::rename(NodeId directory, const std::string& name, NodeId new_directory,
                         const std::string& new_name, bool replace, Done reply) {
  RemotePath from;
  RemotePath to;
  {
    const std::lock_guard lock(mutex_);
    from = live_path_of(directory).child(name);
    to = live_path_of(new_directory).child(new_name);
  }
  run_change(from, std::move(reply),
             [this, directory, name, new_directory, new_name, replace, from, to] {
               hold_on_to_all(directory, name);
               hold_on_to_all(new_directory, new_name);
               store_->editor()->rename(from, to, replace, context(Priority::Demand));
               const std::lock_guard lock(mutex_);
               const NodeId id = find_child(directory, name);
               const ChildEntry* known = entry_of(directory, name);
               ChildEntry moved;
               if (known != nullptr) moved = *known;
               if (from == to) return;
               unlink_node(new_directory, new_name);
               name_removed(new_directory, new_name);
               ChildEntry& entry = name_added(new_directory, new_name, moved.kind);
               const TimePoint valid_until = moved.valid_until;
               moved.name = new_name;
               entry = moved;
               entry.valid_until = known == nullptr ? TimePoint{} : valid_until;
               name_removed(directory, name);
               if (id == 0) return;
               move_node(id, new_directory, new_name);
             });
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

void MountedTree::space(SpaceReply reply) {
  const auto space = std::make_shared<FileSystemSpace>();
  run_change(
      {}, [space, reply](const Error* error) { reply(error, *space); },
      [this, space] { *space = store_->editor()->space(context(Priority::Demand)); });
}

}  // namespace red
