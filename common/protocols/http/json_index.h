#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "common/net/url.h"
#include "common/remote/entry.h"

namespace red {

/// Reads the index of nginx ("autoindex_format json") or Caddy ("Accept: application/json").
/// Nothing if the text is JSON but no such index. Throws Error{Protocol} if it is no JSON or holds
/// more than `max_entries` entries.
std::optional<std::vector<Entry>> parse_json_index(std::string_view text, const Url& directory,
                                                   std::size_t max_entries);

}  // namespace red
