#pragma once

#include <curl/curl.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/net/curl_exchange.h"
#include "common/net/curl_handle.h"
#include "common/net/http_client.h"

namespace red {

/// The event thread of a CurlHttpClient and what lives on it. Other threads only leave mail: new
/// exchanges and those to be called off.
class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  /// A loop either offers HTTP/2 with TLS for all its requests or for none: libcurl 7.88 takes an
  /// HTTP/1.1 connection for one that carries several requests at once as soon as another one to
  /// the same host speaks HTTP/2, and answers go to the wrong requests.
  CurlLoop(HttpClientOptions options, bool offers_http2);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  /// Thread-safe; starts the thread if it is the first.
  void start(HttpRequest request, std::shared_ptr<HttpSink> sink, const RequestContext& context);
  /// Ends everything that runs and the thread. Nothing may be started from another thread after.
  void stop();

 private:
  using Id = std::uint64_t;
  struct Entry {
    std::unique_ptr<CurlExchange> exchange;
    bool is_running = false;
    bool is_bulk = false;
  };

  // Any thread.
  void launch();
  void wake();
  void call_off(Id id);
  void go_on(Id id);

  // The event thread only.
  void run();
  void read_mail();
  void accept(Id id, std::unique_ptr<CurlExchange> exchange);
  void admit();
  bool admit_from(std::deque<Id>& lane);
  bool has_room_for(const Entry& entry) const;
  /// Without a handle: on a new one.
  void begin_leg(Id id, std::unique_ptr<CurlHandle> handle);
  void collect_ended();
  void leg_ended(Id id, CURLcode code);
  std::unique_ptr<CurlHandle> detach(Entry& entry);
  void end(Id id);
  void check_times();
  void wait();
  void end_all();
  std::vector<std::unique_ptr<CurlHandle>>& idle_handles(const Entry& entry);

  const HttpClientOptions options_;
  const bool offers_http2_;

  std::mutex mutex_;
  // guarded by mutex_
  std::vector<std::pair<Id, std::unique_ptr<CurlExchange>>> new_exchanges_;
  std::vector<Id> called_off_;
  std::vector<Id> resumed_;
  Id next_id_ = 1;
  CURLM* multi_ = nullptr;  ///< set once, by launch()
  std::thread thread_;

  std::atomic<bool> has_mail_ = false;
  std::atomic<bool> is_stopping_ = false;

  // of the event thread
  TimePoint now_{};
  TimePoint next_check_ = TimePoint::max();
  std::unordered_map<Id, Entry> exchanges_;
  std::unordered_map<CURL*, Id> running_;
  std::deque<Id> demand_;
  std::deque<Id> background_;
  std::size_t running_bulk_ = 0;
  bool multiplexes_ = false;  ///< HTTP/2 has been seen
  std::vector<std::unique_ptr<CurlHandle>> idle_handles_;
  std::vector<std::unique_ptr<CurlHandle>> idle_bulk_handles_;
};

}  // namespace red
