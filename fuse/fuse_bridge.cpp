#define FUSE_USE_VERSION 312

#include "fuse/fuse_bridge.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/logging.h"
#include "fuse/mount_table.h"
#include "fuse/mounted_tree.h"

namespace red {
namespace {

constexpr unsigned kMaxThreads = 8;
// The kernel's default of 12 would cap its own reading ahead at 12 requests for the whole mount.
constexpr unsigned kMaxBackground = 256;
constexpr unsigned kCongestionThreshold = 192;
constexpr unsigned kBlockUnit = 4096;
constexpr unsigned kMaxName = 255;
// A worker answers in time by itself; this is for the one that does not come to its turn.
constexpr std::chrono::seconds kGrace{2};
constexpr std::chrono::milliseconds kDyingCheck{100};
// What a killed program has written goes out after the mount is gone. umount-dir waits longer.
constexpr std::chrono::milliseconds kFlushLimit{1500};
constexpr int kWakeSignal = SIGUSR2;

/// Whether a thread has a fatal signal pending. The kernel tells a file system of any signal, once;
/// only a dying caller may get EINTR, for programs do not expect it of files.
bool is_dying(pid_t thread) {
  if (thread == 0) return true;  // of another pid namespace: cannot be told
  std::ifstream status("/proc/" + std::to_string(thread) + "/status");
  if (!status) return true;
  constexpr unsigned long long kKillBit = 1ULL << (SIGKILL - 1);
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    if ((std::stoull(line.substr(7), nullptr, 16) & kKillBit) != 0) return true;
  }
  return false;
}

/// EINTR is for callers that are being killed; what we called off ourselves has failed for the
/// others.
int errno_of(const Error& error) {
  return error.kind() == ErrorKind::Cancelled ? EIO : error.error_number();
}

int errno_for_read(const Error& error) {
  // A file that is gone is no missing name to somebody who has it open.
  return error.kind() == ErrorKind::NotFound ? ESTALE : errno_of(error);
}

/// What statvfs is told where nobody knows the space; this must not need the network.
void answer_without_space(fuse_req_t request) {
  struct statvfs facts = {};
  facts.f_bsize = kBlockUnit;
  facts.f_frsize = kBlockUnit;
  facts.f_namemax = kMaxName;
  fuse_reply_statfs(request, &facts);
}

}  // namespace

class FuseSession::Impl {
 public:
  Impl(MountedTree& tree, const std::filesystem::path& mount_point, const FuseOptions& options,
       std::function<void()> on_ready);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void run();
  void request_exit();

 private:
  class Request;
  struct OpenDirectory {
    NodeId node;
    std::shared_ptr<DirectoryListing> listing;
  };

  static Impl& of(fuse_req_t request) { return *static_cast<Impl*>(fuse_req_userdata(request)); }
  fuse_lowlevel_ops operations() const;

  /// Runs the start of an operation; what it throws becomes the answer.
  template <typename Operation>
  static void serve(fuse_req_t request, Operation operation);

  static void on_init(void* self, fuse_conn_info* connection);
  static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  static void on_forget(fuse_req_t request, fuse_ino_t node, std::uint64_t lookups);
  static void on_forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets);
  static void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*);
  static void on_readlink(fuse_req_t request, fuse_ino_t node);
  static void on_open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info);
  static void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                      fuse_file_info* info);
  static void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info);
  static void on_opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* info);
  static void on_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                         fuse_file_info* info);
  static void on_readdirplus(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                             fuse_file_info* info);
  static void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info);
  static void on_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int which,
                         fuse_file_info*);
  static void on_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
                        fuse_file_info* info);
  static void on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t);
  static void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode);
  static void on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name);
  static void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name);
  static void on_rename(fuse_req_t request, fuse_ino_t parent, const char* name,
                        fuse_ino_t new_parent, const char* new_name, unsigned flags);
  static void on_symlink(fuse_req_t request, const char* target, fuse_ino_t parent,
                         const char* name);
  static void on_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent,
                      const char* new_name);
  static void on_write(fuse_req_t request, fuse_ino_t, const char* bytes, std::size_t size,
                       off_t offset, fuse_file_info* info);
  static void on_flush(fuse_req_t request, fuse_ino_t, fuse_file_info* info);
  static void on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info* info);
  static void on_copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset,
                                 fuse_file_info*, fuse_ino_t to, off_t to_offset, fuse_file_info*,
                                 std::size_t length, int);
  static void on_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info*);
  static void on_statfs(fuse_req_t request, fuse_ino_t);
  static void on_getxattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t size);
  static void on_listxattr(fuse_req_t request, fuse_ino_t node, std::size_t size);

  void read_directory(fuse_req_t request, std::size_t size, off_t offset,
                      const OpenDirectory& directory, bool with_attributes);
  /// The answer to what makes or finds a name: a counted lookup.
  MountedTree::AttributesReply entry_reply(const std::shared_ptr<Request>& pending);
  MountedTree::AttributesReply attributes_reply(const std::shared_ptr<Request>& pending) const;
  static MountedTree::Done plain_reply(const std::shared_ptr<Request>& pending);
  std::size_t add_entry(fuse_req_t request, char* buffer, std::size_t size, off_t next,
                        const OpenDirectory& directory, std::size_t position, bool with_attributes);
  struct stat stat_of(const Attributes& attributes) const;
  fuse_entry_param entry_of(const Attributes& attributes) const;
  void answer_open_requests();
  bool is_still_mounted() const noexcept;

  MountedTree& tree_;
  const std::filesystem::path mount_point_;
  const std::function<void()> on_ready_;
  const uid_t uid_ = getuid();
  const gid_t gid_ = getgid();
  fuse_session* session_ = nullptr;
  std::optional<DeviceNumber> device_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::vector<std::weak_ptr<Request>> open_requests_;
  std::size_t open_count_ = 0;
  bool is_running_ = false;
  bool is_closing_ = false;
  pthread_t loop_thread_{};
};

