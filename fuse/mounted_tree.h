#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/cache/block_cache.h"
#include "common/cache/cached_file.h"
#include "common/cache/content_check.h"
#include "common/remote/remote_store.h"
#include "common/timer.h"
#include "common/worker_pool.h"
#include "fuse/directory_listing.h"
#include "fuse/edited_file.h"
#include "fuse/files_ahead.h"
#include "fuse/mount_stats.h"
#include "fuse/open_file.h"

namespace red {

/// Names a file or directory towards the kernel. Made from the path, so that a directory entry has
/// its number before anybody has looked it up.
using NodeId = std::uint64_t;
inline constexpr NodeId kRootNode = 1;

struct Attributes {
  NodeId node = 0;  ///< 0: there is no such name
  EntryKind kind = EntryKind::File;
  std::uint64_t size = 0;  ///< bytes; 0 also while it is unknown
  FileTime modified{};
  Duration valid_for{};               ///< how long the kernel may believe this
  std::optional<std::uint32_t> mode;  ///< permission bits, where the protocol has them
  NodeId same_file_as = 0;            ///< whose inode number it shows; 0: its own
};

/// A RemoteStore as a file system, read-only unless it has an editor, without FUSE: every call
/// returns at once and answers through its reply, at once if the answer is known, else from another
/// thread. Every reply is called exactly once, without any lock held. Null error: success.
class MountedTree {
 public:
  struct Options {
    std::uint64_t cache_bytes = 256 * 1024 * 1024;
    bool keep_cache = true;  ///< false: nothing is kept between reads
    bool writable = false;   ///< the store has an editor, and it is to be used
    /// What the store lists is the truth: no answer of the server changes it.
    bool is_known_tree = false;
    Duration attribute_lifetime = std::chrono::seconds(60);
    Duration request_limit = std::chrono::seconds(30);  ///< for a read, a stat, a listing
  };
  using AttributesReply = std::function<void(const Error* error, const Attributes& attributes)>;
  using ListingReply =
      std::function<void(const Error* error, std::shared_ptr<DirectoryListing> listing)>;
  using TextReply = std::function<void(const Error* error, const std::string& text)>;
  using Done = std::function<void(const Error* error)>;
  using CopyReply = std::function<void(const Error* error, std::uint64_t bytes)>;
  using SpaceReply = std::function<void(const Error* error, const FileSystemSpace& space)>;
  struct Opened {
    std::shared_ptr<OpenFile> file;
    bool keep_page_cache = false;  ///< what the kernel has of the file is still right
    bool direct_io = false;        ///< the size that the kernel was told is not to be trusted
  };
  using OpenReply = std::function<void(const Error* error, Opened opened)>;
  using CreateReply =
      std::function<void(const Error* error, const Attributes& attributes, Opened opened)>;
  enum class Access { Read, Write, WriteTruncated };
  /// Told what the kernel has to forget: an entry of a directory and the node it led to. Called
  /// from a worker thread.
  using Invalidation = std::function<void(NodeId directory, const std::string& name, NodeId node)>;
  /// Told what was written and could not be brought to the server. From any thread.
  using LossReport = std::function<void(const std::string& path, const Error& error)>;

  /// `timer` must outlive the tree.
  MountedTree(std::unique_ptr<RemoteStore> store, Timer& timer, const Options& options);
  ~MountedTree();
  MountedTree(const MountedTree&) = delete;
  MountedTree& operator=(const MountedTree&) = delete;

  /// Lists the root; throws if that is not possible. Blocks.
  void load_root();
  void set_invalidation(Invalidation invalidation);
  void set_loss_report(LossReport report);
  /// Told that the kernel has to ask for the attributes of a node before it reads on. From any
  /// thread; must not wait for the kernel.
  void set_attribute_invalidation(std::function<void(NodeId)> invalidation);
  /// Until everything that was written has been sent or lost, or the limit has passed.
  void wait_for_writes(Duration limit);
  /// Ends everything that waits for the network and joins the worker threads; later calls fail.
  void shut_down();

