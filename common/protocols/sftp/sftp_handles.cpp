#include "common/protocols/sftp/sftp_handles.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace red {
namespace {

constexpr std::chrono::seconds kOpenLimit{30};

}  // namespace

SftpHandles::SftpHandles(std::shared_ptr<SftpClient> client, std::string path, std::uint32_t flags)
    : client_(std::move(client)), path_(std::move(path)), flags_(flags) {}

SftpHandles::~SftpHandles() { stop_.request_stop(); }

void SftpHandles::add(std::shared_ptr<SftpHandle> handle) {
  const std::lock_guard lock(mutex_);
  slots_[handle->place().connection].handle = std::move(handle);
}

void SftpHandles::forget_name() {
  const std::lock_guard lock(mutex_);
  has_name_ = false;
}

void SftpHandles::use_best(const RequestContext& context, Use use) {
  std::shared_ptr<SftpHandle> handle;
  bool has_name = true;
  {
    const std::lock_guard lock(mutex_);
    has_name = has_name_;
    if (!has_name) handle = find_alive();
  }
  if (has_name) return use_at(client_->best_place(), context, std::move(use));
  const Error gone(ErrorKind::NotFound, path_ + ": is gone");
  use(handle ? nullptr : &gone, handle);
}

void SftpHandles::use_any(const RequestContext& context, Use use) {
  std::shared_ptr<SftpHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    handle = find_alive();
  }
  if (handle) return use(nullptr, handle);
  use_best(context, std::move(use));
}

std::shared_ptr<SftpHandle> SftpHandles::find_alive() const {
  for (const auto& [connection, slot] : slots_) {
    if (slot.handle && slot.handle->is_alive()) return slot.handle;
  }
  return nullptr;
}

std::shared_ptr<SftpHandle> SftpHandles::find_alive_at(SftpPlace place) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(place.connection);
  if (found == slots_.end() || !found->second.handle) return nullptr;
  return found->second.handle->is_alive() ? found->second.handle : nullptr;
}

void SftpHandles::use_at(SftpPlace place, const RequestContext& context, Use use) {
  if (const auto handle = find_alive_at(place)) return use(nullptr, handle);
  const auto waiter = std::make_shared<Waiter>(context, std::move(use));
  wait_at(place, waiter);
  if (!context.stop.stop_possible()) return;
  waiter->on_stop.emplace(
      context.stop, [weak = weak_from_this(), weak_waiter = std::weak_ptr<Waiter>(waiter)] {
        const auto kept = weak_waiter.lock();
        const auto self = weak.lock();
        if (!kept || !self) return;
        const Error called_off(ErrorKind::Cancelled, "open " + self->path_ + ": called off");
        self->end(*kept, &called_off, nullptr);
      });
}

void SftpHandles::wait_at(SftpPlace place, const std::shared_ptr<Waiter>& waiter) {
  std::shared_ptr<SftpHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[place.connection];
    if (slot.handle && slot.handle->is_alive()) {
      handle = slot.handle;
    } else {
      slot.handle.reset();
      slot.waiting.push_back(waiter);
      if (std::exchange(slot.is_opening, true)) return;
    }
  }
  handle ? end(*waiter, nullptr, handle) : open_at(place, waiter->context);
}

/// For all who wait there, but no longer than `context`, the first one's, allows.
void SftpHandles::open_at(SftpPlace place, const RequestContext& context) {
  auto limited = RequestContext::within(kOpenLimit, stop_.get_token());
  limited.deadline = std::min(limited.deadline, context.deadline);
  client_->open(
      path_, flags_, {}, place, limited,
      [self = shared_from_this(), place](const Error* error, std::shared_ptr<SftpHandle> made) {
        self->opened(place, error, std::move(made));
      });
}

void SftpHandles::end(Waiter& waiter, const Error* error,
                      const std::shared_ptr<SftpHandle>& handle) {
  Use use;
  {
    const std::lock_guard lock(mutex_);
    use = std::exchange(waiter.use, nullptr);
  }
  if (use) use(error, handle);
}

void SftpHandles::opened(SftpPlace place, const Error* error, std::shared_ptr<SftpHandle> handle) {
  std::vector<std::shared_ptr<Waiter>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(slots_[place.connection].waiting);
    // The place of a connection that is lost has been taken by another.
    slots_.erase(place.connection);
    if (handle) slots_[handle->place().connection].handle = handle;
    // A file that has lost its name lives on where it is open.
    if (!handle) handle = find_alive();
    if (handle) error = nullptr;
  }
  const TimePoint now = std::chrono::steady_clock::now();
  const auto is_late = [now](const auto& waiter) { return waiter->context.deadline <= now; };
  // The time of one is not that of the others, unless it took too long for all.
  const bool goes_on = error != nullptr && error->kind() == ErrorKind::TimedOut &&
                       std::any_of(waiting.begin(), waiting.end(), is_late);
  for (const auto& waiter : waiting) {
    goes_on && !is_late(waiter) ? wait_at(place, waiter) : end(*waiter, error, handle);
  }
}

bool SftpHandles::is_one() const {
  const std::lock_guard lock(mutex_);
  return slots_.size() == 1 && find_alive() != nullptr;
}

bool SftpHandles::renew() {
  {
    const std::lock_guard lock(mutex_);
    if (!has_name_) return false;
  }
  // Each is closed where it is used last.
  take_all();
  return true;
}

std::vector<std::shared_ptr<SftpHandle>> SftpHandles::take_all() {
  std::vector<std::shared_ptr<SftpHandle>> handles;
  const std::lock_guard lock(mutex_);
  for (auto& [connection, slot] : slots_) {
    if (slot.handle) handles.push_back(std::exchange(slot.handle, nullptr));
  }
  return handles;
}

}  // namespace red