/// A request of the kernel that is answered exactly once, by whoever claims it first: the
/// operation's reply, an interrupt, the deadline, or the end of the session.
class FuseSession::Impl::Request : public std::enable_shared_from_this<Request> {
 public:
  Request(Impl& session, fuse_req_t request) : session_(session), request_(request) {}

  static std::shared_ptr<Request> create(Impl& session, fuse_req_t request) {
    auto created = std::make_shared<Request>(session, request);
    const std::lock_guard lock(session.mutex_);
    ++session.open_count_;
    return created;
  }

  /// True for the one who may and must answer.
  bool claim() {
    bool was_watched = false;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(is_claimed_, true)) return false;
      was_watched = is_watched_;
    }
    // Waits for a running on_interrupt(), after which nobody has a pointer to this any more.
    if (was_watched) fuse_req_interrupt_func(request_, nullptr, nullptr);
    return true;
  }

  /// To be called after the answer has been sent.
  void answered() {
    if (timer_) session_.tree_.counters().metadata_answered(*timer_);
    const std::lock_guard lock(session_.mutex_);
    if (--session_.open_count_ == 0) session_.changed_.notify_all();
  }

  bool answer_error(int error_number) {
    if (!claim()) return false;
    fuse_reply_err(request_, error_number);
    answered();
    return true;
  }

  /// The operation has failed.
  void fail(const Error& error) {
    session_.tree_.counters().failed(error);
    answer_error(errno_of(error));
  }

  /// To be called once, before the operation: it is counted as one on metadata.
  void count() { timer_.emplace(); }
  /// The start of the operation has returned.
  void call_returned() {
    if (timer_) timer_->call_returned();
  }

  /// Called when the operation was not answered at once: from now on it can be interrupted.
  /// `abandon` is called when somebody else has answered.
  void watch(std::optional<Duration> limit, std::function<void()> abandon) {
    {
      const std::lock_guard lock(mutex_);
      if (is_claimed_) return;
      abandon_ = std::move(abandon);
      is_watched_ = true;
      fuse_req_interrupt_func(request_, on_interrupt, this);
    }
    {
      const std::lock_guard lock(session_.mutex_);
      auto& open = session_.open_requests_;
      if (open.size() >= 64 && open.size() >= 2 * session_.open_count_) {
        std::erase_if(open, [](const auto& request) { return request.expired(); });
      }
      open.push_back(weak_from_this());
      if (session_.is_closing_) limit = Duration::zero();
    }
    if (!limit) return;
    session_.tree_.timer().at(std::chrono::steady_clock::now() + *limit, [self = weak_from_this()] {
      if (const auto request = self.lock()) request->give_up(EIO);
    });
  }

  void give_up(int error_number) {
    if (!answer_error(error_number)) return;
    if (abandon_) abandon_();
  }

  fuse_req_t get() const { return request_; }

 private:
  /// Under a lock of libfuse: only passes on.
  static void on_interrupt(fuse_req_t, void* self) {
    auto* request = static_cast<Request*>(self);
    request->check_caller_at(std::chrono::steady_clock::now());
  }

  void check_caller_at(TimePoint when) {
    session_.tree_.timer().at(when, [self = weak_from_this()] {
      if (const auto request = self.lock()) request->check_caller();
    });
  }

  void check_caller() {
    pid_t caller = 0;
    {
      const std::lock_guard lock(mutex_);
      if (is_claimed_) return;
      caller = fuse_req_ctx(request_)->pid;
    }
    if (is_dying(caller)) {
      give_up(EINTR);
    } else {
      check_caller_at(std::chrono::steady_clock::now() + kDyingCheck);
    }
  }

  Impl& session_;
  const fuse_req_t request_;
  std::optional<OperationTimer> timer_;  ///< of what is counted; set before the operation

  std::mutex mutex_;
  // guarded by mutex_; abandon_ is set before is_watched_ and constant afterwards
  bool is_claimed_ = false;
  bool is_watched_ = false;
  std::function<void()> abandon_;
};