  /// Each success with a node counts one lookup, which forget() takes back.
  void lookup(NodeId directory, const std::string& name, AttributesReply reply);
  void forget(NodeId node, std::uint64_t lookups);
  void get_attributes(NodeId node, AttributesReply reply);

  void open_directory(NodeId directory, ListingReply reply);
  /// The attributes of an entry of an opened directory, counted as a lookup; nothing if they would
  /// have to be fetched.
  std::optional<Attributes> enter(NodeId directory, DirectoryListing& listing, std::size_t index);
  /// The number that a child has or will have.
  NodeId number_of(NodeId directory, std::string_view name) const;
  NodeId parent_of(NodeId node) const;

  void read_link(NodeId node, TextReply reply);
  void open(NodeId node, Access access, OpenReply reply);
  /// After the last use of an opened file.
  void released(NodeId node);

  // Changes, for a writable tree. Each answers when the server has answered; what is asked after
  // the answer sees it. Success with attributes counts one lookup, but for change().
  void create(NodeId directory, const std::string& name, const WriteMode& mode, CreateReply reply);
  void make_directory(NodeId directory, const std::string& name, std::uint32_t mode,
                      AttributesReply reply);
  void make_symlink(NodeId directory, const std::string& name, const std::string& target,
                    AttributesReply reply);
  void make_hard_link(NodeId existing, NodeId directory, const std::string& name,
                      AttributesReply reply);
  void remove(NodeId directory, const std::string& name, Done reply);
  void remove_directory(NodeId directory, const std::string& name, Done reply);
  void rename(NodeId directory, const std::string& name, NodeId new_directory,
              const std::string& new_name, bool replace, Done reply);
  void change(NodeId node, const FileChange& change, AttributesReply reply);
  /// Error{Unsupported} where the server cannot; fewer bytes than asked are no error.
  void copy(NodeId from, ByteRange range, NodeId to, std::uint64_t offset, CopyReply reply);
  void space(SpaceReply reply);
  bool is_writable() const { return options_.writable; }

  std::vector<std::string_view> extended_attribute_names(NodeId node);
  /// Error NotFound for a name or value that does not exist.
  void get_extended_attribute(NodeId node, std::string_view name, TextReply reply);

  std::uint64_t cache_bytes_in_use() const { return cache_.bytes_in_use(); }
  std::uint64_t cache_bytes_bound() const { return cache_.max_bytes(); }
  MountCounters& counters() { return counters_; }
  /// What the tree knows of what it has done.
  MountStats stats() const;
  Duration request_limit() const { return options_.request_limit; }
  Timer& timer() const { return timer_; }

 private:
  /// The content of a file that is or was open.
  struct Content {
    ContentId id = 0;
    Version version;
    std::string content_type;
    TimePoint checked{};  ///< when the server last confirmed it
    std::weak_ptr<CachedFile> file;
    ContentId in_page_cache = 0;
    std::shared_ptr<ContentCheck> check;  ///< null if nothing is promised
  };
  struct Directory {
    std::shared_ptr<DirectoryListing> listing;
    bool is_loading = false;
    std::vector<ListingReply> waiting;
    /// Names that the listing does not show but that were asked for one by one.
    std::map<std::string, ChildEntry, std::less<>> unlisted;
    std::map<std::string, TimePoint, std::less<>> absent;
    /// Listed names that have been removed since.
    std::set<std::string, std::less<>> removed;
    std::uint64_t changes = 0;  ///< made here; a listing that was asked for before misses them
    TimePoint changed_at{};     ///< the last time that names were
    std::uint64_t changes_when_asked = 0;
    FilesAheadPolicy files_ahead;
    std::stop_source files_ahead_stop;  ///< of what was fetched for the present reader
  };
  /// What the last reader who went through a directory's files did: it may do the same next door.
  struct FilesReader {
    NodeId parent = 0;
    FileOrder order = FileOrder::Listed;
  };
  struct Node {
    NodeId parent = 0;
    std::string name;
    EntryKind kind = EntryKind::File;
    std::uint64_t lookups = 0;
    std::uint32_t children = 0;
    std::unique_ptr<Directory> directory;
    std::unique_ptr<Content> content;
    bool is_unlinked = false;              ///< its name is gone, or another file's
    std::optional<ChildEntry> last_known;  ///< of one that is unlinked
    NodeId same_file_as = 0;               ///< another name of that node's file; 0: of none
    // Of a writable tree:
    std::weak_ptr<EditedFile> edited;
    std::vector<std::weak_ptr<OpenFile>> handles;
  };

