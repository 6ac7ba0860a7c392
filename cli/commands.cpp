#include "cli/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>

#include "cli/connectors.h"
#include "cli/listing_check.h"
#include "cli/progress.h"
#include "cli/stop_on_signals.h"
#include "common/cache/memory_limit.h"
#include "common/json/json_schema.h"
#include "common/json/text_file.h"
#include "common/logging.h"
#include "common/remote/retry.h"
#include "common/timer.h"
#include "fuse/mount_daemon.h"
#include "transfer/listing.h"
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

void print_line(const std::string& text) {
  if (std::puts(text.c_str()) < 0 || std::fflush(stdout) != 0) {
    throw Error::local_io(errno, "cannot write to the standard output");
  }
}

void print_cli_version() { print_line("1"); }

void print_schema(const Subcommand* described, std::string_view connector) {
  if (!described) {
    const std::string file(kSiteFile);
    return print_line(json_schema(file, {{file, site_form()}}).to_indented_text());
  }
  const std::string title =
      "Access data of " + std::string(connector) + " " + std::string(described->name);
  print_line(access_schema(connector, described->purpose, title).to_indented_text());
}

Remote read_access(const Invocation& invocation, std::string_view connector) {
  const auto& file = invocation.access_file;
  return prepare_remote(
      connector, parse_json(read_text_file(file, kMaxAccessBytes), "access data " + file.string()),
      invocation.subcommand->purpose, read_site_options());
}

std::optional<Listing> read_listing(const Invocation& invocation) {
  if (!invocation.listing_file) return std::nullopt;
  return parse_listing(read_text_file(*invocation.listing_file, kMaxListingBytes),
                       invocation.listing_file->string());
}

/// The store of a command, with the timer that its repetitions need.
class CommandStore {
 public:
  explicit CommandStore(const Remote& remote)
      : store_(with_retries(remote.open(), RetryPolicy::for_commands(), timer_)) {}

  RemoteStore& operator*() const { return *store_; }

 private:
  Timer timer_;
  std::unique_ptr<RemoteStore> store_;
};

void transfer(const Invocation& invocation, std::string_view connector) {
  const Remote remote = read_access(invocation, connector);
  const std::optional<Listing> listing = read_listing(invocation);
  const Listing* const wanted = listing ? &*listing : nullptr;
  const StopOnSignals signals;
  const CommandStore store(remote);
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

/// A listing in access data is for mounts; one that is wrong is wrong for every validation.
void check_listing_in(const AccessOptions& options) {
  if (options.listing) parse_listing(options.listing->json, options.listing->origin);
}

void validate(const Invocation& invocation, std::string_view connector) {
  const Purpose purpose = invocation.subcommand->purpose;
  const Remote remote = read_access(invocation, connector);
  check_listing_in(remote.options);
  const std::optional<Listing> listing = read_listing(invocation);
  if (purpose == Purpose::MountDir) check_fuse_device();
  const StopOnSignals signals;
  const CommandStore store(remote);
  const RequestContext context = RequestContext::within(kValidationLimit, signals.token());
  // An archive is one file, whatever is in it.
  if (remote.archive) return (*store).check(Purpose::ReceiveFile, context);
  // With a listing the directory itself need not be shown: the files are fetched by their names.
  const bool is_by_names = listing && purpose == Purpose::ReceiveDir &&
                           check_listed_files(*store, *listing, context) > 0;
  if (!is_by_names) (*store).check(purpose, context);
}

/// Says once what is accepted and not served by this version.
void warn_of_unserved(const AccessOptions& options) {
  if (options.cache.enabled && options.cache.directory) {
    log(LogLevel::Warning,
        "this version has no cache on disk: what is read is kept in memory only (cache.dir)");
  }
  if (options.listing) {
    log(LogLevel::Warning, "this version mounts what the server shows, not the listing (listing)");
  }
  if (options.report) log(LogLevel::Warning, "this version writes no report of mounts (report)");
}

LogLevel mount_log_level(const Invocation& invocation) {
  if (invocation.debug || invocation.verbose) return LogLevel::Debug;
  return invocation.quiet ? LogLevel::Error : LogLevel::Info;
}

/// No thread may start before mount_dir has forked: the store is opened in the daemon.
void mount(const Invocation& invocation, std::string_view connector) {
  const Remote remote = read_access(invocation, connector);
  check_listing_in(remote.options);
  warn_of_unserved(remote.options);
  const CacheOptions& cache = remote.options.cache;
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
  request.open_store = [&remote, &timer] {
    timer.emplace();
    return with_retries(remote.open(), RetryPolicy::for_mounts(), *timer,
                        RetryPolicy::for_commands());
  };
  mount_dir(request);
}

/// A file has room for more than a terminal.
void open_command_log(const Invocation& invocation) {
  LogLevel level = invocation.log_file ? LogLevel::Info : LogLevel::Warning;
  if (invocation.quiet) level = LogLevel::Error;
  if (invocation.verbose || invocation.debug) level = LogLevel::Debug;
  open_log(level, invocation.log_file);
}

void run(const Invocation& invocation, std::string_view connector) {
  switch (invocation.subcommand->action) {
    case Action::PrintCliVersion:
      return print_cli_version();
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
    case Action::PrintSchema:
      return print_schema(invocation.described, connector);
  }
}

}  // namespace

void run_command(const Invocation& invocation, std::string_view connector) {
  try {
    open_command_log(invocation);
    if (invocation.subcommand->takes_access) {
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
