#include "common/net/response_collector.h"

#include <string>
#include <utility>

namespace red {

ResponseCollector::ResponseCollector(std::size_t max_body, WantsBody wants_body)
    : max_body_(max_body), wants_body_(std::move(wants_body)) {}

bool ResponseCollector::begin(const HttpResponseHead& head) {
  response_.head = head;
  is_head_only_ = !wants_body_(head);
  is_too_long_ = !is_head_only_ && head.content_length().value_or(0) > max_body_;
  return !is_head_only_ && !is_too_long_;
}

bool ResponseCollector::receive(std::span<const std::byte> bytes) {
  is_too_long_ = bytes.size() > max_body_ - response_.body.size();
  if (is_too_long_) return false;
  response_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return true;
}

void ResponseCollector::finish(const Error* error) noexcept {
  const std::lock_guard lock(mutex_);
  if (is_too_long_) {
    error_ = Error(ErrorKind::Protocol,
                   "the answer is longer than " + std::to_string(max_body_) + " bytes");
  } else if (error != nullptr && !is_head_only_) {
    error_ = *error;
  }
  has_finished_ = true;
  changed_.notify_all();
}

bool ResponseCollector::wait_until(TimePoint when) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, when, [this] { return has_finished_; });
}

HttpResponse ResponseCollector::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return has_finished_; });
  if (error_) throw *error_;
  return std::move(response_);
}

}  // namespace red