template <typename Operation>
void FuseSession::Impl::serve(fuse_req_t request, Operation operation) {
  Impl& self = of(request);
  const std::shared_ptr<Request> pending = Request::create(self, request);
  pending->count();
  try {
    operation(self, pending);
  } catch (...) {
    pending->fail(current_exception_as_error());
    return;
  }
  pending->call_returned();
  pending->watch(self.tree_.request_limit() + kGrace, nullptr);
}

// --- session ---

FuseSession::Impl::Impl(MountedTree& tree, const std::filesystem::path& mount_point,
                        const FuseOptions& options, std::function<void()> on_ready)
    : tree_(tree), mount_point_(mount_point), on_ready_(std::move(on_ready)) {
  std::string source;
  for (const char c : options.source) {
    if (c == ',' || c == '\\') source += '\\';
    source += c;
  }
  std::string mount_options =
      std::string(tree_.is_writable() ? "rw" : "ro") +
      ",nosuid,nodev,default_permissions,subtype=red-connector,fsname=" + source;
  if (options.allow_other) mount_options += ",allow_other";
  std::vector<std::string> words{"red-connector", "-o", mount_options};
  if (options.debug) words.emplace_back("-d");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());

  const fuse_lowlevel_ops table = operations();
  session_ = fuse_session_new(&args, &table, sizeof(table), this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) throw Error(ErrorKind::Mount, "libfuse refused to make a session");
  if (fuse_session_mount(session_, mount_point.c_str()) != 0) {
    fuse_session_destroy(session_);
    throw Error(ErrorKind::Mount,
                "cannot mount on " + mount_point.string() +
                    ": the system refuses it; mounting needs /dev/fuse, and CAP_SYS_ADMIN or "
                    "fusermount3" +
                    (options.allow_other && uid_ != 0
                         ? ", and allowOther needs user_allow_other in /etc/fuse.conf"
                         : ""));
  }
  const MountTable table_of_mounts = read_mount_table();
  if (const MountEntry* mounted = find_top_mount(table_of_mounts, mount_point)) {
    device_ = mounted->device;
  }
  tree_.set_attribute_invalidation([this](NodeId node) {
    // A negative offset: the attributes only, no page that somebody may hold.
    fuse_lowlevel_notify_inval_inode(session_, node, -1, 0);
  });
  tree_.set_invalidation([this](NodeId directory, const std::string& name, NodeId node) {
    fuse_lowlevel_notify_inval_entry(session_, directory, name.c_str(), name.size());
    fuse_lowlevel_notify_inval_inode(session_, node, -1, 0);
  });
}

FuseSession::Impl::~Impl() {
  answer_open_requests();
  tree_.wait_for_writes(kFlushLimit);
  tree_.shut_down();
  if (is_still_mounted()) fuse_session_unmount(session_);
  fuse_session_destroy(session_);
}

/// A mount that was detached may have been followed by another one at the same place, which is not
/// ours to take away.
bool FuseSession::Impl::is_still_mounted() const noexcept {
  try {
    return device_ && is_mounted(read_mount_table(), mount_point_, *device_);
  } catch (...) {
    return false;
  }
}

void FuseSession::Impl::run() {
  struct sigaction wake = {};
  wake.sa_handler = [](int) {};
  sigaction(kWakeSignal, &wake, nullptr);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, kWakeSignal);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  {
    const std::lock_guard lock(mutex_);
    is_running_ = true;
    loop_thread_ = pthread_self();
    if (is_closing_) fuse_session_exit(session_);
  }
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, kMaxThreads);
  fuse_session_loop_mt(session_, config);
  fuse_loop_cfg_destroy(config);
  {
    const std::lock_guard lock(mutex_);
    is_running_ = false;
  }
  changed_.notify_all();
  answer_open_requests();
}

