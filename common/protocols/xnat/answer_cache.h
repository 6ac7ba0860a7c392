#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/clock.h"
#include "common/error.h"
#include "common/request_context.h"

namespace red {

/// Remembers answers of the server for a while. Who asks for one that is on its way waits for it
/// instead of asking again. Thread-safe.
template <typename Value>
class AnswerCache {
 public:
  using Answer = std::shared_ptr<const Value>;

  /// `max_weight` bounds the sum of what `weight_of` says of the answers; the oldest go first.
  AnswerCache(Duration lifetime, std::size_t max_weight,
              std::function<std::size_t(const Value&)> weight_of)
      : lifetime_(lifetime), max_weight_(max_weight), weight_of_(std::move(weight_of)) {}

  /// The answer to `key`, from `fetch` if it is not known; what that throws is not remembered.
  Answer get(const std::string& key, const RequestContext& context,
             const std::function<Value()>& fetch) {
    return get_since(now() - lifetime_, key, context, fetch);
  }

  /// The same, but what is known already does not count.
  Answer renew(const std::string& key, const RequestContext& context,
               const std::function<Value()>& fetch) {
    return get_since(now(), key, context, fetch);
  }

  /// Null if it is not known.
  Answer find(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    return found != entries_.end() && is_fresh(found->second) ? found->second.answer : nullptr;
  }

 private:
  struct Entry {
    Answer answer;  ///< null while nobody has it
    TimePoint came{};
    bool is_on_its_way = false;
  };

  static TimePoint now() { return std::chrono::steady_clock::now(); }
  bool is_fresh(const Entry& entry) const { return entry.answer && now() < entry.came + lifetime_; }

  Answer get_since(TimePoint since, const std::string& key, const RequestContext& context,
                   const std::function<Value()>& fetch) {
    if (Answer known = find_or_claim(since, key, context)) return known;
    try {
      Answer fresh = std::make_shared<const Value>(fetch());
      store(key, fresh);
      return fresh;
    } catch (...) {
      give_up(key);
      throw;
    }
  }

  /// Null: the caller has to fetch it.
  Answer find_or_claim(TimePoint since, const std::string& key, const RequestContext& context) {
    std::unique_lock lock(mutex_);
    while (true) {
      Entry& entry = entries_[key];
      if (entry.answer && entry.came >= since) return entry.answer;
      if (!entry.is_on_its_way) {
        entry.is_on_its_way = true;
        return nullptr;
      }
      const auto has_ended = [&] { return !entries_[key].is_on_its_way; };
      if (changed_.wait_until(lock, context.stop, wait_limit(context), has_ended)) continue;
      if (context.stop.stop_requested()) {
        throw Error(ErrorKind::Cancelled, "called off while waiting for a listing");
      }
      if (now() >= context.deadline) {
        throw Error(ErrorKind::TimedOut, "no listing within the time allowed");
      }
    }
  }

  /// TimePoint::max() overflows in conversions between clocks.
  static TimePoint wait_limit(const RequestContext& context) {
    return std::min(context.deadline, now() + std::chrono::hours(1));
  }

  void store(const std::string& key, const Answer& answer) {
    const std::lock_guard lock(mutex_);
    entries_[key] = {answer, now(), false};
    make_room(key);
    changed_.notify_all();
  }

  void give_up(const std::string& key) {
    const std::lock_guard lock(mutex_);
    entries_.erase(key);
    changed_.notify_all();
  }

  void make_room(const std::string& kept) {
    std::size_t weight = 0;
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      const bool is_old =
          entry->second.answer && !is_fresh(entry->second) && !entry->second.is_on_its_way;
      if (!is_old && entry->second.answer) weight += weight_of_(*entry->second.answer);
      entry = is_old ? entries_.erase(entry) : std::next(entry);
    }
    while (weight > max_weight_) {
      auto oldest = entries_.end();
      for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (entry->first == kept || !entry->second.answer || entry->second.is_on_its_way) continue;
        if (oldest == entries_.end() || entry->second.came < oldest->second.came) oldest = entry;
      }
      if (oldest == entries_.end()) return;
      weight -= weight_of_(*oldest->second.answer);
      entries_.erase(oldest);
    }
  }

  const Duration lifetime_;
  const std::size_t max_weight_;
  const std::function<std::size_t(const Value&)> weight_of_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Entry> entries_;  // guarded by mutex_
};

}  // namespace red
