#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "common/remote/remote_store.h"

namespace red {

/// What was asked of a server, and what came. Thread-safe.
struct RemoteCounters {
  std::atomic<std::uint64_t> lists{0};          ///< directories that were listed
  std::atomic<std::uint64_t> stats{0};          ///< paths that were asked for
  std::atomic<std::uint64_t> reads{0};          ///< ranges, or whole files
  std::atomic<std::uint64_t> fetched_bytes{0};  ///< of files
  std::atomic<std::uint64_t> retries{0};        ///< see RetryPolicy::retries
};

/// The store, with its calls and the bytes of its reads counted: each try, if retries are made
/// around it. `counters` must outlive it and its files.
std::unique_ptr<RemoteStore> with_counters(std::unique_ptr<RemoteStore> store,
                                           RemoteCounters& counters);

}  // namespace red
