#include "common/net/curl_exchange.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>

#include "common/logging.h"
#include "common/net/curl_error.h"

namespace red {
namespace {

using std::chrono::milliseconds;

// A kept connection can be dead without anybody having been told (a NAT forgot it, a host
// vanished). Servers that need longer for a first byte get it on the second try, which is not
// bounded so.
constexpr milliseconds kSilenceOnReusedConnection{5'000};

// A redirect's page is read to its end to keep the connection, unless it is longer than this.
constexpr std::uint64_t kMaxDiscarded = 64 * 1024;

std::string text_of(Duration time) {
  const auto count = std::chrono::duration_cast<milliseconds>(time).count();
  if (count % 1000 == 0) return std::to_string(count / 1000) + " s";
  return std::to_string(count) + " ms";
}

bool is_idempotent_without_body(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PROPFIND" || method == "OPTIONS";
}

}  // namespace

CurlExchange::CurlExchange(HttpRequest request, std::shared_ptr<HttpSink> sink,
                           const RequestContext& context, const HttpClientOptions& options,
                           const TimePoint& loop_time)
    : request_(std::move(request)),
      sink_(std::move(sink)),
      context_(context),
      options_(options),
      loop_time_(loop_time),
      started_(std::chrono::steady_clock::now()) {}

void CurlExchange::accept(std::function<void()> on_stop, std::function<void()> on_resume) {
  trail_.emplace(request_.method, Url::parse(request_.url));
  // What is over before it begins is not sent: the server would do it all the same.
  if (context_.stop.stop_requested()) cancel();
  if (error_ || check_time() == Verdict::Fail) throw Error(*error_);
  if (request_.flow) request_.flow->on_release(std::move(on_resume));
  stop_callback_.emplace(context_.stop, std::move(on_stop));
}

void CurlExchange::begin_leg(std::unique_ptr<CurlHandle> handle) {
  handle_ = std::move(handle);
  reader_.reset();
  phase_ = Phase::Connecting;
  is_reused_ = has_body_begun_ = is_answered_ = is_paused_ = false;
  discarded_ = sent_ = 0;
  unsent_in_kernel_ = 0;

  ByteSource* body = trail_->keeps_body() ? request_.body.get() : nullptr;
  // libcurl repeats a request, body and all, when a connection from its pool turns out to be
  // closed. A POST must not arrive twice, so that it gets a connection that is not from the pool.
  const bool is_post = body != nullptr && trail_->method() == "POST";
  handle_->prepare(
      {.request = request_,
       .method = trail_->method(),
       .url = trail_->url(),
       .body = body,
       .with_secrets = is_known_here(),
       .fresh_connection = request_.fresh_connection || is_repeated_fresh_ || is_post});
  CURL* easy = handle_->get();
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &on_request_start);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_send);
  curl_easy_setopt(easy, CURLOPT_READDATA, this);
  curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &on_rewind);
  curl_easy_setopt(easy, CURLOPT_SEEKDATA, this);
}

std::unique_ptr<CurlHandle> CurlExchange::release_handle() {
  handle_->knows_digest = handle_->knows_digest || is_digest();
  return std::move(handle_);
}

// --- libcurl's callbacks
// ---------------------------------------------------------------------------

/// Exceptions must not pass through libcurl: they become the exchange's error.
template <typename Body>
bool CurlExchange::guarded(Body body) noexcept {
  try {
    return body();
  } catch (...) {
    fail(current_exception_as_error());
    return false;
  }
}

int CurlExchange::on_request_start(void* self, char*, char*, int, int) {
  static_cast<CurlExchange*>(self)->request_started();
  return CURL_PREREQFUNC_OK;
}

void CurlExchange::request_started() {
  phase_ = Phase::Exchanging;
  request_start_ = last_activity_ = loop_time_;
  is_reused_ = handle_->info<long>(CURLINFO_NUM_CONNECTS) == 0;
  is_answered_ = false;
}

std::size_t CurlExchange::on_header(char* data, std::size_t, std::size_t size, void* self) {
  auto* exchange = static_cast<CurlExchange*>(self);
  const bool goes_on = exchange->guarded([&] { return exchange->take_header({data, size}); });
  return goes_on ? size : 0;
}

bool CurlExchange::take_header(std::string_view line) {
  last_activity_ = loop_time_;
  is_answered_ = true;
  if (has_body_begun_) return true;  // trailers
  if (reader_.add_line(line)) return true;
  fail(Error(ErrorKind::Protocol, what() + ": the answer's header is too long"));
  return false;
}