void FuseSession::Impl::request_exit() {
  std::unique_lock lock(mutex_);
  is_closing_ = true;
  fuse_session_exit(session_);
  // libfuse's loop sleeps in sem_wait(), which only a signal ends; one that comes too early is
  // lost.
  while (is_running_) {
    pthread_kill(loop_thread_, kWakeSignal);
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
}

/// No answer may be sent after the session is gone, and no caller may be left without one.
void FuseSession::Impl::answer_open_requests() {
  std::unique_lock lock(mutex_);
  is_closing_ = true;
  const auto open = std::exchange(open_requests_, {});
  lock.unlock();
  for (const auto& weak : open) {
    if (const auto request = weak.lock()) request->give_up(EIO);
  }
  lock.lock();
  changed_.wait_for(lock, std::chrono::seconds(5), [this] { return open_count_ == 0; });
}

fuse_lowlevel_ops FuseSession::Impl::operations() const {
  fuse_lowlevel_ops table = {};
  table.init = on_init;
  table.lookup = on_lookup;
  table.forget = on_forget;
  table.forget_multi = on_forget_multi;
  table.getattr = on_getattr;
  table.readlink = on_readlink;
  table.open = on_open;
  table.read = on_read;
  table.release = on_release;
  table.opendir = on_opendir;
  table.readdir = on_readdir;
  table.readdirplus = on_readdirplus;
  table.releasedir = on_releasedir;
  if (tree_.is_writable()) {
    table.setattr = on_setattr;
    table.create = on_create;
    table.mknod = on_mknod;
    table.mkdir = on_mkdir;
    table.unlink = on_unlink;
    table.rmdir = on_rmdir;
    table.rename = on_rename;
    table.symlink = on_symlink;
    table.link = on_link;
    table.write = on_write;
    table.flush = on_flush;
    table.fsync = on_fsync;
    table.fsyncdir = on_fsyncdir;
    table.copy_file_range = on_copy_file_range;
  }
  table.statfs = on_statfs;
  table.getxattr = on_getxattr;
  table.listxattr = on_listxattr;
  return table;
}

void FuseSession::Impl::on_init(void* self, fuse_conn_info* connection) {
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kCongestionThreshold;
  // Splicing was measured to be slower than plain replies; what the kernel caches is dropped by us,
  // when the validator changes, not by its own comparison of times.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                             FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
  connection->want |=
      connection->capable &
      static_cast<unsigned>(FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                            FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC);
  static_cast<Impl*>(self)->on_ready_();
}

// --- attributes ---

struct stat FuseSession::Impl::stat_of(const Attributes& attributes) const {
  struct stat result = {};
  result.st_ino = attributes.same_file_as != 0 ? attributes.same_file_as : attributes.node;
  result.st_nlink = 1;
  switch (attributes.kind) {
    case EntryKind::File:
      result.st_mode = S_IFREG | attributes.mode.value_or(0444U);
      break;
    case EntryKind::Directory:
      result.st_mode = S_IFDIR | attributes.mode.value_or(tree_.is_writable() ? 0755U : 0555U);
      result.st_nlink = 2;
      break;
    case EntryKind::Symlink:
      result.st_mode = S_IFLNK | 0777U;
      break;
  }
  result.st_uid = uid_;
  result.st_gid = gid_;
  result.st_size = static_cast<off_t>(attributes.size);
  result.st_blocks = static_cast<blkcnt_t>((attributes.size + 511) / 512);
  result.st_blksize = kBlockUnit;
  const auto since_epoch = attributes.modified.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  result.st_mtim = {static_cast<time_t>(seconds.count()),
                    static_cast<long>((since_epoch - seconds).count())};
  result.st_atim = result.st_mtim;
  result.st_ctim = result.st_mtim;
  return result;
}

fuse_entry_param FuseSession::Impl::entry_of(const Attributes& attributes) const {
  fuse_entry_param entry = {};
  const double seconds = std::chrono::duration<double>(attributes.valid_for).count();
  entry.entry_timeout = seconds;
  if (attributes.node == 0) return entry;
  entry.ino = attributes.node;
  entry.attr = stat_of(attributes);
  entry.attr_timeout = seconds;
  return entry;
}

MountedTree::AttributesReply FuseSession::Impl::entry_reply(
    const std::shared_ptr<Request>& pending) {
  return [this, pending](const Error* error, const Attributes& attributes) {
    if (error != nullptr) {
      pending->fail(*error);
      return;
    }
    bool is_taken = false;
    if (pending->claim()) {
      const fuse_entry_param entry = entry_of(attributes);
      is_taken = fuse_reply_entry(pending->get(), &entry) == 0;
      pending->answered();
    }
    if (!is_taken && attributes.node != 0) tree_.forget(attributes.node, 1);
  };
}

MountedTree::AttributesReply FuseSession::Impl::attributes_reply(
    const std::shared_ptr<Request>& pending) const {
  return [this, pending](const Error* error, const Attributes& attributes) {
    if (error != nullptr) {
      pending->fail(*error);
    } else if (pending->claim()) {
      const struct stat found = stat_of(attributes);
      fuse_reply_attr(pending->get(), &found,
                      std::chrono::duration<double>(attributes.valid_for).count());
      pending->answered();
    }
  };
}

MountedTree::Done FuseSession::Impl::plain_reply(const std::shared_ptr<Request>& pending) {
  return [pending](const Error* error) {
    if (error != nullptr) {
      pending->fail(*error);
    } else {
      pending->answer_error(0);
    }
  };
}

void FuseSession::Impl::on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.lookup(parent, name, self.entry_reply(pending));
  });
}

