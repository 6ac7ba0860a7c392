#include "common/protocols/xnat/xnat_session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "common/logging.h"
#include "common/net/http_error.h"

namespace red {
namespace {

using namespace std::chrono_literals;

// A login may have to wait for a directory service.
constexpr auto kLoginLimit = 60s;
// A daemon that is asked to end has 2.5 s for all it has to do.
constexpr auto kLogoutLimit = 1500ms;
/// So long an answer to who we are is believed.
constexpr auto kDoubtless = 10s;
/// Logins that were given up and wait to be ended; those before are left to end
/// by themselves.
constexpr std::size_t kMaxFormerLogins = 64;
constexpr std::size_t kMaxLoginBody = 64 * 1024;
constexpr std::size_t kMaxSessionId = 512;

constexpr std::string_view kSessionCookie = "JSESSIONID";
/// Tells when the session ends, anew with every answer; nobody wants it back.
constexpr std::string_view kExpirationCookie = "SESSION_EXPIRATION_TIME";

using Cookie = std::pair<std::string, std::string>;

/// Name and value of a Set-Cookie field (RFC 6265 section 5.2); its attributes
/// do not matter to one who talks to one site only, and not for long.
Cookie parse_cookie(std::string_view field) {
  field = field.substr(0, field.find(';'));
  const auto equals = field.find('=');
  if (equals == std::string_view::npos) return {};
  const auto trimmed = [](std::string_view text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return std::string(text);
  };
  return {trimmed(field.substr(0, equals)), trimmed(field.substr(equals + 1))};
}

std::vector<Cookie> cookies_in(const HttpResponseHead& head) {
  std::vector<Cookie> cookies;
  for (const auto& [name, value] : head.headers) {
    constexpr std::string_view kField = "set-cookie";
    const bool is_cookie =
        std::equal(name.begin(), name.end(), kField.begin(), kField.end(), [](char a, char b) {
          return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
        });
    if (!is_cookie) continue;
    Cookie cookie = parse_cookie(value);
    std::erase_if(cookies, [&](const Cookie& known) { return known.first == cookie.first; });
    if (!cookie.first.empty() && !cookie.second.empty()) cookies.push_back(std::move(cookie));
  }
  return cookies;
}

/// A server that does not know a session begins another one.
bool begins_another_session(const HttpResponseHead& head, std::string_view ours) {
  const auto cookies = cookies_in(head);
  return std::any_of(cookies.begin(), cookies.end(), [&](const Cookie& cookie) {
    return cookie.first == kSessionCookie &&
           ours.find(cookie.first + "=" + cookie.second) == std::string_view::npos;
  });
}

bool is_html(const HttpResponseHead& head) {
  return head.headers.find("Content-Type").value_or("").starts_with("text/html");
}

/// XNAT names every file that it sends, HTML or not, and its web pages are
/// below /app.
bool is_login_page(const HttpRequest& request, const HttpResponseHead& head) {
  if (head.status < 200 || head.status >= 300) return false;
  if (head.url != request.url) {
    const std::string path = Url::parse(head.url).path;
    const bool was_sent_elsewhere = path != Url::parse(request.url).path;
    if (was_sent_elsewhere && path.find("/app/") != std::string::npos) return true;
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  return reads && is_html(head) && !head.headers.find("Content-Disposition");
}

bool is_session_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSessionId &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  std::string_view("-._~!:").find(c) != std::string_view::npos;
         });
}

/// The text of restlet/resources/UserAuth.java, which may name another user: of
/// an alias token its owner.
bool names_a_user(const HttpResponseHead& head, const std::string& body) {
  return head.status == 200 && body.starts_with("User '") && !body.starts_with("User 'guest'");
}

RequestContext limited(RequestContext context) {
  context.deadline = std::min(context.deadline, std::chrono::steady_clock::now() + kLoginLimit);
  return context;
}

std::string display(const HttpRequest& request) {
  return request.method + " " + Url::parse(request.url).to_display();
}

}  // namespace

/// One exchange under a login; passes everything on that is an answer.
class XnatSession::Exchange final : public HttpSink {
 public:
  Exchange(std::shared_ptr<XnatSession> session, Waiting waiting, std::string cookies, int login)
      : session_(std::move(session)),
        waiting_(std::move(waiting)),
        cookies_(std::move(cookies)),
        login_(login) {}

