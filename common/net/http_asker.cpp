#include "common/net/http_asker.h"

#include <string>

namespace red {
namespace {

/// With its length in front, so that no two lists of parts make one text.
void append(std::string& text, std::string_view part) {
  text += std::to_string(part.size()) + ":";
  text += part;
}

}  // namespace

Asker asker_of(const HttpClientOptions& options, const Url& url) {
  Asker asker;
  asker.is_told_etags = true;
  const HttpCredentials& credentials = options.credentials;
  append(asker.name, "http");
  append(asker.name, std::to_string(static_cast<int>(credentials.scheme)));
  append(asker.name, credentials.username);
  append(asker.name, options.verify_tls ? "verified" : "unverified");
  append(asker.name, options.ca_certificate);
  // Queries hold keys of signed URLs, and URLs of proxies hold passwords.
  const bool is_secretive = !credentials.password.empty() || options.headers.size() > 0 ||
                            !url.query.empty() || !options.proxy.empty();
  if (!is_secretive) return asker;
  for (const std::string& part : {credentials.password, url.query, options.proxy}) {
    append(asker.secret, part);
  }
  for (const auto& [name, value] : options.headers) {
    append(asker.secret, name);
    append(asker.secret, value);
  }
  return asker;
}

}  // namespace red
