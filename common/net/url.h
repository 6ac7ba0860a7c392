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

/// What Url::parse() takes, as a regular expression (ECMA-262): scheme, user information, host (a
/// name or an IPv6 address), port, and the rest.
inline constexpr std::string_view kUrlPattern =
    R"(^[Hh][Tt][Tt][Pp][Ss]?://)"
    R"((?:[^\x00-\x1f\x7f/?#]*@)?)"
    R"((?:[^\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7d\x7f]+|)"
    R"(\[[A-Za-z0-9._~%-]*:[A-Za-z0-9._~:%-]*\]))"
    R"((?::(?:0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9])"
    R"(|6553[0-5]))?)?)"
    R"((?:[/?#][^\x00-\x1f\x7f]*)?$)";

/// Percent-encodes a path component: everything but unreserved characters (RFC 3986 section 2.3)
/// and those sub-delims that no server mistakes.
std::string encode_component(std::string_view raw);

/// Decodes percent escapes; nothing if an escape is malformed. '+' stays '+'.
std::optional<std::string> decode_component(std::string_view encoded);

}  // namespace red
