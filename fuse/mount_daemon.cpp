#include "fuse/mount_daemon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <sstream>
#include <stop_token>
#include <utility>

#include "common/error.h"
#include "common/timer.h"
#include "fuse/bounded_child.h"
#include "fuse/daemon_monitor.h"
#include "fuse/fuse_bridge.h"
#include "fuse/mount_point.h"
#include "fuse/mount_registry.h"
#include "fuse/mounted_tree.h"
#include "fuse/process_handle.h"
#include "fuse/readiness.h"
#include "fuse/status_socket.h"
#include "fuse/unmount.h"
#include "fuse/write_losses.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// A little more than the 30 s that listing the root may take, so that its own message comes first.
constexpr auto kReadyLimit = 35s;
// Others may change what is writable here at any moment.
constexpr auto kWritableLifetime = 1s;
// What is known beforehand never changes; the kernel may forget it when it needs the memory.
constexpr auto kKnownLifetime = 24h;
constexpr auto kListingLimit = 5s;
// A daemon that is asked to stop ends by force after 2.5 s.
constexpr auto kEndLimit = 4s;
constexpr std::size_t kMaxPrivateLogBytes = 1024 * 1024;

// --- Serving, in the daemon or in the foreground
// --------------------------------------------------

std::string describe_cache_use(const MountedTree& tree) {
  constexpr double kMebibyte = 1024.0 * 1024.0;
  std::ostringstream text;
  text << std::fixed << std::setprecision(1)
       << static_cast<double>(tree.cache_bytes_in_use()) / kMebibyte << "/"
       << static_cast<double>(tree.cache_bytes_bound()) / kMebibyte << " MiB";
  return text.str();
}

/// What one process serves. Lives as long as it does.
struct Service {
  const MountRequest& request;
  const MountRecord& record;
  const TimePoint began = std::chrono::steady_clock::now();
};

MountStats stats_of(const Service& service, const MountedTree& tree) {
  MountStats stats = tree.stats();
  stats.mount_point = service.record.mount_point;
  stats.source = service.record.source;
  stats.pid = service.record.pid;
  stats.since = service.record.since;
  stats.uptime = std::chrono::steady_clock::now() - service.began;
  if (const RemoteCounters* remote = service.request.remote_counters) {
    stats.list_requests = remote->lists;
    stats.stat_requests = remote->stats;
    stats.read_requests = remote->reads;
    stats.retries = remote->retries;
    stats.fetched_bytes = remote->fetched_bytes;
  }
  return stats;
}

/// Answers questions about a tree as long as it lives.
class StatusAnswers {
 public:
  StatusAnswers(DaemonMonitor& monitor, const Service& service, const MountedTree& tree)
      : monitor_(monitor) {
    monitor_.set_answers([&service, &tree](std::string_view question) {
      if (question == status_question::kCacheUse) return describe_cache_use(tree);
      if (question == status_question::kStats && service.request.format_stats) {
        return service.request.format_stats(stats_of(service, tree));
      }
      return std::string();
    });
  }
  ~StatusAnswers() { monitor_.set_answers({}); }
  StatusAnswers(const StatusAnswers&) = delete;
  StatusAnswers& operator=(const StatusAnswers&) = delete;

 private:
  DaemonMonitor& monitor_;
};

MountedTree::Options tree_options_of(const MountRequest& request, RemoteStore& store) {
  MountedTree::Options options;
  options.cache_bytes = request.cache_bytes;
  options.keep_cache = request.keep_cache;
  options.writable = store.editor() != nullptr;
  options.is_known_tree = request.is_known_tree;
  if (options.writable) options.attribute_lifetime = kWritableLifetime;
  if (options.is_known_tree) options.attribute_lifetime = kKnownLifetime;
  return options;
}

/// Until the mount is gone or the monitor asks to stop.
void serve(const Service& service, const fs::path& losses_path, DaemonMonitor& monitor) {
  const MountRequest& request = service.request;
  Timer timer;
  std::unique_ptr<RemoteStore> store = request.open_store();
  const MountedTree::Options options = tree_options_of(request, *store);
  std::optional<WriteLosses> losses;
  if (options.writable) losses.emplace(losses_path);
  MountedTree tree(std::move(store), timer, options);
  tree.set_loss_report([&losses, &tree](const std::string& path, const Error& error) {
    tree.counters().lost_write();
    if (losses) losses->add(path, error);
  });
  {
    const std::stop_callback end_waiting(monitor.stop_token(), [&tree] { tree.shut_down(); });
    tree.load_root();
  }
  {
    const FuseOptions fuse_options{request.source, request.allow_other, request.debug};
    FuseSession session(tree, service.record.mount_point, fuse_options,
                        [&monitor] { monitor.mounted(); });
    const std::stop_callback end_session(monitor.stop_token(),
                                         [&session] { session.request_exit(); });
    const StatusAnswers answers(monitor, service, tree);
    session.run();
  }
  // Not before the mount is gone: what is written must not end up in it.
  if (monitor.was_ready() && request.on_end) request.on_end(stats_of(service, tree));
}

