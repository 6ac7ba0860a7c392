#include "common/net/redirect.h"

#include <utility>

#include "common/error.h"

namespace red {

bool may_share_credentials(const Url& first, const Url& other) {
  if (first.same_origin(other)) return true;
  return first.host == other.host && first.scheme == "http" && first.port == 80 &&
         other.scheme == "https" && other.port == 443;
}

RedirectTrail::RedirectTrail(std::string method, Url url)
    : method_(std::move(method)), url_(std::move(url)), first_(url_) {
  seen_.insert(method_ + " " + url_.to_string());
}

bool RedirectTrail::is_redirect(const HttpResponseHead& head) {
  switch (head.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return head.headers.find("Location").has_value();
    default:
      return false;
  }
}

void RedirectTrail::follow(const HttpResponseHead& redirect) {
  const std::string context = method_ + " " + url_.to_display();
  auto next = url_.resolve(*redirect.headers.find("Location"));
  if (!next) {
    throw Error(ErrorKind::Protocol, context + ": redirected to what is no http or https URL");
  }
  // Whoever writes a Location must not choose the credentials that we use.
  next->userinfo.clear();
  if (redirect.status == 303 && method_ != "HEAD") {
    method_ = "GET";
    keeps_body_ = false;
  }
  if (!seen_.insert(method_ + " " + next->to_string()).second) {
    throw Error(ErrorKind::Protocol,
                context + ": redirects lead in a circle to " + next->to_display());
  }
  if (seen_.size() > kMaxRedirects + 1) {
    throw Error(ErrorKind::Protocol,
                context + ": more than " + std::to_string(kMaxRedirects) + " redirects");
  }
  url_ = std::move(*next);
}

}  // namespace red
