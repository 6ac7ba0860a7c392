#include "fuse/daemon_monitor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/logging.h"
#include "fuse/kernel_readahead.h"
#include "fuse/mount_table.h"
#include "fuse/unmount.h"

namespace red {
namespace {

using namespace std::chrono_literals;

// The largest request that FUSE makes; more in flight is the business of our own read-ahead.
constexpr unsigned kKernelReadaheadKibibytes = 1024;
// Below the time that umount-dir and a command whose daemon hangs grant before they kill.
constexpr auto kStopLimit = 2500ms;

UniqueFd block_and_watch_signals(sigset_t& previous) {
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&watched, number);
  ::pthread_sigmask(SIG_BLOCK, &watched, &previous);
  UniqueFd fd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw Error::local_io(errno, "cannot watch signals");
  return fd;
}

UniqueFd make_event() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw Error::local_io(errno, "cannot make an event");
  return fd;
}

}  // namespace

DaemonMonitor::DaemonMonitor(MountClaim& claim, CommandLink* command)
    : claim_(claim),
      signals_(block_and_watch_signals(previous_signals_)),
      wake_(make_event()),
      status_server_(claim.socket_path()),
      command_(command),
      thread_([this] { run(); }) {}

DaemonMonitor::~DaemonMonitor() {
  finished_ = true;
  wake();
  thread_.join();
  if (stopper_.joinable()) stopper_.join();
  ::pthread_sigmask(SIG_SETMASK, &previous_signals_, nullptr);
}

void DaemonMonitor::mounted() noexcept {
  mounted_ = true;
  wake();
}

void DaemonMonitor::set_answers(StatusServer::Answers answers) {
  const std::lock_guard lock(mutex_);
  answers_ = std::move(answers);
}

void DaemonMonitor::wake() noexcept { ::eventfd_write(wake_.get(), 1); }

int DaemonMonitor::milliseconds_to_wait() const {
  if (!force_at_) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*force_at_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

void DaemonMonitor::run() {
  while (!finished_) {
    try {
      take_events();
    } catch (const Error& error) {
      log(LogLevel::Error, error.message());
      stop("the daemon cannot go on");
    }
    if (force_at_ && std::chrono::steady_clock::now() >= *force_at_) end_by_force();
  }
}

void DaemonMonitor::take_events() {
  const int command_fd = command_ != nullptr ? command_->fd() : -1;  // poll() skips -1
  std::vector<pollfd> events{
      {wake_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {command_fd, POLLIN, 0}};
  const std::size_t first_question = events.size();
  for (const int fd : status_server_.descriptors()) events.push_back({fd, POLLIN, 0});
  if (::poll(events.data(), events.size(), milliseconds_to_wait()) <= 0) return;
  if (events[0].revents != 0) {
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
    if (mounted_.exchange(false)) announce();
  }
  if (events[1].revents != 0) handle_signal();
  if (events[2].revents != 0) handle_command();
  const auto is_asked = [](const pollfd& event) { return event.revents != 0; };
  if (std::any_of(events.begin() + first_question, events.end(), is_asked)) answer_questions();
}

void DaemonMonitor::handle_signal() {
  signalfd_siginfo signal{};
  if (::read(signals_.get(), &signal, sizeof(signal)) != sizeof(signal)) return;
  stop(std::string("signal ") + ::sigabbrev_np(static_cast<int>(signal.ssi_signo)));
}

void DaemonMonitor::handle_command() {
  if (!command_->is_confirmed()) stop("the command that started this daemon has gone");
  command_ = nullptr;
}

void DaemonMonitor::announce() {
  const MountTable table = read_mount_table();
  const MountEntry* mount = find_top_mount(table, claim_.record().mount_point);
  if (mount == nullptr || !mount->is_ours()) return stop("the mount has gone already");
  claim_.set_device(mount->device);
  // Taking up the mount, the kernel sets its readahead to its default: ours has to come after that.
  // This call returns when the mount answers, which needs nobody but our own session.
  struct statvfs ignored = {};
  ::statvfs(mount->mount_point.c_str(), &ignored);
  set_kernel_readahead(mount->device, kKernelReadaheadKibibytes);
  log(LogLevel::Info, "mounted at " + claim_.record().mount_point.string());
  ready_ = true;
  if (command_ != nullptr) command_->report_ready();
}

void DaemonMonitor::answer_questions() {
  const std::lock_guard lock(mutex_);
  status_server_.serve(
      [this](std::string_view question) { return answers_ ? answers_(question) : std::string(); });
}

void DaemonMonitor::stop(const std::string& reason) {
  if (force_at_) return;
  log(LogLevel::Info, "unmounting: " + reason);
  force_at_ = std::chrono::steady_clock::now() + kStopLimit;
  // What is called on a stop may wait for others; this thread must not, or nobody would end them.
  stopper_ = std::thread([this] { stop_.request_stop(); });
}

void DaemonMonitor::end_by_force() {
  log(LogLevel::Error, "serving does not end: giving up");
  try {
    const MountRecord& record = claim_.record();
    if (!record.device || is_mounted(read_mount_table(), record.mount_point, *record.device)) {
      detach(record.mount_point);
    }
  } catch (const Error& error) {
    log(LogLevel::Error, error.message());
  }
  claim_.release();
  ::_exit(EXIT_FAILURE);
}

}  // namespace red
