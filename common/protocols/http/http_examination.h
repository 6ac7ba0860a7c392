#pragma once

#include <functional>
#include <memory>

#include "common/net/http_client.h"
#include "common/protocols/http/http_access.h"
#include "common/remote/examination.h"

namespace red {

/// Asks the server for the head of the answer at the access data's URL.
using FetchHead = std::function<HttpResponseHead(const RequestContext&)>;

/// The examination of a web server, but for the format of its listings. `access` must outlive it.
Examination examine_http(const HttpAccess& access, std::shared_ptr<HttpClient> client,
                         FetchHead fetch_head);

}  // namespace red