  // With mutex_ held:
  Node& node_at(NodeId id);
  NodeId find_or_add_child(NodeId directory, std::string_view name, EntryKind kind);
  RemotePath path_of(NodeId id) const;
  ChildEntry* entry_of(NodeId directory, std::string_view name);
  Attributes attributes_of(NodeId id);
  Attributes root_attributes() const;
  void erase_if_unused(NodeId id);
  void release_lookups(NodeId id, std::uint64_t lookups);
  void store_stat(NodeId directory, const std::string& name, const std::optional<Entry>& found);
  void charge(std::int64_t bytes);
  NodeId find_child(NodeId directory, std::string_view name) const;
  std::shared_ptr<EditedFile> being_written(const Node& node) const;
  void names_changed(NodeId directory);
  bool trusts_in_absence(const Directory& state, TimePoint now) const;
  void name_added(NodeId directory, const std::string& name, EntryKind kind);
  void name_removed(NodeId directory, const std::string& name);
  ChildEntry* known_of(NodeId id);
  void move_node(NodeId id, NodeId directory, const std::string& name);
  static bool is_open(const Node& node);
  std::shared_ptr<OpenFile> add_handle(NodeId id, std::shared_ptr<OpenFile> handle);
  static void switch_to(Node& node, const std::shared_ptr<EditedFile>& edited);
  RemotePath live_path_of(NodeId id) const;
  /// The content that is read when the file is opened now; `has_changed`: it is another one than
  /// before.
  std::shared_ptr<CachedFile> content_of(NodeId id, const ChildEntry& entry, bool& has_changed);
  std::vector<std::shared_ptr<CachedFile>> files_to_fetch(NodeId directory,
                                                          DirectoryListing& listing,
                                                          const FilesAheadPolicy::Step& step);
  void release_oldest(std::deque<std::pair<TimePoint, NodeId>>& held, std::size_t max_count);

