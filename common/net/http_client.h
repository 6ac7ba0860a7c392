#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/byte_source.h"
#include "common/error.h"
#include "common/request_context.h"

namespace red {

/// Header fields in order; names compare without case (RFC 9110 section 5.1).
class HttpHeaders {
 public:
  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<std::pair<std::string, std::string>> fields)
      : fields_(fields) {}

  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  void clear() { fields_.clear(); }
  /// The first field of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  std::size_t size() const { return fields_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct HttpCredentials {
  enum class Scheme { None, Basic, Digest, Bearer };
  Scheme scheme = Scheme::None;
  std::string username;
  std::string password;  ///< or the bearer token
};

/// Holds back the bytes of one answer, and with them its sender, while its sink has no room for
/// more. What is on its way already still arrives. Thread-safe.
class HttpFlow {
 public:
  void hold() { is_held_ = true; }
  void release();
  bool is_held() const { return is_held_; }

  /// For the client: what to do when the flow goes on. Not called any more when this returns with
  /// another one; hence the lock during the call.
  void on_release(std::function<void()> resume);

 private:
  std::atomic<bool> is_held_ = false;
  std::mutex mutex_;
  std::function<void()> resume_;  ///< guarded by mutex_
};

struct HttpRequest {
  std::string method = "GET";
  std::string url = {};  ///< absolute, encoded
  HttpHeaders headers = {};
  HttpHeaders private_headers = {};  ///< sent to the first host only, like credentials
  std::optional<HttpCredentials> credentials = {};  ///< instead of the client's
  std::shared_ptr<ByteSource> body = nullptr;       ///< null: none
  /// Bulk data: a connection of its own with HTTP/1.1 rather than a stream of a shared one.
  bool own_connection = false;
  /// Never use a connection that was used before (after one went silent).
  bool fresh_connection = false;
  /// Without credentials and option headers: the URL is a remembered redirect target elsewhere.
  bool anonymous = false;
  /// Instead of the client's, for what a server may think about for long.
  std::optional<std::chrono::milliseconds> stall_timeout = {};
  std::shared_ptr<HttpFlow> flow = nullptr;  ///< null: the sink always has room
};

struct HttpResponseHead {
  int status = 0;
  HttpHeaders headers;
  std::string url;  ///< the one that answered, after redirects

  /// Content-Length, if there is a valid one.
  std::optional<std::uint64_t> content_length() const;
  /// Whether the end of the body cannot be told, because Content-Length is no number or several
  /// that differ (RFC 9112 section 6.3: an unrecoverable error).
  bool has_broken_length() const;
};

/// Takes one response, on the client's thread: must neither block nor throw.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  /// The final response's head (redirects are followed before). False ends the exchange.
  virtual bool begin(const HttpResponseHead& head) = 0;
  /// Body bytes as they come, not decoded. False ends the exchange.
  virtual bool receive(std::span<const std::byte> bytes) = 0;
  /// Exactly once, last. Null: the response came whole. A sink that returned false gets
  /// Error{Cancelled}. An HTTP status is no error here.
  virtual void finish(const Error* error) noexcept = 0;
};

struct HttpClientOptions {
  HttpCredentials credentials;
  HttpHeaders headers;  ///< sent to the first host only, like credentials
  bool verify_tls = true;
  std::string ca_certificate;         ///< PEM text or path; empty: the system's store
  std::string proxy;                  ///< empty: from the environment
  bool proxy_has_exceptions = false;  ///< `proxy` is not for what the environment's no_proxy names
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds stall_timeout{20'000};  ///< no byte for so long is Error{TimedOut}
  int max_connections = 32;
  bool uses_tls =
      false;  ///< the server is asked by https: HTTP/1.1 and HTTP/2 share its connections
};

/// Exchanges HTTP requests with any number of servers. Thread-safe. Follows up to 20 redirects,
/// http and https only; credentials and the option headers stay with the first host.
class HttpClient {
 public:
  virtual ~HttpClient() = default;

  /// Starts an exchange and returns at once. `sink` is kept until its finish() has returned.
  virtual void start(HttpRequest request, std::shared_ptr<HttpSink> sink,
                     const RequestContext& context) = 0;
};

struct HttpResponse {
  HttpResponseHead head;
  std::string body;
};

/// Exchanges and waits. Throws what the exchange ends with, and Error{Protocol} for a body of more
/// than `max_body` bytes. Not to be called on the client's thread.
HttpResponse exchange(HttpClient& client, HttpRequest request, const RequestContext& context,
                      std::size_t max_body);

}  // namespace red