std::size_t CurlExchange::on_body(char* data, std::size_t, std::size_t size, void* self) {
  auto* exchange = static_cast<CurlExchange*>(self);
  if (exchange->is_held()) {
    exchange->is_paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  const bool goes_on = exchange->guarded(
      [&] { return exchange->take_body(std::as_bytes(std::span<const char>(data, size))); });
  return goes_on ? size : CURL_WRITEFUNC_ERROR;
}

bool CurlExchange::take_body(std::span<const std::byte> bytes) {
  last_activity_ = loop_time_;
  has_body_begun_ = true;
  if (!has_begun_) {
    if (leads_elsewhere()) {
      discarded_ += bytes.size();
      return discarded_ <= kMaxDiscarded;
    }
    if (!begin_response()) return false;
  }
  received_ += bytes.size();
  if (sink_->receive(bytes)) return true;
  cancel();
  return false;
}

/// The head is told late, with the first byte or at the end: only then is it certain to be the
/// last.
bool CurlExchange::begin_response() {
  HttpResponseHead head = reader_.head();
  head.url = trail_->url().to_string();
  if (head.status < 200) {
    fail(Error(ErrorKind::Protocol, what() + ": the answer has no valid status"));
    return false;
  }
  if (head.has_broken_length()) {
    fail(Error(ErrorKind::Protocol, what() + ": the answer's Content-Length is no number"));
    return false;
  }
  has_begun_ = true;
  if (sink_->begin(head)) return true;
  cancel();
  return false;
}

std::size_t CurlExchange::on_send(char* buffer, std::size_t, std::size_t size, void* self) {
  auto* exchange = static_cast<CurlExchange*>(self);
  std::size_t count = 0;
  const bool goes_on = exchange->guarded([&] {
    count = exchange->send_some(std::as_writable_bytes(std::span<char>(buffer, size)));
    return true;
  });
  return goes_on ? count : CURL_READFUNC_ABORT;
}

std::size_t CurlExchange::send_some(std::span<std::byte> buffer) {
  last_activity_ = loop_time_;
  is_answered_ = false;
  if (!request_.body) return 0;
  const std::uint64_t left = request_.body->size() - sent_;
  if (left == 0) return 0;
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size()));
  const std::size_t count = request_.body->read_at(sent_, buffer.first(wanted));
  // Fewer bytes than announced would leave the server waiting.
  if (count == 0) throw Error(ErrorKind::Integrity, what() + ": what is sent became shorter");
  sent_ += count;
  return count;
}

