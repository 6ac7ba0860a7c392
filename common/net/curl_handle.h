#pragma once

#include <curl/curl.h>

#include <array>
#include <memory>
#include <string_view>

#include "common/net/ca_store.h"
#include "common/net/http_client.h"
#include "common/net/url.h"

namespace red {

/// To be called before anything else of libcurl; what it does, it does once.
void set_up_curl();

/// What one request asks of a handle.
struct CurlLeg {
  const HttpRequest& request;  ///< its headers and flags
  const std::string& method;   ///< after redirects
  const Url& url;              ///< after redirects
  ByteSource* body;            ///< null: none (any more)
  bool with_secrets;           ///< credentials and the option headers
  bool fresh_connection;
};

/// A libcurl easy handle. It is used for one request after the other without a reset, so that what
/// it knows of a server's Digest challenge stays; hence each request sets every option that a
/// request can differ in. Used by one thread at a time.
class CurlHandle {
 public:
  /// Sets what is the same for all requests; buffers can only be sized here. Throws Error.
  CurlHandle(const HttpClientOptions& options, bool is_bulk, bool offers_http2);

  /// Sets what differs. Throws Error{InvalidAccess} for headers that are none.
  void prepare(const CurlLeg& leg);

  CURL* get() const { return easy_.get(); }
  /// libcurl's words for the last failure.
  std::string_view error_text() const { return error_text_.data(); }

  template <typename Value>
  Value info(CURLINFO which) const {
    Value value{};
    curl_easy_getinfo(easy_.get(), which, &value);
    return value;
  }

  /// Whether a challenge of an earlier request may be remembered: one that the server no longer
  /// accepts, while not calling it stale, looks like wrong credentials.
  bool knows_digest = false;

 private:
  template <typename Value>
  void set(CURLoption option, Value value);
  void set_tls();
  void set_ca_store(const CaStore& store);
  void set_proxy();
  void set_method(const CurlLeg& leg);
  void set_credentials(const CurlLeg& leg);
  void set_headers(const CurlLeg& leg);
  void add_header(std::string_view name, std::string_view value);

  struct EasyCleanup {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct ListCleanup {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  const HttpClientOptions& options_;
  // The list and the text outlive the handle that points to them.
  std::unique_ptr<curl_slist, ListCleanup> headers_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::unique_ptr<CURL, EasyCleanup> easy_;
};

}  // namespace red
