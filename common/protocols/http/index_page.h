#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/net/url.h"
#include "common/remote/entry.h"

namespace red {

/// Reads a directory index page as web servers make them: nginx (HTML, JSON), Apache (plain, fancy,
/// table), lighttpd, Caddy (HTML, JSON), Python's http.server, and any page whose links lead to
/// direct children of `directory`. Sort links, parent links, and links out of the directory are no
/// entries. Sizes only where the page has them to the byte. Names are decoded exactly.
///
/// `directory` is the URL that answered (after redirects); its path ends with '/'.
/// Throws Error{Unsupported} if the page is no directory index, Error{Protocol} if it is malformed
/// beyond reading or holds more than `max_entries` entries.
std::vector<Entry> parse_index_page(std::string_view page, std::string_view content_type,
                                    const Url& directory, std::size_t max_entries = 10'000'000);

/// Who made an index page, as far as it shows.
enum class IndexFormat {
  None,
  NginxHtml,
  NginxJson,
  Apache,
  Lighttpd,
  CaddyHtml,
  CaddyJson,
  Python,
  EmptyJson,  ///< of nginx or Caddy
  OtherHtml
};

/// Of a page that parse_index_page() takes.
IndexFormat index_format_of(std::string_view page, std::string_view content_type);

/// For people.
std::string_view name_of(IndexFormat format) noexcept;

}  // namespace red