  bool begin(const HttpResponseHead& head) override {
    const bool is_repeated = waiting_.login_before != 0 && waiting_.login_before != login_;
    const bool has_other_session = begins_another_session(head, cookies_);
    const bool shows_login = is_login_page(waiting_.request, head);
    if (!is_repeated) {
      is_expired_ = head.status == 401 || shows_login ||
                    (has_other_session && !session_->always_sets_cookies_);
      if (is_expired_) return false;
    } else if (has_other_session) {
      session_->always_sets_cookies_ = true;
    }
    const bool may_be_for_a_guest = head.status == 404 || head.status == 403;
    is_doubtful_ =
        may_be_for_a_guest && waiting_.login_before == 0 && session_->is_in_doubt(login_);
    if (is_doubtful_) return false;
    if (shows_login) return fail(ErrorKind::Authentication, "the server shows its login page");
    if (head.status == 500 && reads()) {
      const Url url = Url::parse(waiting_.request.url);
      const Error error = error_for_status(head, waiting_.request.method, url.to_display());
      error_ = Error(ErrorKind::Unavailable, error.message());
      return false;
    }
    return waiting_.sink->begin(head);
  }

  bool receive(std::span<const std::byte> bytes) override { return waiting_.sink->receive(bytes); }

  void finish(const Error* error) noexcept override {
    if (is_expired_) return session_->renew(std::move(waiting_), login_);
    if (is_doubtful_) return session_->ask_who_we_are(std::move(waiting_), login_);
    waiting_.sink->finish(error_ ? &*error_ : error);
  }

 private:
  bool reads() const {
    return waiting_.request.method == "GET" || waiting_.request.method == "HEAD";
  }
  bool fail(ErrorKind kind, std::string_view why) {
    error_ = Error(kind, display(waiting_.request) + ": " + std::string(why));
    return false;
  }

  // set once
  const std::shared_ptr<XnatSession> session_;
  Waiting waiting_;
  const std::string cookies_;
  const int login_;

  bool is_expired_ = false;
  bool is_doubtful_ = false;
  std::optional<Error> error_;
};

class XnatSession::Answer final : public HttpSink {
 public:
  using Came = void (XnatSession::*)(const HttpResponseHead& head, const std::string& body,
                                     const Error* error, const RequestContext& context) noexcept;

  /// `context` is that of whoever waits for it first.
  Answer(std::shared_ptr<XnatSession> session, Came came, const RequestContext& context)
      : session_(std::move(session)), came_(came), context_(context) {}

  bool begin(const HttpResponseHead& head) override {
    head_ = head;
    return true;
  }
  bool receive(std::span<const std::byte> bytes) override {
    const std::size_t count = std::min(bytes.size(), kMaxLoginBody - body_.size());
    body_.append(reinterpret_cast<const char*>(bytes.data()), count);
    return true;
  }
  void finish(const Error* error) noexcept override {
    (*session_.*came_)(head_, body_, error, context_);
  }

 private:
  const std::shared_ptr<XnatSession> session_;
  const Came came_;
  const RequestContext context_;
  HttpResponseHead head_;
  std::string body_;
};

XnatSession::XnatSession(std::shared_ptr<HttpClient> client, const XnatAccess& access)
    : client_(std::move(client)),
      base_(access.base),
      credentials_{HttpCredentials::Scheme::Basic, access.username, access.password} {}

Url XnatSession::url_below(std::string_view path) const {
  Url url = base_;
  url.path += path;
  return url;
}

// --- Exchanges
// -----------------------------------------------------------------------------------

void XnatSession::start(HttpRequest request, std::shared_ptr<HttpSink> sink,
                        const RequestContext& context) {
  start({std::move(request), std::move(sink), context});
}

