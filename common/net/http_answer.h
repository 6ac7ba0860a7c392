#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/net/http_client.h"
#include "common/remote/entry.h"
#include "common/remote/remote_store.h"

namespace red {

/// A Content-Range field (RFC 9110 section 14.4).
struct ContentRange {
  std::optional<ByteRange> range;      ///< absent: "*", no such range
  std::optional<std::uint64_t> total;  ///< bytes of the whole file; absent: "*"
};

/// Nothing if it is malformed. A range may reach past the end: Restlet 1.1 repeats what it was
/// asked for beside the file's true size.
std::optional<ContentRange> parse_content_range(std::string_view text);

/// The answer's Content-Range, if it has a valid one.
std::optional<ContentRange> content_range_of(const HttpResponseHead& head);

/// What an answer to GET or HEAD tells about the file: ETag, Last-Modified, and the size, which for
/// a range is in Content-Range.
Version version_of(const HttpResponseHead& head);

/// The file that an answer to GET or HEAD is about, as far as that tells.
Entry file_entry(const RemotePath& path, const HttpResponseHead& head);
Entry directory_entry(const RemotePath& path);

/// Empty if not told.
std::string content_type_of(const HttpResponseHead& head);

/// Sends a request and returns the head of the answer. A short body is read, to keep the
/// connection; a longer one ends the exchange. Throws what the exchange ends with; not for a
/// status.
HttpResponseHead exchange_for_head(HttpClient& client, HttpRequest request,
                                   const RequestContext& context);

/// Whether a body that nobody wants is read all the same: that is cheaper than a new connection.
bool is_cheap_to_read(const HttpResponseHead& head);

}  // namespace red
