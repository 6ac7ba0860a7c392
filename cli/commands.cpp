#include "cli/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "cli/connectors.h"
#include "cli/doctor/doctor.h"
#include "cli/listing_check.h"
#include "cli/progress.h"
#include "cli/stats_report.h"
#include "cli/stop_on_signals.h"
#include "common/access/listing_form.h"
#include "common/cache/disk_cached_store.h"
#include "common/cache/memory_limit.h"
#include "common/json/json_document.h"
#include "common/json/json_schema.h"
#include "common/json/text_file.h"
#include "common/logging.h"
#include "common/remote/counting_store.h"
#include "common/remote/retry.h"
#include "common/timer.h"
#include "fuse/mount_daemon.h"
#include "transfer/listed_store.h"
#include "transfer/receive_archive.h"
#include "transfer/receive_dir.h"
#include "transfer/receive_file.h"
#include "transfer/send_dir.h"
#include "transfer/send_file.h"

namespace red {
namespace {

using namespace std::chrono_literals;

/// A validation is done within this time, whatever the server does.
constexpr auto kValidationLimit = 30s;

void print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw Error::local_io(errno, "cannot write to the standard output");
  }
}

void print_schema(const Subcommand* described, std::string_view connector) {
  if (!described) {
    const std::string file(kSiteFile);
    return print(json_schema(file, {{file, site_form()}}).to_indented_text() + "\n");
  }
  const std::string title =
      "Access data of " + std::string(connector) + " " + std::string(described->name);
  print(access_schema(connector, described->purpose, title).to_indented_text() + "\n");
}

Remote read_access(const Invocation& invocation, std::string_view connector) {
  const auto& file = invocation.access_file;
  return prepare_remote(
      connector, parse_json(read_text_file(file, kMaxAccessBytes), "access data " + file.string()),
      invocation.subcommand->purpose, read_site_options());
}

std::optional<Listing> listing_of(const Invocation& invocation) {
  if (!invocation.listing_file) return std::nullopt;
  return parse_listing(read_text_file(*invocation.listing_file, kMaxListingBytes),
                       invocation.listing_file->string());
}

/// What is left of the options when the disk has been looked at. That it cannot serve is a warning
/// where a person sees it, before there is a daemon: everything works without.
CacheOptions usable(CacheOptions options) {
  if (!options.enabled) options.directory.reset();
  if (!options.directory) return options;
  try {
    CacheDirectory::open(*options.directory);
  } catch (const Error& error) {
    log(LogLevel::Warning, error.message() + "; what is read is kept in memory only");
    options.directory.reset();
  }
  return options;
}

/// The store, read through the cache on disk if there is to be one.
std::unique_ptr<RemoteStore> with_cache(std::unique_ptr<RemoteStore> store,
                                        const CacheOptions& options) {
  if (!options.directory) return store;
  try {
    auto cache = DiskCache::open({.directory = *options.directory, .max_bytes = options.size});
    return with_disk_cache(std::move(store), std::move(cache));
  } catch (const Error& error) {
    log(LogLevel::Warning, error.message());
    return store;
  }
}

/// The store of a command, with the timer that its repetitions need.
class CommandStore {
 public:
  explicit CommandStore(const Remote& remote, const CacheOptions& cache = {})
      : store_(
            with_cache(with_retries(remote.open(), RetryPolicy::for_commands(), timer_), cache)) {}

  RemoteStore& operator*() const { return *store_; }

 private:
  Timer timer_;
  std::unique_ptr<RemoteStore> store_;
};

void transfer(const Invocation& invocation, std::string_view connector) {
  const Remote remote = read_access(invocation, connector);
  const std::optional<Listing> listing = listing_of(invocation);
  const Listing* const wanted = listing ? &*listing : nullptr;
  const StopOnSignals signals;
  const bool receives = invocation.subcommand->purpose == Purpose::ReceiveFile ||
                        invocation.subcommand->purpose == Purpose::ReceiveDir;
  const CommandStore store(remote, receives ? usable(remote.options.cache) : CacheOptions{});
  const std::unique_ptr<Progress> progress = make_progress(invocation.quiet);
  switch (invocation.subcommand->purpose) {
    case Purpose::ReceiveFile:
      return receive_file(*store, invocation.local_path, remote.check_content, *progress,
                          signals.token());
    case Purpose::ReceiveDir:
      if (remote.archive) {
        return receive_archive(*store, *remote.archive, invocation.local_path, wanted, *progress,
                               signals.token());
      }
      return receive_dir(*store, invocation.local_path, wanted, *progress, signals.token());
    case Purpose::SendFile:
      return send_file(*store, invocation.local_path, remote.check_content, *progress,
                       signals.token());
    case Purpose::SendDir:
      return send_dir(*store, invocation.local_path, wanted, *progress, signals.token());
    case Purpose::MountDir:
      break;
  }
  throw Error(ErrorKind::Internal, "a mount is no transfer");
}

void check_fuse_device() {
  const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) {
    throw Error(ErrorKind::Mount, Error::local_io(errno, "cannot open /dev/fuse").message() +
                                      " (receive-dir works without it)");
  }
  ::close(device);
}

