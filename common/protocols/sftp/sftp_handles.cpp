#include "common/protocols/sftp/sftp_handles.h"

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

void SftpHandles::use_best(Use use) {
  std::shared_ptr<SftpHandle> handle;
  bool has_name = true;
  {
    const std::lock_guard lock(mutex_);
    has_name = has_name_;
    if (!has_name) handle = find_alive();
  }
  if (has_name) return use_at(client_->best_place(), std::move(use));
  const Error gone(ErrorKind::NotFound, path_ + ": is gone");
  use(handle ? nullptr : &gone, handle);
}

void SftpHandles::use_any(Use use) {
  std::shared_ptr<SftpHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    handle = find_alive();
  }
  if (handle) return use(nullptr, handle);
  use_best(std::move(use));
}

std::shared_ptr<SftpHandle> SftpHandles::find_alive() const {
  for (const auto& [connection, slot] : slots_) {
    if (slot.handle && slot.handle->is_alive()) return slot.handle;
  }
  return nullptr;
}

void SftpHandles::use_at(SftpPlace place, Use use) {
  std::shared_ptr<SftpHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[place.connection];
    if (slot.handle && slot.handle->is_alive()) {
      handle = slot.handle;
    } else {
      slot.handle.reset();
      slot.waiting.push_back(std::move(use));
      if (std::exchange(slot.is_opening, true)) return;
    }
  }
  if (handle) return use(nullptr, handle);
  client_->open(
      path_, flags_, {}, place, RequestContext::within(kOpenLimit, stop_.get_token()),
      [self = shared_from_this(), place](const Error* error, std::shared_ptr<SftpHandle> made) {
        self->opened(place, error, std::move(made));
      });
}

void SftpHandles::opened(SftpPlace place, const Error* error, std::shared_ptr<SftpHandle> handle) {
  std::vector<Use> waiting;
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
  for (const Use& use : waiting) use(error, handle);
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