  // Without it:
  void load_listing(NodeId directory, Priority priority, ListingReply reply);
  void fetch_listing(NodeId directory, Priority priority);
  std::shared_ptr<DirectoryListing> with_changes(NodeId id,
                                                 std::shared_ptr<DirectoryListing> listing);
  bool has_moved(NodeId directory, std::uint64_t moves) const;
  void list_ahead(NodeId directory);
  void refresh_ahead(NodeId directory);
  bool is_better_asked_alone(NodeId directory);
  void listing_loaded(NodeId directory, const Error* error, std::vector<Entry> entries);
  void lookup_listed(NodeId directory, const std::string& name, AttributesReply reply);
  /// The attributes of a child, counted as a lookup, if they are known and complete.
  std::optional<Attributes> enter_complete(NodeId directory, const std::string& name);
  /// The same, from the server if need be.
  void complete_child(NodeId directory, const std::string& name, AttributesReply reply);
  Duration absence_lifetime(NodeId directory);
  enum class Ask { Always, IfIncomplete };
  void stat_child(NodeId directory, const std::string& name, Ask ask, Priority priority,
                  std::function<void(const Error*)> done);
  void stat_siblings_ahead(NodeId directory, const std::string& name);
  static bool is_proved_by_listing(const ChildEntry& entry, const Content& content);
  void finish_open(NodeId node, bool confirmed, OpenReply reply);
  void fetch_files_ahead(NodeId node);
  std::shared_ptr<CachedFile> open_content(NodeId id, const RemotePath& path,
                                           std::optional<std::uint64_t> size, Content& content);
  std::shared_ptr<ContentCheck> make_check(NodeId id, Checksum promised,
                                           std::optional<std::uint64_t> size);
  void open_for_writing(NodeId node, bool truncate, OpenReply reply);
  std::shared_ptr<EditedFile> edit(std::shared_ptr<WritableFile> file, const Entry& now,
                                   const RemotePath& path);
  Opened start_editing(NodeId node, std::shared_ptr<EditedFile> edited, const RemotePath& path);
  std::shared_ptr<EditedFile> edited_of(NodeId id) const;
  void hold_on_to(NodeId id, const RemotePath& path, bool loses_name);
  void hold_on_to_all(NodeId directory, const std::string& name);
  std::shared_ptr<EditedFile> open_held(const RemotePath& path);
  std::vector<std::shared_ptr<EditedFile>> edited_files() const;
  RemotePath path_of_child(NodeId directory, const std::string& name) const;
  NodeId enter_made(NodeId directory, const std::string& name, const Entry& made);
  Attributes known_attributes_of(NodeId id);
  void make_entry(NodeId directory, const std::string& name, AttributesReply reply,
                  std::function<Entry(const RemotePath& path, const RequestContext& limits)> make);
  void list_as_empty(NodeId directory);
  static void check_length(const std::string& name);
  NodeId link_inodes(NodeId existing, NodeId linked);
  Attributes enter_as_link(NodeId directory, const std::string& name, const std::string& target,
                           NodeId shown);
  void name_moved(NodeId directory, const std::string& name, NodeId new_directory,
                  const std::string& new_name);
  /// Runs a change on a worker; what it throws becomes the answer.
  void run_change(const RemotePath& path, Done reply, std::function<void()> change);
  void answered(NodeId node, const ReadAnswer& answer);
  void failed(NodeId node, const Error& error);
  RequestContext context(Priority priority) const;
  bool run_on_worker(Priority priority, std::function<void()> task);

  /// Each blocks on one request for metadata; half of them, those for the background, are as many
  /// requests as servers like to have at a time.
  static constexpr std::size_t kMaxWorkers = 64;

  const Options options_;
  Timer& timer_;
  const FileTime mounted_at_;
  MountCounters counters_;
  std::stop_source stop_;
  BlockCache cache_;
  ReadAheadBudget read_ahead_;
  WorkerPool workers_{kMaxWorkers};
  Invalidation invalidation_;  ///< set once, before the first request
  LossReport loss_report_;     ///< likewise
  const std::shared_ptr<std::atomic<bool>> sets_times_ = std::make_shared<std::atomic<bool>>(false);
  std::function<void(NodeId)> attribute_invalidation_;  ///< likewise

  mutable std::mutex mutex_;
  // guarded by mutex_
  Attributes root_;
  std::unordered_map<NodeId, Node> nodes_;
  std::map<std::pair<NodeId, std::string>, std::vector<std::function<void(const Error*)>>>
      stats_waiting_;
  ContentId next_content_ = 1;
  /// Names whose node has another number than the name would give it.
  std::map<std::pair<NodeId, std::string>, NodeId> aliases_;
  std::vector<std::weak_ptr<EditedFile>> edited_files_;
  std::set<NodeId> opened_;            ///< files of a writable tree that have handles
  std::uint64_t directory_moves_ = 0;  ///< renames of directories
  /// Directories that were listed before anybody asked: each is held as if looked up once.
  std::deque<std::pair<TimePoint, NodeId>> listed_ahead_;
  /// Likewise files that were fetched.
  std::deque<std::pair<TimePoint, NodeId>> fetched_ahead_;
  std::optional<FilesReader> files_reader_;

  /// Set once. Destroyed first: until then its transport still answers reads that were under way.
  const std::unique_ptr<RemoteStore> store_;
};

}  // namespace red
