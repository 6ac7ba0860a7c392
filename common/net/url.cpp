#include "common/net/url.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

/// Some of the 256 bytes.
class CharSet {
 public:
  constexpr explicit CharSet(std::string_view members) {
    for (const char c : members) has_[static_cast<unsigned char>(c)] = true;
  }
  constexpr CharSet operator+(const CharSet& other) const {
    CharSet both = *this;
    for (std::size_t i = 0; i < has_.size(); ++i) both.has_[i] = has_[i] || other.has_[i];
    return both;
  }
  constexpr bool contains(char c) const { return has_[static_cast<unsigned char>(c)]; }

 private:
  std::array<bool, 256> has_{};
};

// RFC 3986 sections 2 and 3.
constexpr CharSet kDigit{"0123456789"};
constexpr CharSet kAlpha{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"};
constexpr CharSet kUnreserved = kAlpha + kDigit + CharSet{"-._~"};
constexpr CharSet kPathChar = kUnreserved + CharSet{"!$&'()*+,;=:@/"};
constexpr CharSet kQueryChar = kPathChar + CharSet{"?"};
constexpr CharSet kSchemeChar = kAlpha + kDigit + CharSet{"+-."};
constexpr CharSet kIpv6Char = kUnreserved + CharSet{":%"};
// '+' is a blank to some servers, ';' begins parameters, and '&' and "'" get lost in HTML.
constexpr CharSet kComponentChar = kUnreserved + CharSet{"!$()*,="};

bool all_in(const CharSet& set, std::string_view text) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return set.contains(c); });
}

bool is_control(char c) { return (c >= 0 && c < ' ') || c == 0x7f; }

/// -1 for what is no hexadecimal digit.
int hex_value(char c) {
  if (kDigit.contains(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_escape(std::string_view text) {
  return text.size() >= 3 && text[0] == '%' && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0;
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// Escapes what may not stand there; a '%' that begins no escape is one of those.
std::string escape_where_needed(std::string_view text, const CharSet& allowed) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (allowed.contains(text[i]) || is_escape(text.substr(i))) {
      out += text[i];
    } else {
      append_escaped(out, text[i]);
    }
  }
  return out;
}

/// The five parts of RFC 3986 section 3, not yet checked.
struct Parts {
  std::optional<std::string_view> scheme;
  std::optional<std::string_view> authority;
  std::string_view path;
  std::optional<std::string_view> query;
};

std::optional<std::string_view> take_scheme(std::string_view& text) {
  const std::size_t end = text.find_first_of(":/?#");
  if (end == std::string_view::npos || text[end] != ':') return std::nullopt;
  const std::string_view scheme = text.substr(0, end);
  if (scheme.empty() || !kAlpha.contains(scheme[0]) || !all_in(kSchemeChar, scheme)) {
    return std::nullopt;
  }
  text.remove_prefix(end + 1);
  return scheme;
}

Parts split(std::string_view text) {
  Parts parts;
  text = text.substr(0, text.find('#'));
  parts.scheme = take_scheme(text);
  if (const std::size_t mark = text.find('?'); mark != std::string_view::npos) {
    parts.query = text.substr(mark + 1);
    text = text.substr(0, mark);
  }
  if (text.starts_with("//")) {
    text.remove_prefix(2);
    const std::size_t end = std::min(text.find('/'), text.size());
    parts.authority = text.substr(0, end);
    text.remove_prefix(end);
  }
  parts.path = text;
  return parts;
}

/// RFC 3986 section 5.2.4, for a path that begins with '/'.
std::string remove_dot_segments(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    const bool is_last = end == path.size();
    if (segment == "/..") {
      out.resize(out.empty() ? 0 : out.rfind('/'));
      if (is_last) out += '/';
    } else if (segment == "/.") {
      if (is_last) out += '/';
    } else {
      out += segment;
    }
    path.remove_prefix(end);
  }
  return out;
}

/// The path of a URL with an authority: never empty, begins with '/'.
std::string complete_path(std::string_view path) {
  if (path.empty()) return "/";
  return remove_dot_segments(escape_where_needed(path, kPathChar));
}

/// RFC 3986 section 5.2.3; `base` begins with '/'.
std::string merge_paths(std::string_view base, std::string_view reference) {
  return std::string(base.substr(0, base.rfind('/') + 1)) + std::string(reference);
}

bool is_valid_name(std::string_view host) {
  // Bytes above 127 are international names, which the HTTP client translates.
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return kUnreserved.contains(c) || static_cast<unsigned char>(c) >= 0x80;
  });
}

