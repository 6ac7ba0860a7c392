#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/protocols/xnat/xnat_access.h"

namespace red {

/// Exchanges with an XNAT site under one login. The first exchange logs in
/// (GET /data/JSESSION with HTTP Basic), all others share its cookies. When the session has ended
/// on the server, the exchange that finds out logs in again, once however many find out together,
/// and is repeated. Credentials that were refused are never sent again: XNAT locks accounts.
///
/// Also knows which answers are none: a login page with status 200 is Error{Authentication}, and a
/// 500 to a GET or HEAD, which XNAT gives while it is busy, is Error{Unavailable}.
///
/// Thread-safe.
class XnatSession final : public HttpClient, public std::enable_shared_from_this<XnatSession> {
 public:
  XnatSession(std::shared_ptr<HttpClient> client, const XnatAccess& access);

  void start(HttpRequest request, std::shared_ptr<HttpSink> sink,
             const RequestContext& context) override;

  /// Logs out, if there is a login; bounded in time. Whatever is started later fails. Blocks.
  void end() noexcept;

 private:
  enum class State { LoggedOut, LoggingIn, LoggedIn, Refused, Ended };
  /// An exchange that waits for a login.
  struct Waiting {
    HttpRequest request;
    std::shared_ptr<HttpSink> sink;
    RequestContext context;
    int login_before = 0;  ///< the login under which it was tried, 0: none
  };
  class Exchange;
  class Login;

  void start(Waiting waiting);
  void send(Waiting waiting, std::string cookies, int login);
  /// The login of that number is over: the exchange has to be made under another one.
  void renew(Waiting waiting, int login);
  void log_in(const RequestContext& context);
  void login_ended(const HttpResponseHead& head, const std::string& body, const Error* error,
                   const RequestContext& context) noexcept;
  void logged_in(std::string cookies);
  void login_failed(const Error& error, bool is_final, bool is_callers);
  std::string cookies_of_login(const HttpResponseHead& head, const std::string& body) const;
  Url url_of_session() const;

  // set once
  const std::shared_ptr<HttpClient> client_;
  const Url base_;
  const HttpCredentials credentials_;

  /// The server begins a session with every answer: that tells nothing about ours.
  std::atomic<bool> always_sets_cookies_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  State state_ = State::LoggedOut;
  int login_ = 0;  ///< numbers the logins from 1
  std::string cookies_;
  std::vector<Waiting> waiting_;
  std::optional<Error> refusal_;
};

}  // namespace red