int CurlExchange::on_rewind(void* self, curl_off_t offset, int origin) {
  auto* exchange = static_cast<CurlExchange*>(self);
  // A POST whose body went out without an answer may have been acted upon.
  const bool may_have_arrived =
      exchange->trail_->method() == "POST" && exchange->sent_ > 0 && !exchange->is_answered_;
  if (origin != SEEK_SET || offset < 0 || may_have_arrived) return CURL_SEEKFUNC_FAIL;
  exchange->sent_ = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

void CurlExchange::resume() {
  if (!handle_ || !std::exchange(is_paused_, false)) return;
  last_activity_ = loop_time_;
  curl_easy_pause(easy(), CURLPAUSE_CONT);
}

// --- The end of a leg
// ------------------------------------------------------------------------------

CurlExchange::Next CurlExchange::end_leg(CURLcode code) {
  if (error_) return Next::End;
  // A redirect's page may have been too long to be read, or was cut: nobody wanted it.
  if (code == CURLE_OK || (has_body_begun_ && !has_begun_ && leads_elsewhere()))
    return end_whole_leg();
  fail(failure_of(code));
  return Next::End;
}

CurlExchange::Next CurlExchange::end_whole_leg() {
  if (!has_begun_) {
    if (RedirectTrail::is_redirect(reader_.head())) return follow_redirect();
    if (is_digest_outdated()) {
      is_repeated_for_digest_ = true;
      return Next::Leg;
    }
    guarded([&] { return begin_response(); });
  }
  return Next::End;
}

CurlExchange::Next CurlExchange::follow_redirect() {
  const bool follows = guarded([&] {
    trail_->follow(reader_.head());
    return true;
  });
  return follows ? Next::Leg : Next::End;
}

/// Whether what is secret may be sent on this leg.
bool CurlExchange::is_known_here() const {
  return !request_.anonymous && trail_->may_send_credentials();
}

bool CurlExchange::is_digest() const {
  return options_.credentials.scheme == HttpCredentials::Scheme::Digest && is_known_here();
}

/// A challenge that was remembered from an earlier exchange is refused: a new one may be taken.
bool CurlExchange::is_digest_outdated() const {
  return reader_.head().status == 401 && handle_->knows_digest && is_digest() &&
         !is_repeated_for_digest_;
}

/// Whether this answer is not the one for the sink: another request follows.
bool CurlExchange::leads_elsewhere() const {
  return RedirectTrail::is_redirect(reader_.head()) || is_digest_outdated();
}

Error CurlExchange::failure_of(CURLcode code) const {
  return error_from_curl(
      {.code = code,
       .text = handle_->error_text(),
       .what = what(),
       .host = trail_->url().host,
       .authority = authority(),
       .system_error = static_cast<int>(handle_->info<long>(CURLINFO_OS_ERRNO)),
       .proxy_status = static_cast<int>(handle_->info<long>(CURLINFO_HTTP_CONNECTCODE)),
       .is_in_body = has_body_begun_,
       .received = received_,
       .announced = reader_.head().content_length(),
       .connect_timeout = options_.connect_timeout});
}

void CurlExchange::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void CurlExchange::cancel() { fail(Error(ErrorKind::Cancelled, what() + ": called off")); }

void CurlExchange::finish() noexcept {
  stop_callback_.reset();
  if (request_.flow) request_.flow->on_release({});
  if (log_enabled(LogLevel::Debug)) log_end();
  sink_->finish(error_ ? &*error_ : nullptr);
}

// --- Time
// ------------------------------------------------------------------------------------------

milliseconds CurlExchange::stall_timeout() const {
  return request_.stall_timeout.value_or(options_.stall_timeout);
}

bool CurlExchange::may_go_silent() const {
  return is_reused_ && !is_answered_ && !is_repeated_fresh_ &&
         is_idempotent_without_body(trail_->method());
}

TimePoint CurlExchange::next_check() const {
  TimePoint next = context_.deadline;
  if (phase_ == Phase::Queued) return next;
  if (phase_ == Phase::Connecting) {
    // Whenever the request starts, it has at least so long from now.
    return std::min(next, loop_time_ + std::min(kSilenceOnReusedConnection, stall_timeout()));
  }
  next = std::min(next, last_activity_ + stall_timeout());
  if (may_go_silent()) next = std::min(next, request_start_ + kSilenceOnReusedConnection);
  return next;
}

CurlExchange::Verdict CurlExchange::check_time() {
  if (loop_time_ >= context_.deadline) {
    const std::string state = received_ > 0                 ? std::to_string(received_) + " bytes"
                              : phase_ == Phase::Exchanging ? "no answer"
                                                            : "no connection";
    fail(Error(ErrorKind::TimedOut, what() + ": " + state + " from " + authority() +
                                        " within the " + text_of(context_.deadline - started_) +
                                        " allowed"));
    return Verdict::Fail;
  }
  if (phase_ != Phase::Exchanging) return Verdict::GoOn;
  if (may_go_silent() && loop_time_ >= request_start_ + kSilenceOnReusedConnection) {
    is_repeated_fresh_ = true;
    return Verdict::RepeatFresh;
  }
  if (loop_time_ < last_activity_ + stall_timeout()) return Verdict::GoOn;
  if (is_paused_ || has_upload_moved()) {
    last_activity_ = loop_time_;
    return Verdict::GoOn;
  }
  fail(Error(ErrorKind::TimedOut,
             what() + ": no byte from " + authority() + " for " + text_of(stall_timeout())));
  return Verdict::Fail;
}

/// The kernel holds megabytes of what we sent, which on a slow link take longer than a stall may.
bool CurlExchange::has_upload_moved() {
  if (!request_.body) return false;
  int unsent = 0;
  const auto socket = handle_->info<curl_socket_t>(CURLINFO_ACTIVESOCKET);
  if (socket == CURL_SOCKET_BAD || ioctl(socket, SIOCOUTQ, &unsent) != 0) return false;
  return std::exchange(unsent_in_kernel_, unsent) != unsent;
}

// --- Words
// -----------------------------------------------------------------------------------------

std::string CurlExchange::what() const {
  // Without a trail the URL was none, and may hold anything.
  return trail_ ? trail_->method() + " " + trail_->url().to_display() : request_.method;
}

std::string CurlExchange::authority() const {
  return trail_ ? trail_->url().host + ":" + std::to_string(trail_->url().port) : "the server";
}

void CurlExchange::log_end() const {
  const auto elapsed = std::chrono::steady_clock::now() - started_;
  log(LogLevel::Debug,
      what() + ": " + std::to_string(reader_.head().status) + ", " + std::to_string(received_) +
          " bytes in " + std::to_string(std::chrono::duration_cast<milliseconds>(elapsed).count()) +
          " ms" + (error_ ? ": " + error_->message() : ""));
}

}  // namespace red
