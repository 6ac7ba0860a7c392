#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/clock.h"
#include "common/error.h"
#include "common/net/curl_handle.h"
#include "common/net/http_client.h"
#include "common/net/redirect.h"
#include "common/net/response_head_reader.h"

namespace red {

/// One exchange on its way: through redirects, a repetition on a fresh connection and libcurl's
/// callbacks to its end. It knows nothing of the multi handle: the event thread, the only one that
/// calls it, adds and removes the handle. Each request on the way is called a leg.
class CurlExchange {
 public:
  /// `loop_time` is the event thread's time of the current round, cheaper than asking the clock for
  /// every chunk.
  CurlExchange(HttpRequest request, std::shared_ptr<HttpSink> sink, const RequestContext& context,
               const HttpClientOptions& options, const TimePoint& loop_time);
  CurlExchange(const CurlExchange&) = delete;
  CurlExchange& operator=(const CurlExchange&) = delete;

  /// Reads the request, before it waits for its turn. Throws Error. `on_stop` is called from any
  /// thread when the caller calls the exchange off, `on_resume` when resume() is to be called.
  void accept(std::function<void()> on_stop, std::function<void()> on_resume);

  /// Prepares the next leg on this handle, which stays in use until release_handle(). Throws Error.
  void begin_leg(std::unique_ptr<CurlHandle> handle);
  std::unique_ptr<CurlHandle> release_handle();
  CURL* easy() const { return handle_->get(); }

  enum class Next {
    End,  ///< call finish()
    Leg,  ///< call begin_leg() again
  };
  /// The leg ended by itself.
  Next end_leg(CURLcode code);

  /// Goes on with an answer that was held back; may call the sink.
  void resume();

  enum class Verdict { GoOn, Fail, RepeatFresh };
  /// Looks at the time; Fail has set the error, RepeatFresh wants the leg again.
  Verdict check_time();
  /// When check_time() has to be called at the latest.
  TimePoint next_check() const;

  /// Ends with this error, unless there is one already.
  void fail(Error error);
  void cancel();
  /// The last call: tells the sink. The handle must have been released.
  void finish() noexcept;

  bool is_bulk() const { return request_.own_connection; }
  Priority priority() const { return context_.priority; }

 private:
  enum class Phase { Queued, Connecting, Exchanging };

  template <typename Body>
  bool guarded(Body body) noexcept;
  static int on_request_start(void* self, char*, char*, int, int);
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t on_send(char* buffer, std::size_t, std::size_t size, void* self);
  static int on_rewind(void* self, curl_off_t offset, int origin);

  void request_started();
  bool take_header(std::string_view line);
  bool take_body(std::span<const std::byte> bytes);
  bool begin_response();
  std::size_t send_some(std::span<std::byte> buffer);

  bool is_known_here() const;
  bool is_digest() const;
  bool is_digest_outdated() const;
  bool leads_elsewhere() const;
  bool may_go_silent() const;
  bool has_upload_moved();
  bool is_held() const { return request_.flow && request_.flow->is_held(); }
  Next end_whole_leg();
  Next follow_redirect();
  std::chrono::milliseconds stall_timeout() const;
  Error failure_of(CURLcode code) const;
  std::string what() const;
  std::string authority() const;
  void log_end() const;

  using StopCallback = std::stop_callback<std::function<void()>>;

  // set once
  const HttpRequest request_;
  const std::shared_ptr<HttpSink> sink_;
  const RequestContext context_;
  const HttpClientOptions& options_;
  const TimePoint& loop_time_;
  const TimePoint started_;
  std::optional<RedirectTrail> trail_;
  std::optional<StopCallback> stop_callback_;

  // of the exchange
  std::unique_ptr<CurlHandle> handle_;
  std::optional<Error> error_;
  bool has_begun_ = false;  ///< the sink knows the head
  bool is_repeated_fresh_ = false;
  bool is_repeated_for_digest_ = false;
  std::uint64_t received_ = 0;

  // of the leg
  Phase phase_ = Phase::Queued;
  ResponseHeadReader reader_;
  bool is_reused_ = false;  ///< on a connection that was used before
  bool has_body_begun_ = false;
  bool is_paused_ = false;       ///< libcurl keeps bytes for the sink
  std::uint64_t discarded_ = 0;  ///< bytes of an answer that only leads elsewhere
  std::uint64_t sent_ = 0;       ///< where the body goes on
  bool is_answered_ = false;     ///< something came since the last byte of the body was sent
  int unsent_in_kernel_ = 0;
  TimePoint request_start_{};
  TimePoint last_activity_{};
};

}  // namespace red
