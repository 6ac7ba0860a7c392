#include "common/protocols/http/http_examination.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "common/error.h"
#include "common/net/connection_steps.h"
#include "common/net/http_answer.h"
#include "common/net/http_error.h"
#include "common/net/web_findings.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using Scheme = HttpCredentials::Scheme;

constexpr auto kLimit = 10s;

std::string credentials_text(const HttpCredentials& credentials) {
  switch (credentials.scheme) {
    case Scheme::Basic:
      return "Basic as " + credentials.username;
    case Scheme::Digest:
      return "Digest as " + credentials.username;
    case Scheme::Bearer:
      return "bearer token";
    case Scheme::None:
      break;
  }
  return "no credentials";
}

/// The steps behind the connection, which share one answer.
class HttpExaminer : public std::enable_shared_from_this<HttpExaminer> {
 public:
  HttpExaminer(const HttpAccess& access, std::shared_ptr<HttpClient> client, FetchHead fetch_head)
      : access_(access), client_(std::move(client)), fetch_head_(std::move(fetch_head)) {}

  void add_steps(std::vector<ExaminationStep>& steps) {
    const auto self = shared_from_this();
    steps.push_back({"authentication", kLimit, [self](const RequestContext& context) {
                       return self->authenticate(context);
                     }});
    steps.push_back(
        {"redirect", kLimit, [self](const RequestContext&) { return self->redirect(); }});
    steps.push_back(
        {"server", kLimit, [self](const RequestContext&) { return server_finding(self->head_); }});
    steps.push_back({"server's clock", kLimit, [self](const RequestContext&) {
                       return clock_finding(self->head_, self->answered_);
                     }});
  }

 private:
  std::optional<Finding> authenticate(const RequestContext& context) {
    head_ = fetch_head_(context);
    answered_ = std::chrono::system_clock::now();
    const HttpCredentials& credentials = access_.client.credentials;
    const std::string who = credentials_text(credentials);
    const Error error = error_for_status(head_, "HEAD", access_.url.to_display());
    if (head_.status == 401) {
      throw Error(error.kind(), error.message() + " (" + who + ")" + offered_text(head_));
    }
    // A directory that must not be listed refuses itself alone.
    const bool refuses_list = head_.status == 403 && Url::parse(head_.url).path.ends_with('/');
    if (head_.status == 403 && !refuses_list) {
      throw Error(error.kind(), error.message() + ": the server knows " + who +
                                    " and refuses; ask whoever runs it for the right to read this");
    }
    if (head_.status >= 500 || head_.status == 407 || head_.status == 429) throw Error(error);
    if (credentials.scheme == Scheme::None) return Finding{FindingStatus::Ok, "none is asked for"};
    return with_credentials(who, context);
  }

  /// Whether the credentials are looked at, which only a request without them can show.
  std::optional<Finding> with_credentials(const std::string& who, const RequestContext& context) {
    const HttpResponseHead head = exchange_for_head(
        *client_, {.method = "HEAD", .url = access_.url.to_string(), .anonymous = true}, context);
    if (head.status == 401 || head.status == 403) {
      return Finding{FindingStatus::Ok, who + ": accepted" + offered_text(head)};
    }
    return Finding{FindingStatus::Note,
                   who + ": not looked at, the server answers without credentials, too"};
  }

  std::optional<Finding> redirect() const {
    const Url answered = Url::parse(head_.url);
    if (answered.same_origin(access_.url)) return std::nullopt;
    std::string text = "to " + answered.to_display();
    if (answered.host != access_.url.host) {
      text += ": another host, which gets no credentials and no headers of the access data";
    } else {
      text += ": every request makes this detour; give that URL";
    }
    return Finding{FindingStatus::Note, std::move(text)};
  }

  const HttpAccess& access_;
  const std::shared_ptr<HttpClient> client_;
  const FetchHead fetch_head_;

  HttpResponseHead head_;
  std::chrono::system_clock::time_point answered_;
};

}  // namespace

Examination examine_http(const HttpAccess& access, std::shared_ptr<HttpClient> client,
                         FetchHead fetch_head) {
  Examination examination;
  examination.steps = connection_steps(access.url, access.client);
  std::make_shared<HttpExaminer>(access, std::move(client), fetch_head)
      ->add_steps(examination.steps);
  examination.small_request = std::move(fetch_head);
  examination.reads = access.method == "GET";
  return examination;
}

}  // namespace red