void XnatSession::start(Waiting waiting) {
  std::optional<Error> error;
  std::string cookies;
  int login = 0;
  {
    const std::lock_guard lock(mutex_);
    switch (state_) {
      case State::Ended:
        error = Error(ErrorKind::Cancelled, display(waiting.request) + ": the session has ended");
        break;
      case State::Refused:
        error = refusal_;
        break;
      case State::LoggedIn:
        cookies = cookies_;
        login = login_;
        break;
      case State::LoggingIn:
      case State::InDoubt:
        waiting_.push_back(std::move(waiting));
        return;
      case State::LoggedOut:
        state_ = State::LoggingIn;
        waiting_.push_back(waiting);
        break;
    }
  }
  if (error) return waiting.sink->finish(&*error);
  if (login == 0) return log_in(waiting.context);
  send(std::move(waiting), std::move(cookies), login);
}

void XnatSession::send(Waiting waiting, std::string cookies, int login) {
  HttpRequest request = waiting.request;
  request.private_headers.add("Cookie", cookies);
  const RequestContext context = waiting.context;
  client_->start(
      std::move(request),
      std::make_shared<Exchange>(shared_from_this(), std::move(waiting), std::move(cookies), login),
      context);
}

void XnatSession::renew(Waiting waiting, int login) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::LoggedIn && login_ == login) {
      give_up_login();
    }
  }
  waiting.login_before = login;
  start(std::move(waiting));
}

void XnatSession::give_up_login() {
  state_ = State::LoggedOut;
  log(LogLevel::Info, base_.to_display() + ": the session has expired; logging in again");
  // Not logged out at once: others may be about to use it.
  former_cookies_.push_back(std::move(cookies_));
  if (former_cookies_.size() > kMaxFormerLogins) former_cookies_.erase(former_cookies_.begin());
}

// --- Whether there still is a login
// --------------------------------------------------------------

bool XnatSession::is_in_doubt(int login) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::LoggedIn || login_ != login) return true;
  return known_since_ == TimePoint::min() ||
         std::chrono::steady_clock::now() >= known_since_ + kDoubtless;
}

void XnatSession::ask_who_we_are(Waiting waiting, int login) {
  waiting.login_before = login;
  const RequestContext context = waiting.context;
  HttpRequest request{.url = url_below("/data/auth").to_string()};
  bool has_to_ask = false;
  {
    const std::lock_guard lock(mutex_);
    has_to_ask = state_ == State::LoggedIn && login_ == login;
    if (has_to_ask) {
      state_ = State::InDoubt;
      request.private_headers.add("Cookie", cookies_);
      waiting_.push_back(std::move(waiting));
    }
  }
  if (!has_to_ask) return start(std::move(waiting));
  client_->start(
      std::move(request),
      std::make_shared<Answer>(shared_from_this(), &XnatSession::who_we_are_came, context),
      limited(context));
}

void XnatSession::who_we_are_came(const HttpResponseHead& head, const std::string& body,
                                  const Error* error, const RequestContext& context) noexcept {
  if (error != nullptr) {
    return fail_waiting(error->within("asking who is logged in"), State::LoggedIn, context);
  }
  const bool is_alive = names_a_user(head, body);
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
    known_since_ = std::chrono::steady_clock::now();
    if (state_ == State::InDoubt) {
      state_ = State::LoggedIn;
      if (!is_alive) give_up_login();
    }
    changed_.notify_all();
  }
  for (Waiting& each : waiting) start(std::move(each));
}

// --- The login
// -----------------------------------------------------------------------------------

void XnatSession::log_in(const RequestContext& context) {
  client_->start({.url = url_below("/data/JSESSION").to_string(), .credentials = credentials_},
                 std::make_shared<Answer>(shared_from_this(), &XnatSession::login_ended, context),
                 limited(context));
}

void XnatSession::login_ended(const HttpResponseHead& head, const std::string& body,
                              const Error* error, const RequestContext& context) noexcept {
  try {
    if (error != nullptr) throw Error(*error);
    logged_in(cookies_of_login(head, body));
  } catch (...) {
    const Error failure = current_exception_as_error();
    const bool is_final = failure.kind() == ErrorKind::Authentication;
    fail_waiting(failure.within("logging in as " + credentials_.username),
                 is_final ? State::Refused : State::LoggedOut, context);
  }
}

