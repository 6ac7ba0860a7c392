#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>

#include "common/error.h"
#include "common/net/http_client.h"

namespace red {

/// Gathers one response in memory and lets threads wait for it.
class ResponseCollector final : public HttpSink {
 public:
  using WantsBody = std::function<bool(const HttpResponseHead&)>;

  /// A body of more than `max_body` bytes is Error{Protocol}. If `wants_body` says no, the exchange
  /// ends with the head, which is no error.
  explicit ResponseCollector(
      std::size_t max_body, WantsBody wants_body = [](const auto&) { return true; });

  /// Returns when the exchange has ended; throws what it ended with. To be called once.
  HttpResponse wait();
  /// Whether the exchange has ended by then.
  bool wait_until(TimePoint when);

  bool begin(const HttpResponseHead& head) override;
  bool receive(std::span<const std::byte> bytes) override;
  void finish(const Error* error) noexcept override;

 private:
  const std::size_t max_body_;
  const WantsBody wants_body_;

  // Written on the client's thread before finish(), read after it.
  HttpResponse response_;
  bool is_head_only_ = false;
  bool is_too_long_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  bool has_finished_ = false;
  std::optional<Error> error_;
};

}  // namespace red
