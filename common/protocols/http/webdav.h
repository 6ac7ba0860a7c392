#pragma once

#include <string_view>
#include <vector>

#include "common/net/url.h"
#include "common/remote/entry.h"

namespace red {

/// The body of our PROPFIND requests (RFC 4918 section 9.1), to be sent as application/xml:
/// lighttpd refuses any other type.
std::string_view propfind_body();

/// Reads a 207 Multi-Status answer to PROPFIND with Depth: 1 on `directory` (path with a trailing
/// '/'): its direct children with exact sizes, times, ETags and content types. The directory itself
/// and everything that is no direct child is left out.
/// Throws Error{Protocol} if it is no multi-status document. Entities are not expanded beyond the
/// five of XML; documents are bounded.
std::vector<Entry> parse_multistatus(std::string_view body, const Url& directory,
                                     std::size_t max_entries = 10'000'000);

}  // namespace red