bool is_valid_host(std::string_view host) {
  if (!host.starts_with('[')) return is_valid_name(host);
  if (!host.ends_with(']') || host.find(':') == std::string_view::npos) return false;
  return all_in(kIpv6Char, host.substr(1, host.size() - 2));
}

int default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

std::optional<int> parse_port(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool valid = error == std::errc{} && end == text.data() + text.size() &&
                     kDigit.contains(text[0]) && port > 0 && port <= 65535;
  return valid ? std::optional(port) : std::nullopt;
}

/// Sets userinfo, host and port. Returns what is wrong, or nothing.
std::string_view assign_authority(Url& url, std::string_view authority) {
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.userinfo = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  // The colons of an IPv6 address stand in brackets.
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  url.host = to_lower(authority.substr(0, colon));
  if (url.host.empty()) return "it has no host";
  if (!is_valid_host(url.host)) return "its host is not valid";
  url.port = default_port(url.scheme);
  if (colon == std::string_view::npos || colon + 1 == authority.size()) return {};
  const std::optional<int> port = parse_port(authority.substr(colon + 1));
  if (!port) return "its port is not a number from 1 to 65535";
  url.port = *port;
  return {};
}

void assign_query(Url& url, std::optional<std::string_view> query) {
  url.has_query = query.has_value();
  url.query = escape_where_needed(query.value_or(""), kQueryChar);
}

/// Sets everything from the parts of an absolute URL. Returns what is wrong, or nothing.
std::string_view assign_absolute(Url& url, const Parts& parts) {
  url.scheme = to_lower(parts.scheme.value_or(""));
  if (url.scheme != "http" && url.scheme != "https")
    return "it must begin with http:// or https://";
  if (!parts.authority) return "it has no host";
  if (const std::string_view problem = assign_authority(url, *parts.authority); !problem.empty()) {
    return problem;
  }
  url.path = complete_path(parts.path);
  assign_query(url, parts.query);
  return {};
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_control);
}

std::string with_port(const Url& url) {
  std::string text = url.scheme + "://" + url.host;
  if (url.port != default_port(url.scheme)) text += ":" + std::to_string(url.port);
  return text;
}

}  // namespace

Url Url::parse(std::string_view text) {
  Url url;
  const std::string_view problem =
      has_control(text) ? "it holds control characters" : assign_absolute(url, split(text));
  // The text may hold a password: only the reason is told.
  if (!problem.empty()) {
    throw Error(ErrorKind::InvalidAccess, "the URL is not valid: " + std::string(problem));
  }
  return url;
}

std::optional<Url> Url::resolve(std::string_view reference) const {
  if (has_control(reference)) return std::nullopt;
  Parts parts = split(reference);
  if (!parts.scheme && parts.authority) parts.scheme = scheme;
  if (parts.scheme) {
    Url absolute;
    if (!assign_absolute(absolute, parts).empty()) return std::nullopt;
    return absolute;
  }
  Url url = *this;
  if (parts.path.empty()) {
    if (parts.query) assign_query(url, parts.query);
    return url;
  }
  url.path = complete_path(parts.path.starts_with('/') ? std::string(parts.path)
                                                       : merge_paths(path, parts.path));
  assign_query(url, parts.query);
  return url;
}

std::string Url::to_string() const { return to_display() + (has_query ? "?" + query : ""); }

std::string Url::to_display() const { return with_port(*this) + path; }

std::string Url::origin() const { return scheme + "://" + host + ":" + std::to_string(port); }

std::string encode_component(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  for (const char c : raw) {
    if (kComponentChar.contains(c)) {
      out += c;
    } else {
      append_escaped(out, c);
    }
  }
  return out;
}

std::optional<std::string> decode_component(std::string_view encoded) {
  std::string out;
  out.reserve(encoded.size());
  while (!encoded.empty()) {
    if (encoded[0] != '%') {
      out += encoded[0];
      encoded.remove_prefix(1);
      continue;
    }
    if (!is_escape(encoded)) return std::nullopt;
    out += static_cast<char>(hex_value(encoded[1]) * 16 + hex_value(encoded[2]));
    encoded.remove_prefix(3);
  }
  return out;
}

}  // namespace red