void FuseSession::Impl::on_forget(fuse_req_t request, fuse_ino_t node, std::uint64_t lookups) {
  of(request).tree_.forget(node, lookups);
  fuse_reply_none(request);
}

void FuseSession::Impl::on_forget_multi(fuse_req_t request, std::size_t count,
                                        fuse_forget_data* forgets) {
  MountedTree& tree = of(request).tree_;
  for (std::size_t i = 0; i < count; ++i) tree.forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void FuseSession::Impl::on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.get_attributes(node, self.attributes_reply(pending));
  });
}

void FuseSession::Impl::on_readlink(fuse_req_t request, fuse_ino_t node) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.read_link(node, [pending](const Error* error, const std::string& target) {
      if (error != nullptr) {
        pending->fail(*error);
      } else if (pending->claim()) {
        fuse_reply_readlink(pending->get(), target.c_str());
        pending->answered();
      }
    });
  });
}

void FuseSession::Impl::on_statfs(fuse_req_t request, fuse_ino_t) {
  if (!of(request).tree_.is_writable()) return answer_without_space(request);
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.space([pending](const Error* error, const FileSystemSpace& space) {
      if (!pending->claim()) return;
      if (error != nullptr) {
        answer_without_space(pending->get());
      } else {
        struct statvfs facts = {};
        facts.f_bsize = kBlockUnit;
        facts.f_frsize = space.block_size;
        facts.f_blocks = space.blocks;
        facts.f_bfree = space.blocks_free;
        facts.f_bavail = space.blocks_available;
        facts.f_files = space.files;
        facts.f_ffree = space.files_free;
        facts.f_favail = space.files_free;
        facts.f_namemax = kMaxName;
        fuse_reply_statfs(pending->get(), &facts);
      }
      pending->answered();
    });
  });
}

// --- changes ---

void FuseSession::Impl::on_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted,
                                   int which, fuse_file_info*) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    const bool gives_away = ((which & FUSE_SET_ATTR_UID) != 0 && wanted->st_uid != self.uid_) ||
                            ((which & FUSE_SET_ATTR_GID) != 0 && wanted->st_gid != self.gid_);
    if (gives_away) {
      pending->answer_error(EPERM);
      return;
    }
    FileChange change;
    if ((which & FUSE_SET_ATTR_MODE) != 0) change.mode = wanted->st_mode & kPermissionBits;
    if ((which & FUSE_SET_ATTR_SIZE) != 0)
      change.size = static_cast<std::uint64_t>(wanted->st_size);
    const auto time_of = [&](int set, int set_now,
                             const timespec& time) -> std::optional<FileTime> {
      if ((which & set_now) != 0) return wall_clock();
      if ((which & set) == 0) return std::nullopt;
      return FileTime(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    };
    change.modified = time_of(FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, wanted->st_mtim);
    change.accessed = time_of(FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, wanted->st_atim);
    const bool changes = change.mode || change.size || change.modified || change.accessed;
    const auto reply = self.attributes_reply(pending);
    changes ? self.tree_.change(node, change, reply) : self.tree_.get_attributes(node, reply);
  });
}

void FuseSession::Impl::on_create(fuse_req_t request, fuse_ino_t parent, const char* name,
                                  mode_t mode, fuse_file_info* info) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    WriteMode how;
    how.create = true;
    how.exclusive = (info->flags & O_EXCL) != 0;
    how.truncate = (info->flags & O_TRUNC) != 0;
    how.mode = mode & kPermissionBits;
    self.tree_.create(
        parent, name, how,
        [&self, pending, info = *info](const Error* error, const Attributes& attributes,
                                       MountedTree::Opened opened) mutable {
          if (error != nullptr) {
            pending->fail(*error);
            return;
          }
          bool is_taken = false;
          if (pending->claim()) {
            const fuse_entry_param entry = self.entry_of(attributes);
            auto handle = std::make_unique<std::shared_ptr<OpenFile>>(std::move(opened.file));
            info.fh = reinterpret_cast<std::uint64_t>(handle.get());
            is_taken = fuse_reply_create(pending->get(), &entry, &info) == 0;
            if (is_taken) handle.release();
            pending->answered();
          }
          if (!is_taken) self.tree_.forget(attributes.node, 1);
        });
  });
}

