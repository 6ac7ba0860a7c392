#include "common/net/http_client.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "common/net/response_collector.h"

namespace red {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void HttpFlow::release() {
  if (!is_held_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  if (resume_) resume_();
}

void HttpFlow::on_release(std::function<void()> resume) {
  const std::lock_guard lock(mutex_);
  resume_ = std::move(resume);
}

std::optional<std::string_view> HttpHeaders::find(std::string_view name) const {
  for (const auto& [field, value] : fields_) {
    if (equal_without_case(field, name)) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> HttpResponseHead::content_length() const {
  // With Transfer-Encoding, Content-Length means nothing (RFC 9112 section 6.3).
  if (headers.find("Transfer-Encoding")) return std::nullopt;
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : headers) {
    if (!equal_without_case(name, "Content-Length")) continue;
    const auto other = parse_length(value);
    if (!other || (length && *length != *other)) return std::nullopt;
    length = other;
  }
  return length;
}

bool HttpResponseHead::has_broken_length() const {
  return headers.find("Content-Length") && !headers.find("Transfer-Encoding") && !content_length();
}

HttpResponse exchange(HttpClient& client, HttpRequest request, const RequestContext& context,
                      std::size_t max_body) {
  // An answer to HEAD announces a body that does not come.
  const bool is_head = request.method == "HEAD";
  const auto collector = std::make_shared<ResponseCollector>(
      is_head ? std::numeric_limits<std::size_t>::max() : max_body);
  client.start(std::move(request), collector, context);
  return collector->wait();
}

}  // namespace red
