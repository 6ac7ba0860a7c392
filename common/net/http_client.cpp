#include "common/net/http_client.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>

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

/// Gathers one response and lets a thread wait for it.
class ResponseCollector final : public HttpSink {
 public:
  explicit ResponseCollector(std::size_t max_body) : max_body_(max_body) {}

  bool begin(const HttpResponseHead& head) override {
    response_.head = head;
    const auto length = head.content_length();
    too_long_ = length && *length > max_body_ && !is_head_only_;
    return !too_long_;
  }

  bool receive(std::span<const std::byte> bytes) override {
    too_long_ = bytes.size() > max_body_ - response_.body.size();
    if (too_long_) return false;
    response_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  }

  void finish(const Error* error) noexcept override {
    const std::lock_guard lock(mutex_);
    if (error != nullptr) error_ = *error;
    finished_ = true;
    changed_.notify_all();
  }

  /// An answer to HEAD announces a body that does not come.
  void expect_no_body() { is_head_only_ = true; }

  HttpResponse wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finished_; });
    if (too_long_) {
      throw Error(ErrorKind::Protocol,
                  "the answer is longer than " + std::to_string(max_body_) + " bytes");
    }
    if (error_) throw *error_;
    return std::move(response_);
  }

 private:
  const std::size_t max_body_;
  bool is_head_only_ = false;

  // Written on the client's thread before finish(), read after it.
  HttpResponse response_;
  bool too_long_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  bool finished_ = false;
  std::optional<Error> error_;
};

}  // namespace

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

HttpResponse exchange(HttpClient& client, HttpRequest request, const RequestContext& context,
                      std::size_t max_body) {
  const auto collector = std::make_shared<ResponseCollector>(max_body);
  if (request.method == "HEAD") collector->expect_no_body();
  client.start(std::move(request), collector, context);
  return collector->wait();
}

}  // namespace red
