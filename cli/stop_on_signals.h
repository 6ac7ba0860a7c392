#pragma once

#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

namespace red {

/// While it lives, SIGINT, SIGTERM and SIGHUP ask for a stop instead of ending the process (those
/// that were ignored stay ignored); a second one ends it at once. To be made before other threads
/// start, so that they inherit the blocked signals. One at a time.
class StopOnSignals {
 public:
  StopOnSignals();
  ~StopOnSignals();
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;

  std::stop_token token() const { return source_.get_token(); }

  /// The signal that asked this process to stop; 0 if none did.
  static int received() noexcept;

 private:
  void wait_for_signals();

  // set once
  sigset_t signals_;
  sigset_t mask_before_;
  std::stop_source source_;

  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace red