void validate(const Invocation& invocation, std::string_view connector) {
  const Purpose purpose = invocation.subcommand->purpose;
  const Remote remote = read_access(invocation, connector);
  const std::optional<Listing> listing =
      purpose == Purpose::MountDir ? remote.options.listing : listing_of(invocation);
  if (purpose == Purpose::MountDir) check_fuse_device();
  if (purpose == Purpose::MountDir && remote.options.report) {
    check_report_path(*remote.options.report);
  }
  const StopOnSignals signals;
  const CommandStore store(remote);
  const RequestContext context = RequestContext::within(kValidationLimit, signals.token());
  // An archive is one file, whatever is in it.
  if (remote.archive) return (*store).check(Purpose::ReceiveFile, context);
  // With a listing the directory itself need not be shown: the files are fetched by their names.
  const bool fetches_by_names = purpose == Purpose::ReceiveDir || purpose == Purpose::MountDir;
  const bool is_by_names =
      listing && fetches_by_names && check_listed_files(*store, *listing, context) > 0;
  if (!is_by_names) (*store).check(purpose, context);
}

std::unique_ptr<RemoteStore> open_for_mount(const Remote& remote, Timer& timer,
                                            RemoteCounters& counters) {
  RetryPolicy policy = RetryPolicy::for_mounts();
  RetryPolicy first = RetryPolicy::for_commands();
  policy.retries = first.retries = &counters.retries;
  return with_retries(with_counters(remote.open(), counters), policy, timer, first);
}

LogLevel mount_log_level(const Invocation& invocation) {
  if (invocation.debug || invocation.verbose) return LogLevel::Debug;
  return invocation.quiet ? LogLevel::Error : LogLevel::Info;
}

/// What a mount leaves behind. The mount has ended by then: nothing can fail it any more.
void report_end(const MountStats& stats, const std::optional<std::filesystem::path>& report) {
  log(LogLevel::Info, "ended: " + summary_of(stats));
  if (!report) return;
  try {
    write_report(*report, stats);
  } catch (...) {
    log(LogLevel::Warning, "cannot write the report: " + current_exception_as_error().message());
  }
}

void print_stats(const Invocation& invocation) {
  const std::string answer = ask_mount_stats(invocation.local_path);
  print(invocation.json ? answer + "\n"
                        : to_readable(parse_json(answer, "the answer of the daemon").root));
}

/// No thread may start before mount_dir has forked: the store is opened in the daemon.
void mount(const Invocation& invocation, std::string_view connector) {
  Remote remote = read_access(invocation, connector);
  std::optional<Listing> listing = std::exchange(remote.options.listing, std::nullopt);
  if (remote.options.report) check_report_path(*remote.options.report);
  const CacheOptions cache = usable(remote.options.cache);
  RemoteCounters counters;
  std::optional<Timer> timer;  // outlives the store: mount_dir ends first
  MountRequest request;
  request.mount_point = invocation.local_path;
  request.source = remote.location;
  request.cache_bytes = cache.memory.value_or(default_cache_memory(container_memory_limit()));
  request.keep_cache = cache.enabled;
  request.allow_other = remote.options.allow_other;
  // What libfuse prints about requests would be lost in a daemon.
  request.foreground = invocation.foreground || invocation.debug;
  request.debug = invocation.debug;
  request.log_level = mount_log_level(invocation);
  request.log_file = invocation.log_file;
  request.is_known_tree = listing.has_value();
  request.remote_counters = &counters;
  request.format_stats = [](const MountStats& stats) { return to_json(stats).to_text(); };
  request.on_end = [&remote](const MountStats& stats) { report_end(stats, remote.options.report); };
  request.open_store = [&]() -> std::unique_ptr<RemoteStore> {
    timer.emplace();
    auto store = with_cache(open_for_mount(remote, *timer, counters), cache);
    if (!listing) return store;
    return std::make_unique<ListedStore>(std::move(store), *std::exchange(listing, std::nullopt));
  };
  mount_dir(request);
}

void examine(const Invocation& invocation, std::string_view connector) {
  const auto& access = invocation.access_file;
  run_doctor(connector, access.empty() ? std::nullopt : std::optional(access));
}

/// A file has room for more than a terminal.
void open_command_log(const Invocation& invocation) {
  LogLevel level = invocation.log_file ? LogLevel::Info : LogLevel::Warning;
  // The rows of a table tell what a warning would.
  const bool prints_table = invocation.subcommand->action == Action::Examine;
  if (invocation.quiet || (prints_table && !invocation.log_file)) level = LogLevel::Error;
  if (invocation.verbose || invocation.debug) level = LogLevel::Debug;
  open_log(level, invocation.log_file);
}

void run(const Invocation& invocation, std::string_view connector) {
  switch (invocation.subcommand->action) {
    case Action::PrintCliVersion:
      return print("1\n");
    case Action::Transfer:
      return transfer(invocation, connector);
    case Action::Validate:
      return validate(invocation, connector);
    case Action::Mount:
      return mount(invocation, connector);
    case Action::Unmount:
      return umount_dir(invocation.local_path);
    case Action::PrintMounts:
      return print_mounts();
    case Action::PrintStats:
      return print_stats(invocation);
    case Action::Examine:
      return examine(invocation, connector);
    case Action::PrintSchema:
      return print_schema(invocation.described, connector);
  }
}

}  // namespace

void run_command(const Invocation& invocation, std::string_view connector) {
  try {
    open_command_log(invocation);
    if (invocation.subcommand->takes_access && invocation.subcommand->action != Action::Examine) {
      check_has_function(connector, invocation.subcommand->purpose);
    }
    run(invocation, connector);
  } catch (const Error& error) {
    const Error placed = error.within(invocation.subcommand->name);
    if (invocation.log_file) log(LogLevel::Error, placed.message());
    throw placed;
  }
}

}  // namespace red
