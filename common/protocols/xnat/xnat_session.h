#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/protocols/xnat/xnat_access.h"

namespace red {

/// Exchanges with an XNAT site under one login. The first exchange logs in
/// (GET /data/JSESSION with HTTP Basic), all others share its cookies. When the
/// session has ended on the server, the exchange that finds out logs in again,
/// once however many find out together, and is repeated. Credentials that were
/// refused are never sent again: XNAT locks accounts.
///
/// An open site takes a session that has ended for a guest's, who is told that
/// what is private does not exist: on a 404 or 403 the server is asked who we
/// are (GET /data/auth), not more often than every ten seconds, before that is
/// believed.
///
/// Also knows which answers are none: a login page with status 200 is
/// Error{Authentication}, and a 500 to a GET or HEAD, which XNAT gives while it
/// is busy, is Error{Unavailable}.
///
/// Thread-safe.
class XnatSession final : public HttpClient, public std::enable_shared_from_this<XnatSession> {
 public:
  XnatSession(std::shared_ptr<HttpClient> client, const XnatAccess& access);

  void start(HttpRequest request, std::shared_ptr<HttpSink> sink,
             const RequestContext& context) override;

  /// Logs out, of earlier logins, too; bounded in time. Whatever is started
  /// later fails. Blocks.
  void end() noexcept;

 private:
  enum class State { LoggedOut, LoggingIn, LoggedIn, InDoubt, Refused, Ended };
  /// An exchange that waits for a login, or for the server to say that there
  /// still is one.
  struct Waiting {
    HttpRequest request;
    std::shared_ptr<HttpSink> sink;
    RequestContext context;
    int login_before = 0;  ///< the login under which it was tried, 0: none
  };
  class Exchange;
  /// Takes a small answer as a whole.
  class Answer;

  void start(Waiting waiting);
  void send(Waiting waiting, std::string cookies, int login);
  /// The login of that number is over: the exchange has to be made under
  /// another one.
  void renew(Waiting waiting, int login);
  /// Whether an answer for a guest may have come under the login of that
  /// number.
  bool is_in_doubt(int login);
  /// The exchange has to be made again once it is known whether the login still
  /// is one.
  void ask_who_we_are(Waiting waiting, int login);
  void who_we_are_came(const HttpResponseHead& head, const std::string& body, const Error* error,
                       const RequestContext& context) noexcept;
  /// Needs the lock. The login, which may be a good one after all, is kept to
  /// be ended.
  void give_up_login();
  void log_out(const std::string& cookies, TimePoint deadline);
  void logged_out(const HttpResponseHead& head, const std::string& body, const Error* error,
                  const RequestContext& context) noexcept;
  void log_in(const RequestContext& context);
  void login_ended(const HttpResponseHead& head, const std::string& body, const Error* error,
                   const RequestContext& context) noexcept;
  void logged_in(std::string cookies);
  /// `next`: the state without a login or an answer.
  void fail_waiting(const Error& error, State next, const RequestContext& context);
  std::string cookies_of_login(const HttpResponseHead& head, const std::string& body) const;
  Url url_below(std::string_view path) const;

  // set once
  const std::shared_ptr<HttpClient> client_;
  const Url base_;
  const HttpCredentials credentials_;

  /// The server begins a session with every answer: that tells nothing about
  /// ours.
  std::atomic<bool> always_sets_cookies_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  State state_ = State::LoggedOut;
  int login_ = 0;  ///< numbers the logins from 1
  std::string cookies_;
  std::vector<std::string> former_cookies_;  ///< of logins that were given up
  int logouts_ = 0;                          ///< on their way
  std::vector<Waiting> waiting_;
  std::optional<Error> refusal_;
  /// When the server has said last who we are.
  TimePoint known_since_ = TimePoint::min();
};

}  // namespace red
