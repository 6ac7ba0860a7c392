#include "cli/stop_on_signals.h"

#include <pthread.h>
#include <unistd.h>

namespace red {
namespace {

std::atomic<int> received_signal = 0;

bool is_ignored(int signal) {
  struct sigaction action = {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

StopOnSignals::StopOnSignals() {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(signal)) ::sigaddset(&signals_, signal);
  }
  // Wakes the thread at the end, also when all others are ignored.
  ::sigaddset(&signals_, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &mask_before_);
  thread_ = std::thread([this] { wait_for_signals(); });
}

StopOnSignals::~StopOnSignals() {
  ending_ = true;
  ::pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

int StopOnSignals::received() noexcept { return received_signal; }

void StopOnSignals::wait_for_signals() {
  for (;;) {
    int signal = 0;
    if (::sigwait(&signals_, &signal) != 0) continue;
    if (ending_) return;
    if (signal == SIGUSR1) continue;
    // Whoever asks twice does not want to wait for the tidying up.
    if (received_signal.exchange(signal) != 0) ::_exit(128 + signal);
    source_.request_stop();
  }
}

}  // namespace red
