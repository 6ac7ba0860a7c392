#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace red {

/// An absolute http or https URL in its parts, percent-encoded as it goes over the wire.
/// RFC 3986; what people write (spaces, non-ASCII bytes) is encoded, existing escapes stay.
struct Url {
  std::string scheme;    ///< "http" or "https"
  std::string userinfo;  ///< as written, without '@'; usually empty
  std::string host;      ///< lower case; an IPv6 address keeps its brackets
  int port = 0;          ///< never 0 after parsing: 80 or 443 if not written
  std::string path;      ///< begins with '/'
  std::string query;     ///< without '?'
  bool has_query = false;

  /// Throws Error{InvalidAccess} with the reason; control characters, NUL and an empty host are
  /// refused. A fragment is dropped.
  static Url parse(std::string_view text);

  /// Resolves a reference (href, Location) against this URL (RFC 3986 section 5). Nothing if the
  /// result is no http(s) URL or the reference is malformed.
  std::optional<Url> resolve(std::string_view reference) const;

  /// For requests: without userinfo and fragment.
  std::string to_string() const;
  /// For people and logs: without userinfo and query.
  std::string to_display() const;

  /// scheme://host:port
  std::string origin() const;
  bool same_origin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

/// Percent-encodes a path component: everything but unreserved characters (RFC 3986 section 2.3)
/// and those sub-delims that no server mistakes.
std::string encode_component(std::string_view raw);

/// Decodes percent escapes; nothing if an escape is malformed. '+' stays '+'.
std::optional<std::string> decode_component(std::string_view encoded);

}  // namespace red