void FuseSession::Impl::on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name,
                                 mode_t mode, dev_t) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    if (!S_ISREG(mode)) {
      pending->answer_error(EPERM);
      return;
    }
    WriteMode how;
    how.create = true;
    how.exclusive = true;
    how.mode = mode & kPermissionBits;
    self.tree_.create(parent, name, how,
                      [reply = self.entry_reply(pending)](
                          const Error* error, const Attributes& attributes,
                          const MountedTree::Opened&) { reply(error, attributes); });
  });
}

void FuseSession::Impl::on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name,
                                 mode_t mode) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.make_directory(parent, name, mode & kPermissionBits, self.entry_reply(pending));
  });
}

void FuseSession::Impl::on_symlink(fuse_req_t request, const char* target, fuse_ino_t parent,
                                   const char* name) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.make_symlink(parent, name, target, self.entry_reply(pending));
  });
}

void FuseSession::Impl::on_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent,
                                const char* new_name) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.make_hard_link(node, new_parent, new_name, self.entry_reply(pending));
  });
}

void FuseSession::Impl::on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.remove(parent, name, plain_reply(pending));
  });
}

void FuseSession::Impl::on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.remove_directory(parent, name, plain_reply(pending));
  });
}

void FuseSession::Impl::on_rename(fuse_req_t request, fuse_ino_t parent, const char* name,
                                  fuse_ino_t new_parent, const char* new_name, unsigned flags) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE)) != 0) {
      pending->answer_error(EINVAL);
      return;
    }
    self.tree_.rename(parent, name, new_parent, new_name, flags == 0, plain_reply(pending));
  });
}

void FuseSession::Impl::on_write(fuse_req_t request, fuse_ino_t, const char* bytes,
                                 std::size_t size, off_t offset, fuse_file_info* info) {
  // A copy: once the answer is out, the kernel may release the handle before this returns.
  const auto file = *reinterpret_cast<std::shared_ptr<OpenFile>*>(info->fh);
  const auto edited = file->edited();
  if (!edited) {
    fuse_reply_err(request, EBADF);
    return;
  }
  const std::shared_ptr<Request> pending = Request::create(of(request), request);
  edited->write(static_cast<std::uint64_t>(offset), std::as_bytes(std::span(bytes, size)),
                [pending, size, &counters = of(request).tree_.counters()](const Error* error) {
                  if (error != nullptr) {
                    pending->fail(*error);
                  } else if (pending->claim()) {
                    counters.wrote(size);
                    fuse_reply_write(pending->get(), size);
                    pending->answered();
                  }
                });
  // What waits for room ends when the server has taken or lost what is before it.
  pending->watch(std::nullopt, nullptr);
}

void FuseSession::Impl::on_copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset,
                                           fuse_file_info*, fuse_ino_t to, off_t to_offset,
                                           fuse_file_info*, std::size_t length, int) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    const auto begin = static_cast<std::uint64_t>(from_offset);
    self.tree_.copy(from, {begin, begin + length}, to, static_cast<std::uint64_t>(to_offset),
                    [pending](const Error* error, std::uint64_t bytes) {
                      if (error != nullptr) {
                        // Then the kernel copies by reading and writing, from now on.
                        const bool cannot = error->kind() == ErrorKind::Unsupported;
                        pending->answer_error(cannot ? ENOSYS : errno_of(*error));
                      } else if (pending->claim()) {
                        fuse_reply_write(pending->get(), bytes);
                        pending->answered();
                      }
                    });
  });
}

/// close(2) of one of the descriptors that a handle has.
void FuseSession::Impl::on_flush(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  // A copy: once the answer is out, the kernel may release the handle before this returns.
  const auto file = *reinterpret_cast<std::shared_ptr<OpenFile>*>(info->fh);
  const auto edited = file->writes() ? file->edited() : nullptr;
  if (!edited) {
    fuse_reply_err(request, 0);
    return;
  }
  const std::shared_ptr<Request> pending = Request::create(of(request), request);
  edited->flush(plain_reply(pending));
  pending->watch(std::nullopt, nullptr);
}

