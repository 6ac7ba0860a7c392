#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "common/net/url.h"
#include "common/remote/entry.h"

namespace red {

/// Reads an HTML index page. Nothing if the page has no links to children and no mark of an index.
/// Throws Error{Protocol} if it nests absurdly or holds more than `max_entries` entries.
std::optional<std::vector<Entry>> parse_html_index(std::string_view page, const Url& directory,
                                                   std::size_t max_entries);

}  // namespace red
