#pragma once

#include <set>
#include <string>

#include "common/net/http_client.h"
#include "common/net/url.h"

namespace red {

/// Whether what is secret between us and `first` may go to `other`: the same scheme, host and port,
/// or the same host's plain default port changed to its TLS default port.
bool may_share_credentials(const Url& first, const Url& other);

/// The way of one request through redirects (RFC 9110 section 15.4).
class RedirectTrail {
 public:
  static constexpr std::size_t kMaxRedirects = 20;

  RedirectTrail(std::string method, Url url);

  /// Whether the answer sends us elsewhere.
  static bool is_redirect(const HttpResponseHead& head);

  /// Goes where a redirect leads. 303 turns everything but HEAD into GET; all others keep the
  /// method and the body: an upload must not silently become a download. Throws Error{Protocol} for
  /// a loop, too many redirects, and what is no http or https URL.
  void follow(const HttpResponseHead& redirect);

  const std::string& method() const { return method_; }
  const Url& url() const { return url_; }
  bool keeps_body() const { return keeps_body_; }
  bool may_send_credentials() const { return may_share_credentials(first_, url_); }

 private:
  std::string method_;
  Url url_;
  const Url first_;
  bool keeps_body_ = true;
  std::set<std::string> seen_;  ///< "method URL"
};

}  // namespace red