[[noreturn]] void fail_before_ready(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "mounting was interrupted");
  throw Error(ErrorKind::Mount, "the mount ended before it was ready");
}

void open_daemon_log(const MountRequest& request, const MountClaim& claim) {
  if (request.log_file || request.foreground) return open_log(request.log_level, request.log_file);
  open_log(LogLevel::Warning, claim.log_path(), kMaxPrivateLogBytes);
}

/// Serves under a claim in the registry; when it returns or throws, nothing of the mount is left.
void serve_registered(const MountRequest& request, const MountPoint& mount_point,
                      CommandLink* command) {
  std::signal(SIGPIPE, SIG_IGN);
  const MountRegistry registry = MountRegistry::open();
  MountClaim claim = registry.claim(
      record_for_this_process(mount_point.path, request.source, mount_point.made_directory));
  open_daemon_log(request, claim);
  DaemonMonitor monitor(claim, command);
  serve({request, claim.record()}, claim.losses_path(), monitor);
  if (!monitor.was_ready()) fail_before_ready(monitor.stop_token());
}

// --- The daemon
// -----------------------------------------------------------------------------------

constexpr off_t kKeptStderrBytes = 4096;

/// What libfuse and fusermount3 say about a mount that fails goes to stderr, and a daemon has none:
/// a page of memory in its place keeps the beginning.
void keep_stderr_in_memory() {
  const UniqueFd memory(::memfd_create("stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const bool usable = memory && ::ftruncate(memory.get(), kKeptStderrBytes) == 0 &&
                      ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_GROW) == 0;
  if (usable) ::dup2(memory.get(), STDERR_FILENO);
}

std::string kept_stderr() {
  std::string text(kKeptStderrBytes, '\0');
  if (::pread(STDERR_FILENO, text.data(), text.size(), 0) < 0) return {};
  text.resize(std::strlen(text.c_str()));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void close_all_above_stderr_but(int kept) {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  const auto number = static_cast<unsigned>(kept);
  const bool below_closed = number == kFirst || ::close_range(kFirst, number - 1, 0) == 0;
  if (below_closed && ::close_range(number + 1, ~0U, 0) == 0) return;
  // Before Linux 5.9, or under a container's filter that does not know close_range().
  const auto limit = static_cast<int>(::sysconf(_SC_OPEN_MAX));
  for (int fd = kFirst; fd < limit; ++fd) {
    if (fd != kept) ::close(fd);
  }
}

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Keeps nothing of the command's: terminal, working directory, signals, pipes, files. The log goes
/// first, because it would close its file later, when the number belongs to somebody else.
void leave_the_command(int kept) {
  constexpr mode_t kPrivateFiles = 077;
  open_log(LogLevel::Warning, std::nullopt);
  ::setsid();
  ::umask(kPrivateFiles);
  reset_signals();
  const UniqueFd null(::open("/dev/null", O_RDWR));
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), stream);
  close_all_above_stderr_but(kept);
  if (::chdir("/") != 0) throw Error::local_io(errno, "cannot change to /");
}

Error with_kept_stderr(const Error& error) {
  const std::string text = kept_stderr();
  if (error.kind() != ErrorKind::Mount || text.empty()) return error;
  return Error(ErrorKind::Mount, error.message() + "\n" + text);
}

[[noreturn]] void run_daemon(const MountRequest& request, const MountPoint& mount_point,
                             UniqueFd command_fd) {
  CommandLink command(std::move(command_fd));
  int exit_code = EXIT_SUCCESS;
  try {
    leave_the_command(command.fd());
    keep_stderr_in_memory();
    serve_registered(request, mount_point, &command);
  } catch (...) {
    const Error error = with_kept_stderr(current_exception_as_error());
    if (!command.report_failure(error)) log(LogLevel::Error, error.message());
    exit_code = error.exit_code();
  }
  ::_exit(exit_code);
}

// --- The command
// ----------------------------------------------------------------------------------

