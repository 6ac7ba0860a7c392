#include "common/net/http_answer.h"

#include <charconv>
#include <memory>
#include <utility>

#include "common/net/http_date.h"
#include "common/net/response_collector.h"

namespace red {
namespace {

constexpr std::uint64_t kCheapBody = 64 * 1024;

/// Takes a number off the front.
std::optional<std::uint64_t> read_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool read_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// "7-9", of which both belong to the range.
std::optional<ByteRange> read_range(std::string_view& text) {
  const auto first = read_number(text);
  if (!first || !read_prefix(text, "-")) return std::nullopt;
  const auto last = read_number(text);
  if (!last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  return ByteRange{*first, *last + 1};
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
  ContentRange parsed;
  if (!read_prefix(text, "bytes ")) return std::nullopt;
  if (!read_prefix(text, "*")) {
    parsed.range = read_range(text);
    if (!parsed.range) return std::nullopt;
  }
  if (!read_prefix(text, "/")) return std::nullopt;
  if (!read_prefix(text, "*")) {
    parsed.total = read_number(text);
    if (!parsed.total) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return parsed;
}

std::optional<ContentRange> content_range_of(const HttpResponseHead& head) {
  const auto field = head.headers.find("Content-Range");
  return field ? parse_content_range(*field) : std::nullopt;
}

Version version_of(const HttpResponseHead& head) {
  Version version;
  version.etag = head.headers.find("ETag").value_or("");
  if (const auto field = head.headers.find("Last-Modified")) {
    version.modified = parse_http_date(*field);
  }
  if (head.status == 206 || head.status == 416) {
    if (const auto range = content_range_of(head)) version.size = range->total;
  } else {
    version.size = head.content_length();
  }
  return version;
}

Entry file_entry(const RemotePath& path, const HttpResponseHead& head) {
  const Version version = version_of(head);
  Entry entry;
  entry.name = path.name();
  entry.size = version.size;
  entry.modified = version.modified;
  entry.modified_is_exact = version.modified.has_value();
  entry.etag = version.etag;
  entry.content_type = content_type_of(head);
  return entry;
}

Entry directory_entry(const RemotePath& path) {
  Entry entry;
  entry.name = path.name();
  entry.kind = EntryKind::Directory;
  return entry;
}

std::string content_type_of(const HttpResponseHead& head) {
  return std::string(head.headers.find("Content-Type").value_or(""));
}

HttpResponseHead exchange_for_head(HttpClient& client, HttpRequest request,
                                   const RequestContext& context) {
  if (request.method == "HEAD") return exchange(client, std::move(request), context, 0).head;
  const auto collector = std::make_shared<ResponseCollector>(kCheapBody, is_cheap_to_read);
  client.start(std::move(request), collector, context);
  return collector->wait().head;
}

bool is_cheap_to_read(const HttpResponseHead& head) {
  const auto length = head.content_length();
  return length && *length <= kCheapBody;
}

}  // namespace red
