#pragma once

#include <string>

#include "common/access/shared_fields.h"
#include "common/json/form_description.h"
#include "common/json/json_document.h"
#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/remote/access_options.h"
#include "common/remote/remote_store.h"

namespace red {

/// What a connector takes the files of a web server for.
enum class HttpContent { Any, Json, Archive };

/// What the access data of an HTTP connector says, checked and complete. Plain data.
struct HttpAccess {
  Url url;
  std::string method = "GET";                             ///< GET, PUT or POST
  std::string content_type = "application/octet-stream";  ///< of files that are sent
  std::string archive_format;                             ///< of archives
  HttpClientOptions client;
  AccessOptions options;
};

/// Checks the access data for one purpose and completes it with the site's defaults. Throws
/// Error{InvalidAccess} with everything that is wrong, one line each.
HttpAccess read_http_access(JsonDocument document, Purpose purpose, const SiteOptions& site,
                            HttpContent content = HttpContent::Any);

/// The form of the access data for one purpose.
FormDescription http_form(Purpose purpose, HttpContent content = HttpContent::Any);

}  // namespace red