std::string describe_wait_status(const std::optional<int>& status) {
  if (!status) return "it does not end";
  if (WIFSIGNALED(*status)) {
    return "killed by signal " + std::to_string(WTERMSIG(*status)) + " (" +
           ::strsignal(WTERMSIG(*status)) + ")";
  }
  return "exit code " + std::to_string(WEXITSTATUS(*status));
}

/// A daemon that is not yet left to itself: unless it is, its end, its mount and its records go
/// with this object.
class StartedDaemon {
 public:
  StartedDaemon(const MountRequest& request, const MountPoint& mount_point)
      : mount_point_(mount_point) {
    ReadinessChannel channel = make_readiness_channel();
    pid_ = ::fork();
    if (pid_ < 0) throw Error::local_io(errno, "cannot start the mount daemon");
    if (pid_ == 0) run_daemon(request, mount_point, std::move(channel.daemon_end));
    command_end_ = std::move(channel.command_end);
  }
  ~StartedDaemon() {
    if (left_alone_) return;
    end();
    clean_up();
  }
  StartedDaemon(const StartedDaemon&) = delete;
  StartedDaemon& operator=(const StartedDaemon&) = delete;

  /// Throws why it is not.
  void wait_until_ready() {
    DaemonReport report = await_report(command_end_.get(), kReadyLimit);
    switch (report.outcome) {
      case DaemonReport::Outcome::Ready:
        return;
      case DaemonReport::Outcome::Failed:
        throw Error(*report.error);
      case DaemonReport::Outcome::Died:
        throw Error(ErrorKind::Mount,
                    "the mount daemon died before the directory could be listed: " +
                        describe_wait_status(end()));
      case DaemonReport::Outcome::Silent:
        throw Error(ErrorKind::TimedOut,
                    "the directory cannot be listed: the mount daemon is not "
                    "ready after 35 s and was ended");
    }
  }

  void leave_alone() {
    if (!confirm(command_end_.get())) {
      throw Error(ErrorKind::Mount, "the mount daemon died: " + describe_wait_status(end()));
    }
    left_alone_ = true;
  }

 private:
  std::optional<int> end() {
    if (pid_ == 0) return status_;
    command_end_.reset();  // it sees that, and stops
    const pid_t pid = std::exchange(pid_, 0);
    status_ = wait_for_child(pid, kEndLimit);
    if (!status_) kill_child(pid);
    return status_;
  }

  /// What a daemon that was killed could not do itself.
  void clean_up() noexcept {
    try {
      const MountRegistry registry = MountRegistry::open();
      const auto left = registry.find(mount_point_.path);
      if (!left || left->daemon_alive) return;
      detach(mount_point_.path);
      registry.retire(left->record);
    } catch (const Error& error) {
      log(LogLevel::Warning, error.message());
    }
  }

  const MountPoint& mount_point_;
  UniqueFd command_end_;
  pid_t pid_ = 0;  ///< 0: it has been waited for
  std::optional<int> status_;
  bool left_alone_ = false;
};

/// By a system call of its own: "ready" was the daemon's word.
void prove_that_it_can_be_listed(const fs::path& mount_point) {
  const BoundedResult result = run_bounded(kListingLimit, [&mount_point](const auto& put) {
    std::error_code failure;
    const fs::directory_iterator first(mount_point, failure);
    if (failure) put(failure.message());
  });
  if (result.finished && result.output.empty()) return;
  throw Error(ErrorKind::Mount, "mounted " + mount_point.string() + ", but it cannot be listed: " +
                                    (result.finished ? result.output : "no answer"));
}

void start_daemon(const MountRequest& request, const MountPoint& mount_point) {
  StartedDaemon daemon(request, mount_point);
  daemon.wait_until_ready();
  prove_that_it_can_be_listed(mount_point.path);
  daemon.leave_alone();
}

void mount_at(const MountRequest& request, const MountPoint& mount_point) {
  try {
    if (request.foreground) {
      serve_registered(request, mount_point, nullptr);
    } else {
      start_daemon(request, mount_point);
    }
  } catch (...) {
    if (mount_point.made_directory) ::rmdir(mount_point.path.c_str());
    throw;
  }
}

}  // namespace

void mount_dir(const MountRequest& wanted) {
  MountRequest request = wanted;
  if (request.log_file) request.log_file = fs::absolute(*request.log_file);
  check_that_mounting_works();
  const MountRegistry registry = MountRegistry::open();
  try {
    mount_at(request, prepare_mount_point(request.mount_point, registry));
  } catch (...) {
    registry.remove_if_unused();
    throw;
  }
}

}  // namespace red