void FuseSession::Impl::on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info* info) {
  // A copy: once the answer is out, the kernel may release the handle before this returns.
  const auto file = *reinterpret_cast<std::shared_ptr<OpenFile>*>(info->fh);
  const auto edited = file->edited();
  if (!edited) {
    fuse_reply_err(request, 0);
    return;
  }
  const std::shared_ptr<Request> pending = Request::create(of(request), request);
  edited->sync(plain_reply(pending));
  pending->watch(std::nullopt, nullptr);
}

/// Every change of a directory has been acknowledged when its call returned.
void FuseSession::Impl::on_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
  fuse_reply_err(request, 0);
}

// --- files ---

void FuseSession::Impl::on_open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    const bool writes = (info->flags & O_ACCMODE) != O_RDONLY;
    const auto access = !writes                        ? MountedTree::Access::Read
                        : (info->flags & O_TRUNC) != 0 ? MountedTree::Access::WriteTruncated
                                                       : MountedTree::Access::Write;
    self.tree_.open(
        node, access,
        [pending, info = *info](const Error* error, MountedTree::Opened opened) mutable {
          if (error != nullptr) {
            pending->fail(*error);
            return;
          }
          if (!pending->claim()) return;
          auto handle = std::make_unique<std::shared_ptr<OpenFile>>(std::move(opened.file));
          info.fh = reinterpret_cast<std::uint64_t>(handle.get());
          info.keep_cache = opened.keep_page_cache ? 1 : 0;
          info.direct_io = opened.direct_io ? 1 : 0;
          // A caller that died meanwhile never releases what it did not get.
          if (fuse_reply_open(pending->get(), &info) == 0) handle.release();
          pending->answered();
        });
  });
}

void FuseSession::Impl::on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                                fuse_file_info* info) {
  Impl& self = of(request);
  // A copy: once the answer is out, the kernel may release the handle before this returns.
  const auto file = *reinterpret_cast<std::shared_ptr<OpenFile>*>(info->fh);
  const std::shared_ptr<Request> pending = Request::create(self, request);
  const auto begin = static_cast<std::uint64_t>(offset);
  try {
    auto abandon = file->read(
        {begin, begin + size},
        [pending, opened = std::weak_ptr(file), begin](const Error* error, const ReadBytes& bytes) {
          if (error != nullptr) {
            if (!pending->claim()) return;
            if (const auto of_file = opened.lock()) {
              log(LogLevel::Warning, "reading " + of_file->path() + " at " + std::to_string(begin) +
                                         ": " + error->message());
            }
            fuse_reply_err(pending->get(), errno_for_read(*error));
            pending->answered();
            return;
          }
          if (!pending->claim()) return;
          std::vector<iovec> pieces;
          pieces.reserve(bytes.pieces.size());
          for (const auto& piece : bytes.pieces) {
            pieces.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
          }
          fuse_reply_iov(pending->get(), pieces.data(), static_cast<int>(pieces.size()));
          pending->answered();
        });
    // The read has its own deadline.
    pending->watch(std::nullopt, [abandon = std::move(abandon)] {
      abandon(Error(ErrorKind::Cancelled, "the reader is gone"));
    });
  } catch (...) {
    pending->answer_error(errno_of(current_exception_as_error()));
  }
}

void FuseSession::Impl::on_release(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if (of(request).tree_.is_writable()) of(request).tree_.released(node);
  delete reinterpret_cast<std::shared_ptr<OpenFile>*>(info->fh);
  fuse_reply_err(request, 0);
}

// --- directories ---

void FuseSession::Impl::on_opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    self.tree_.open_directory(
        node, [pending, node, info = *info](const Error* error,
                                            std::shared_ptr<DirectoryListing> listing) mutable {
          if (error != nullptr) {
            pending->fail(*error);
            return;
          }
          if (!pending->claim()) return;
          auto handle = std::make_unique<OpenDirectory>(OpenDirectory{node, std::move(listing)});
          info.fh = reinterpret_cast<std::uint64_t>(handle.get());
          if (fuse_reply_open(pending->get(), &info) == 0) handle.release();
          pending->answered();
        });
  });
}

void FuseSession::Impl::on_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                                   fuse_file_info* info) {
  of(request).read_directory(request, size, offset, *reinterpret_cast<OpenDirectory*>(info->fh),
                             false);
}

void FuseSession::Impl::on_readdirplus(fuse_req_t request, fuse_ino_t, std::size_t size,
                                       off_t offset, fuse_file_info* info) {
  of(request).read_directory(request, size, offset, *reinterpret_cast<OpenDirectory*>(info->fh),
                             true);
}

