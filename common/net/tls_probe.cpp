#include "common/net/tls_probe.h"

#include <curl/curl.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <optional>

#include "common/error.h"
#include "common/net/curl_error.h"
#include "common/net/curl_handle.h"

namespace red {
namespace {

/// How soon a stop is seen.
constexpr int kLookEveryMs = 50;

struct MultiCleanup {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/// A handle among those that run.
class RunningTransfer {
 public:
  RunningTransfer(CURLM* multi, CURL* easy) : multi_(multi), easy_(easy) {
    curl_multi_add_handle(multi_, easy_);
  }
  ~RunningTransfer() { curl_multi_remove_handle(multi_, easy_); }
  RunningTransfer(const RunningTransfer&) = delete;
  RunningTransfer& operator=(const RunningTransfer&) = delete;

 private:
  CURLM* const multi_;
  CURL* const easy_;
};

TlsSession session_of(CURL* easy) {
  TlsSession session;
  curl_tlssessioninfo* tls = nullptr;
  curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &tls);
  if (tls == nullptr || tls->backend != CURLSSLBACKEND_OPENSSL || tls->internals == nullptr) {
    return session;
  }
  const auto* ssl = static_cast<const SSL*>(tls->internals);
  session.version = SSL_get_version(ssl);
  session.cipher = SSL_get_cipher_name(ssl);
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  if (sk_X509_num(chain) > 0) session.certificate = summary_of(*sk_X509_value(chain, 0));
  return session;
}

/// Where the session is seen, and the transfer's end.
struct Sight {
  CURL* easy = nullptr;
  std::optional<TlsSession> session = {};
};

int on_request_start(void* sight, char*, char*, int, int) {
  auto* seen = static_cast<Sight*>(sight);
  seen->session = session_of(seen->easy);
  return CURL_PREREQFUNC_ABORT;
}

/// Until the transfer ends.
CURLcode perform(CURLM* multi, const RequestContext& context) {
  while (true) {
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi, &left);
    if (message != nullptr && message->msg == CURLMSG_DONE) return message->data.result;
    if (context.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "called off");
    if (std::chrono::steady_clock::now() >= context.deadline) return CURLE_OPERATION_TIMEDOUT;
    curl_multi_poll(multi, nullptr, 0, kLookEveryMs, nullptr);
  }
}

}  // namespace

TlsSession probe_tls(const Url& url, const HttpClientOptions& options,
                     const RequestContext& context) {
  set_up_curl();
  CurlHandle handle(options, false, false);
  const std::string method = "HEAD";
  const HttpRequest request{.method = method, .url = url.to_string()};
  handle.prepare({.request = request,
                  .method = method,
                  .url = url,
                  .body = nullptr,
                  .with_secrets = false,
                  .fresh_connection = true});
  Sight sight{.easy = handle.get()};
  curl_easy_setopt(handle.get(), CURLOPT_PREREQFUNCTION, &on_request_start);
  curl_easy_setopt(handle.get(), CURLOPT_PREREQDATA, &sight);
  const std::unique_ptr<CURLM, MultiCleanup> multi(curl_multi_init());
  if (multi == nullptr) throw Error(ErrorKind::Internal, "cannot set up a TLS connection");
  const RunningTransfer running(multi.get(), handle.get());
  const CURLcode code = perform(multi.get(), context);
  if (sight.session) return std::move(*sight.session);
  throw error_from_curl(
      {.code = code,
       .text = handle.error_text(),
       .what = "connecting to " + url.origin(),
       .host = url.host,
       .authority = url.host + ":" + std::to_string(url.port),
       .system_error = static_cast<int>(handle.info<long>(CURLINFO_OS_ERRNO)),
       .proxy_status = static_cast<int>(handle.info<long>(CURLINFO_HTTP_CONNECTCODE)),
       .is_in_body = false,
       .received = 0,
       .announced = std::nullopt,
       .connect_timeout = options.connect_timeout});
}

}  // namespace red
