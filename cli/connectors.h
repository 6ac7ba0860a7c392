#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/access/shared_fields.h"
#include "common/json/json_document.h"
#include "common/json/json_value.h"
#include "common/remote/access_options.h"
#include "common/remote/remote_store.h"
#include "transfer/archive_format.h"
#include "transfer/content_check.h"

namespace red {

/// What access data names, checked and ready to be opened.
struct Remote {
  AccessOptions options;
  std::string location;  ///< for people; without credentials and query
  /// No I/O, but it may start threads. The store does not repeat what failed.
  std::function<std::unique_ptr<RemoteStore>()> open;
  ContentCheck check_content = {};            ///< of a file that is received or sent
  std::optional<ArchiveFormat> archive = {};  ///< the root is one, to be unpacked
};

/// "receive-file"
std::string_view name_of(Purpose purpose);

/// Whether the connector that the program is called as has a function of the specification. Names
/// that are not in the table of connectors act as red-connector, which has them all.
bool has_function(std::string_view connector, Purpose purpose);

/// Throws Error{Unsupported} that names what the connector has instead, and another one for this.
void check_has_function(std::string_view connector, Purpose purpose);

/// Checks the access data for the connector that the program is called as. red-connector takes the
/// protocol from the access data. Throws Error{InvalidAccess}.
Remote prepare_remote(std::string_view connector, JsonDocument access, Purpose purpose,
                      const SiteOptions& site);

/// The JSON Schema of the access data that prepare_remote() takes. Throws Error{Unsupported}.
JsonValue access_schema(std::string_view connector, Purpose purpose, const std::string& title);

}  // namespace red