/// What to send with every request. Throws if the answer is none to a login.
std::string XnatSession::cookies_of_login(const HttpResponseHead& head,
                                          const std::string& body) const {
  const std::string url = url_below("/data/JSESSION").to_display();
  if (head.status == 401) {
    throw Error(ErrorKind::Authentication,
                error_for_status(head, "GET", url).message() +
                    " (a user with too many open sessions is refused, too); "
                    "not tried again, as "
                    "the server locks accounts that fail often");
  }
  if (head.status < 200 || head.status >= 300) throw error_for_status(head, "GET", url);
  const std::string_view id = std::string_view(body).substr(0, body.find_last_not_of("\r\n ") + 1);
  if (!is_session_id(id)) {
    if (is_html(head) || id.starts_with('<')) {
      throw Error(ErrorKind::Authentication,
                  "GET " + url +
                      ": the server shows a web page instead of logging in: the "
                      "password may be wrong or expired, or baseUrl be no XNAT");
    }
    throw Error(ErrorKind::Protocol, "GET " + url + ": the answer is no session");
  }
  std::string cookies;
  const auto add = [&cookies](std::string_view name, std::string_view value) {
    if (!cookies.empty()) cookies += "; ";
    cookies.append(name).append("=").append(value);
  };
  bool has_session = false;
  for (const auto& [name, value] : cookies_in(head)) {
    if (name == kExpirationCookie) continue;
    has_session = has_session || name == kSessionCookie;
    add(name, value);
  }
  if (!has_session) add(kSessionCookie, id);
  return cookies;
}

void XnatSession::logged_in(std::string cookies) {
  std::vector<Waiting> waiting;
  int login = 0;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
    if (state_ == State::Ended) {
      login = 0;
    } else {
      state_ = State::LoggedIn;
      login = ++login_;
      cookies_ = cookies;
    }
    changed_.notify_all();
  }
  for (Waiting& each : waiting) {
    login == 0 ? start(std::move(each)) : send(std::move(each), cookies, login);
  }
}

/// If the first who waits had no more time, or was called off, the others go
/// on.
void XnatSession::fail_waiting(const Error& error, State next, const RequestContext& context) {
  const bool is_final = next == State::Refused;
  const bool is_callers =
      context.stop.stop_requested() || std::chrono::steady_clock::now() >= context.deadline;
  std::vector<Waiting> failed;
  std::vector<Waiting> others;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::Ended) state_ = next;
    if (is_final) refusal_ = error;
    failed.swap(waiting_);
    if (is_callers && !is_final) {
      others.assign(failed.begin() + 1, failed.end());
      failed.erase(failed.begin() + 1, failed.end());
    }
    changed_.notify_all();
  }
  for (const Waiting& each : failed) each.sink->finish(&error);
  for (Waiting& each : others) start(std::move(each));
}

// --- The end
// -------------------------------------------------------------------------------------

void XnatSession::end() noexcept {
  const TimePoint deadline = std::chrono::steady_clock::now() + kLogoutLimit;
  std::vector<std::string> logins;
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [this] { return state_ != State::LoggingIn; });
  const State last = std::exchange(state_, State::Ended);
  logins.swap(former_cookies_);
  if (last == State::LoggedIn || last == State::InDoubt) logins.push_back(std::move(cookies_));
  logouts_ += static_cast<int>(logins.size());
  lock.unlock();
  // The earlier ones are more likely to have ended by themselves.
  for (auto cookies = logins.rbegin(); cookies != logins.rend(); ++cookies) {
    log_out(*cookies, deadline);
  }
  lock.lock();
  changed_.wait_until(lock, deadline, [this] { return logouts_ == 0; });
}

void XnatSession::log_out(const std::string& cookies, TimePoint deadline) {
  HttpRequest request{.method = "DELETE", .url = url_below("/data/JSESSION").to_string()};
  request.private_headers.add("Cookie", cookies);
  const RequestContext context{.deadline = deadline};
  client_->start(std::move(request),
                 std::make_shared<Answer>(shared_from_this(), &XnatSession::logged_out, context),
                 context);
}

void XnatSession::logged_out(const HttpResponseHead&, const std::string&, const Error* error,
                             const RequestContext&) noexcept {
  if (error != nullptr) log(LogLevel::Debug, "logging out: " + error->message());
  const std::lock_guard lock(mutex_);
  --logouts_;
  changed_.notify_all();
}

}  // namespace red
