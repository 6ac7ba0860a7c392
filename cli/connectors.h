#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/access/shared_fields.h"
#include "common/json/json_document.h"
#include "common/json/json_value.h"
#include "common/remote/access_options.h"
#include "common/remote/remote_store.h"

namespace red {

/// What access data names, checked and ready to be opened.
struct Remote {
  AccessOptions options;
  std::string location;  ///< for people; without credentials and query
  /// No I/O, but it may start threads. The store does not repeat what failed.
  std::function<std::unique_ptr<RemoteStore>()> open;
};

/// Throws Error{Unsupported} if `connector` is the name of one that this version does not serve
/// yet. Every other name that is not in the table acts as red-connector.
void check_is_served(std::string_view connector);

/// Checks the access data for the connector that the program is called as. red-connector takes the
/// protocol from the access data. Throws Error{InvalidAccess}, Error{Unsupported}.
Remote prepare_remote(std::string_view connector, JsonDocument access, Purpose purpose,
                      const SiteOptions& site);

/// The JSON Schema of the access data that prepare_remote() takes. Throws Error{Unsupported}.
JsonValue access_schema(std::string_view connector, Purpose purpose, const std::string& title);

}  // namespace red
