#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "common/clock.h"
#include "common/error.h"
#include "common/remote/remote_store.h"
#include "common/request_context.h"
#include "common/timer.h"

namespace red {

/// How often and how long a retryable error (Error::retryable) is answered with another try.
struct RetryPolicy {
  int max_tries;                         ///< before the first byte; counts the first try
  std::chrono::milliseconds window;      ///< no try starts later than this after the first
  std::chrono::milliseconds resume_for;  ///< a read that breaks goes on if it can within this time
  std::chrono::milliseconds max_pause;   ///< between tries; the server's Retry-After is bounded by
                                         ///< the window only
  std::chrono::milliseconds first_pause{
      100};  ///< doubled from try to try; a break that resumes begins
             ///< with a tenth of a second whatever this says
  std::atomic<std::uint64_t>* retries = nullptr;  ///< counts the tries after the first, if there

  /// One command of an engine: at most 3 tries within 8 s; a broken transfer resumes for 10 s.
  static RetryPolicy for_commands();
  /// A mounted file system: as long as the deadline allows, pauses of at most 2 s.
  static RetryPolicy for_mounts();
};

/// The pause before try number `next_try` (2 is the first repetition): exponential from the
/// policy's first pause, with jitter (at least half), or what the server asked for. Nothing if
/// there is to be no more try.
std::optional<std::chrono::milliseconds> pause_before(const RetryPolicy& policy, int next_try,
                                                      Duration since_first_try,
                                                      const Error& last_error, TimePoint now,
                                                      TimePoint deadline);

/// A store whose calls are tried again by the policy. Reads resume where they broke, provided that
/// the content is proved to be the same; else the sink is offered to begin again from 0. Uploads
/// are tried again unless the store reports them as not repeatable (Error that is not retryable).
/// `timer` must outlive the store and its files.
/// Until the server has answered for the first time, `first` is the policy: one that was never
/// there is not waited for as one that went away.
std::unique_ptr<RemoteStore> with_retries(std::unique_ptr<RemoteStore> store, RetryPolicy policy,
                                          Timer& timer,
                                          std::optional<RetryPolicy> first = std::nullopt);

}  // namespace red
