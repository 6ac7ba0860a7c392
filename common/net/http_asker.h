#pragma once

#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/remote/remote_store.h"

namespace red {

/// Who asks when a client with these options asks for what is below `url`.
Asker asker_of(const HttpClientOptions& options, const Url& url);

}  // namespace red