void FuseSession::Impl::read_directory(fuse_req_t request, std::size_t size, off_t offset,
                                       const OpenDirectory& directory, bool with_attributes) {
  try {
    std::vector<char> buffer(size);
    std::size_t used = 0;
    // Positions 0 and 1 are "." and "..".
    for (auto position = static_cast<std::size_t>(offset); position < directory.listing->size() + 2;
         ++position) {
      const std::size_t needed =
          add_entry(request, buffer.data() + used, size - used, static_cast<off_t>(position + 1),
                    directory, position, with_attributes);
      if (needed > size - used) break;
      used += needed;
    }
    fuse_reply_buf(request, buffer.data(), used);
  } catch (...) {
    fuse_reply_err(request, errno_of(current_exception_as_error()));
  }
}

/// Returns the bytes that the entry takes; nothing is added if that is more than `size`.
std::size_t FuseSession::Impl::add_entry(fuse_req_t request, char* buffer, std::size_t size,
                                         off_t next, const OpenDirectory& directory,
                                         std::size_t position, bool with_attributes) {
  Attributes shown;
  shown.kind = EntryKind::Directory;
  const char* name = position == 0 ? "." : "..";
  std::optional<Attributes> entered;
  if (position >= 2) {
    const ChildEntry& entry = (*directory.listing)[position - 2];
    name = entry.name.c_str();
    shown.kind = entry.kind;
    shown.node = tree_.number_of(directory.node, entry.name);
  } else {
    shown.node = position == 0 ? directory.node : tree_.parent_of(directory.node);
  }
  const struct stat facts = stat_of(shown);
  if (!with_attributes) return fuse_add_direntry(request, buffer, size, name, &facts, next);

  const std::size_t needed = fuse_add_direntry_plus(request, nullptr, 0, name, nullptr, 0);
  if (needed > size) return needed;
  if (position >= 2) entered = tree_.enter(directory.node, *directory.listing, position - 2);
  fuse_entry_param parameters = {};
  // Without a node number the kernel takes the name and asks for the rest when it needs it.
  parameters.attr = facts;
  if (entered) parameters = entry_of(*entered);
  return fuse_add_direntry_plus(request, buffer, size, name, &parameters, next);
}

void FuseSession::Impl::on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  delete reinterpret_cast<OpenDirectory*>(info->fh);
  fuse_reply_err(request, 0);
}

// --- extended attributes ---

void FuseSession::Impl::on_getxattr(fuse_req_t request, fuse_ino_t node, const char* name,
                                    std::size_t size) {
  // ls -l asks for labels and access control lists of every file, until it is told that this file
  // system has none.
  if (!std::string_view(name).starts_with("user.")) {
    fuse_reply_err(request, ENOTSUP);
    return;
  }
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    const auto names = self.tree_.extended_attribute_names(node);
    if (std::ranges::find(names, std::string_view(name)) == names.end()) {
      pending->answer_error(ENODATA);
      return;
    }
    self.tree_.get_extended_attribute(
        node, name, [pending, size](const Error* error, const std::string& value) {
          if (error != nullptr) {
            pending->answer_error(error->kind() == ErrorKind::NotFound ? ENODATA
                                                                       : errno_of(*error));
          } else if (size != 0 && value.size() > size) {
            pending->answer_error(ERANGE);
          } else if (pending->claim()) {
            if (size == 0) {
              fuse_reply_xattr(pending->get(), value.size());
            } else {
              fuse_reply_buf(pending->get(), value.data(), value.size());
            }
            pending->answered();
          }
        });
  });
}

void FuseSession::Impl::on_listxattr(fuse_req_t request, fuse_ino_t node, std::size_t size) {
  serve(request, [&](Impl& self, const std::shared_ptr<Request>& pending) {
    std::string list;
    for (const std::string_view name : self.tree_.extended_attribute_names(node)) {
      list += name;
      list += '\0';
    }
    if (size != 0 && list.size() > size) {
      pending->answer_error(ERANGE);
    } else if (pending->claim()) {
      size == 0 ? fuse_reply_xattr(request, list.size())
                : fuse_reply_buf(request, list.data(), list.size());
      pending->answered();
    }
  });
}

// --- the outer class ---

FuseSession::FuseSession(MountedTree& tree, const std::filesystem::path& mount_point,
                         const FuseOptions& options, std::function<void()> on_ready)
    : impl_(std::make_unique<Impl>(tree, mount_point, options, std::move(on_ready))) {}
FuseSession::~FuseSession() = default;
void FuseSession::run() { impl_->run(); }
void FuseSession::request_exit() { impl_->request_exit(); }

}  // namespace red
