#include "common/protocols/sftp/sftp_pool.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/logging.h"

namespace red {
namespace {

// Differences below do not count when the least busy connection is looked for.
constexpr std::uint64_t kLoadStep = 1024 * 1024;

}  // namespace

SftpPool::SftpPool(SftpAccess access)
    : access_(std::move(access)),
      growth_(static_cast<std::size_t>(std::max(1, access_.options.connections))) {}

std::shared_ptr<SftpConnection> SftpPool::connection(SftpPlace place) {
  Connections ended;
  std::shared_ptr<SftpConnection> found;
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) throw Error(ErrorKind::Cancelled, "the connection is being closed");
    if (refusal_) throw *refusal_;
    const Slot* slot = find(place.connection);
    if (slot == nullptr) {
      const auto least =
          std::min_element(slots_.begin(), slots_.end(), [](const Slot& left, const Slot& right) {
            return std::tuple(!left.is_ready, left.connection->load()) <
                   std::tuple(!right.is_ready, right.connection->load());
          });
      if (least != slots_.end()) slot = &*least;
    }
    found = slot != nullptr ? slot->connection : launch(ended);
  }
  // Outside of the lock: their threads may be about to ask for it.
  for (const auto& each : ended) each->stop();
  return found;
}

SftpPlace SftpPool::best_place() {
  Connections ended;
  SftpPlace place;
  {
    const std::lock_guard lock(mutex_);
    const auto seen = observe();
    const std::size_t wanted = seen.ready == 0 ? 1 : growth_.wanted(seen);
    if (wanted > seen.ready && seen.ready > 0 && !is_connecting() && !is_stopping_) {
      launch(ended);
    }
    Slot* best = nullptr;
    std::size_t usable = 0;
    const auto rank = [](const Slot& slot) {
      return std::tuple(slot.connection->load() / kLoadStep, slot.assigned);
    };
    for (Slot& slot : slots_) {
      if (!slot.is_ready || usable == wanted) continue;
      ++usable;
      if (best == nullptr || rank(slot) < rank(*best)) best = &slot;
    }
    if (best != nullptr) {
      ++best->assigned;
      place.connection = best->connection->id();
    }
  }
  for (const auto& each : ended) each->stop();
  return place;
}

std::size_t SftpPool::size() const {
  const std::lock_guard lock(mutex_);
  return slots_.size();
}

void SftpPool::stop() {
  Connections all;
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    all.swap(retired_);
    for (const Slot& slot : slots_) all.push_back(slot.connection);
    slots_.clear();
  }
  for (const auto& each : all) each->stop();
}

void SftpPool::connection_ready(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (Slot* slot = find(id)) slot->is_ready = true;
}

void SftpPool::connection_ended(std::uint64_t id, const Error& error, bool was_ready) {
  const std::lock_guard lock(mutex_);
  const bool is_only = slots_.size() == 1;
  const bool is_decision = !error.retryable() && error.kind() != ErrorKind::Cancelled;
  if (!was_ready && is_only && is_decision) refusal_ = error;
  if (!was_ready && !is_only) {
    growth_.refused(std::chrono::steady_clock::now());
    log(LogLevel::Debug, "no further connection: " + error.message());
  }
  retire(id);
}

bool SftpPool::connection_may_end(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  // One stays, so that the next request need not wait for a login.
  if (find(id) != nullptr && slots_.size() == 1) return false;
  retire(id);
  return true;
}

std::shared_ptr<SftpConnection> SftpPool::launch(Connections& ended) {
  // Those of ended connections: nobody else waits for their threads.
  const auto is_running = [](const auto& each) { return each->is_alive(); };
  const auto first_ended = std::partition(retired_.begin(), retired_.end(), is_running);
  ended.assign(first_ended, retired_.end());
  retired_.erase(first_ended, retired_.end());
  auto connection =
      std::make_shared<SftpConnection>(next_id_++, access_, notes_, shared_from_this());
  connection->launch();
  slots_.push_back({connection});
  return connection;
}

bool SftpPool::is_connecting() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.is_ready; });
}

SftpPool::Slot* SftpPool::find(std::uint64_t id) {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [id](const Slot& slot) { return slot.connection->id() == id; });
  return found == slots_.end() ? nullptr : &*found;
}

SftpGrowthPolicy::Observation SftpPool::observe() const {
  SftpGrowthPolicy::Observation seen;
  seen.now = std::chrono::steady_clock::now();
  seen.moved = moved_before_;
  std::optional<TimePoint> latest;
  bool all_busy = true;
  for (const Slot& slot : slots_) {
    if (!slot.is_ready) continue;
    ++seen.ready;
    seen.moved += slot.connection->moved();
    const auto since = slot.connection->busy_since();
    all_busy = all_busy && since.has_value();
    if (since) latest = std::max(latest.value_or(*since), *since);
  }
  if (all_busy) seen.busy_since = latest;
  return seen;
}

void SftpPool::retire(std::uint64_t id) {
  const Slot* slot = find(id);
  if (slot == nullptr) return;
  moved_before_ += slot->connection->moved();
  retired_.push_back(slot->connection);
  slots_.erase(slots_.begin() + (slot - slots_.data()));
}

}  // namespace red
