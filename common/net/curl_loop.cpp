#include "common/net/curl_loop.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "common/error.h"

namespace red {
namespace {

using std::chrono::milliseconds;

// Servers rarely allow more streams on one HTTP/2 connection (nginx 128, Apache 100).
constexpr std::size_t kMaxStreams = 100;

// Signals are for the threads that wait for them. Blocking also keeps SIGPIPE away, which a write
// to a closed connection raises in a TLS library that does not use MSG_NOSIGNAL.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

CurlLoop::CurlLoop(HttpClientOptions options, bool offers_http2)
    : options_(std::move(options)), offers_http2_(offers_http2) {}

CurlLoop::~CurlLoop() {
  idle_handles_.clear();
  idle_bulk_handles_.clear();
  if (multi_ != nullptr) curl_multi_cleanup(multi_);
}

// --- Any thread
// ------------------------------------------------------------------------------------

void CurlLoop::start(HttpRequest request, std::shared_ptr<HttpSink> sink,
                     const RequestContext& context) {
  auto exchange =
      std::make_unique<CurlExchange>(std::move(request), std::move(sink), context, options_, now_);
  {
    const std::lock_guard lock(mutex_);
    if (multi_ == nullptr) launch();
    new_exchanges_.emplace_back(next_id_++, std::move(exchange));
  }
  wake();
}

/// Not in the constructor: a client may be made before a fork, which threads do not survive, and
/// libcurl and its TLS library take milliseconds to get ready.
void CurlLoop::launch() {
  set_up_curl();
  multi_ = curl_multi_init();
  if (multi_ == nullptr) throw Error(ErrorKind::Internal, "cannot set up HTTP transfers");
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
  const auto connections = static_cast<long>(options_.max_connections);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, connections);
  thread_ = std::thread([self = shared_from_this()] { self->run(); });
}

void CurlLoop::wake() {
  // One wake-up for all the mail that lies there when the thread looks.
  if (!has_mail_.exchange(true)) curl_multi_wakeup(multi_);
}

void CurlLoop::call_off(Id id) {
  {
    const std::lock_guard lock(mutex_);
    called_off_.push_back(id);
  }
  wake();
}

void CurlLoop::go_on(Id id) {
  {
    const std::lock_guard lock(mutex_);
    resumed_.push_back(id);
  }
  wake();
}

void CurlLoop::stop() {
  is_stopping_ = true;
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    if (multi_ == nullptr) return;
    thread = std::move(thread_);
  }
  if (!thread.joinable()) return;
  has_mail_ = true;
  curl_multi_wakeup(multi_);
  if (thread.get_id() == std::this_thread::get_id()) {
    thread.detach();
  } else {
    thread.join();
  }
}

// --- The event thread
// ------------------------------------------------------------------------------

void CurlLoop::run() {
  block_signals();
  while (!is_stopping_) {
    now_ = std::chrono::steady_clock::now();
    read_mail();
    admit();
    int running = 0;
    curl_multi_perform(multi_, &running);
    collect_ended();
    if (now_ >= next_check_) check_times();
    wait();
  }
  end_all();
}

void CurlLoop::read_mail() {
  if (!has_mail_.exchange(false)) return;
  std::vector<std::pair<Id, std::unique_ptr<CurlExchange>>> arrived;
  std::vector<Id> called_off;
  std::vector<Id> resumed;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(new_exchanges_);
    called_off.swap(called_off_);
    resumed.swap(resumed_);
  }
  for (auto& [id, exchange] : arrived) accept(id, std::move(exchange));
  for (const Id id : called_off) {
    const auto found = exchanges_.find(id);
    if (found == exchanges_.end()) continue;
    found->second.exchange->cancel();
    end(id);
  }
  for (const Id id : resumed) {
    const auto found = exchanges_.find(id);
    if (found != exchanges_.end()) found->second.exchange->resume();
  }
}

void CurlLoop::accept(Id id, std::unique_ptr<CurlExchange> exchange) {
  try {
    exchange->accept([this, id] { call_off(id); }, [this, id] { go_on(id); });
  } catch (...) {
    exchange->fail(current_exception_as_error());
    exchange->finish();
    return;
  }
  (exchange->priority() == Priority::Demand ? demand_ : background_).push_back(id);
  next_check_ = std::min(next_check_, exchange->next_check());
  const bool is_bulk = exchange->is_bulk();
  exchanges_.emplace(id, Entry{std::move(exchange), false, is_bulk});
}

void CurlLoop::admit() {
  while (admit_from(demand_) || admit_from(background_)) {
  }
}

/// Requests wait here rather than in libcurl, which knows no priorities and would count the wait as
/// time to connect.
bool CurlLoop::admit_from(std::deque<Id>& lane) {
  while (!lane.empty() && !exchanges_.contains(lane.front())) lane.pop_front();
  if (lane.empty() || !has_room_for(exchanges_.at(lane.front()))) return false;
  const Id id = lane.front();
  lane.pop_front();
  auto& idle = idle_handles(exchanges_.at(id));
  std::unique_ptr<CurlHandle> handle;
  if (!idle.empty()) {
    handle = std::move(idle.back());
    idle.pop_back();
  }
  begin_leg(id, std::move(handle));
  return true;
}

bool CurlLoop::has_room_for(const Entry& entry) const {
  const auto connections = static_cast<std::size_t>(options_.max_connections);
  if (!multiplexes_) return running_.size() < connections;
  return entry.is_bulk ? running_bulk_ < connections
                       : running_.size() - running_bulk_ < kMaxStreams;
}

void CurlLoop::begin_leg(Id id, std::unique_ptr<CurlHandle> handle) {
  Entry& entry = exchanges_.at(id);
  try {
    if (!handle) handle = std::make_unique<CurlHandle>(options_, entry.is_bulk, offers_http2_);
    entry.exchange->begin_leg(std::move(handle));
  } catch (...) {
    entry.exchange->fail(current_exception_as_error());
    end(id);
    return;
  }
  running_.emplace(entry.exchange->easy(), id);
  entry.is_running = true;
  if (entry.is_bulk) ++running_bulk_;
  next_check_ = std::min(next_check_, entry.exchange->next_check());
  curl_multi_add_handle(multi_, entry.exchange->easy());
}

void CurlLoop::collect_ended() {
  bool has_ended = false;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    leg_ended(running_.at(message->easy_handle), message->data.result);
    has_ended = true;
  }
  if (has_ended) admit();
}

void CurlLoop::leg_ended(Id id, CURLcode code) {
  Entry& entry = exchanges_.at(id);
  const CurlExchange::Next next = entry.exchange->end_leg(code);
  auto handle = detach(entry);
  multiplexes_ = multiplexes_ || handle->info<long>(CURLINFO_HTTP_VERSION) >= CURL_HTTP_VERSION_2_0;
  if (next == CurlExchange::Next::Leg) return begin_leg(id, std::move(handle));
  idle_handles(entry).push_back(std::move(handle));
  end(id);
}

std::unique_ptr<CurlHandle> CurlLoop::detach(Entry& entry) {
  CURL* easy = entry.exchange->easy();
  curl_multi_remove_handle(multi_, easy);
  running_.erase(easy);
  entry.is_running = false;
  if (entry.is_bulk) --running_bulk_;
  return entry.exchange->release_handle();
}

/// The exchange is forgotten before its sink is told, which may do anything, stop us included.
void CurlLoop::end(Id id) {
  auto node = exchanges_.extract(id);
  Entry& entry = node.mapped();
  if (entry.is_running) idle_handles(entry).push_back(detach(entry));
  entry.exchange->finish();
}

void CurlLoop::check_times() {
  std::vector<std::pair<Id, CurlExchange::Verdict>> overdue;
  next_check_ = TimePoint::max();
  for (auto& [id, entry] : exchanges_) {
    const auto verdict = entry.exchange->check_time();
    if (verdict != CurlExchange::Verdict::GoOn) overdue.emplace_back(id, verdict);
    next_check_ = std::min(next_check_, entry.exchange->next_check());
  }
  for (const auto& [id, verdict] : overdue) {
    if (verdict == CurlExchange::Verdict::RepeatFresh) {
      begin_leg(id, detach(exchanges_.at(id)));
    } else {
      end(id);
    }
  }
}

void CurlLoop::wait() {
  if (has_mail_) return;
  constexpr milliseconds kLongest{60'000};
  milliseconds timeout = kLongest;
  if (next_check_ != TimePoint::max()) {
    const auto left =
        std::chrono::ceil<milliseconds>(next_check_ - std::chrono::steady_clock::now());
    timeout = std::clamp(left, milliseconds(0), kLongest);
  }
  curl_multi_poll(multi_, nullptr, 0, static_cast<int>(timeout.count()), nullptr);
}

/// What a sink starts while it is told of the end is ended as well.
void CurlLoop::end_all() {
  do {
    has_mail_ = true;
    read_mail();
    while (!exchanges_.empty()) {
      const Id id = exchanges_.begin()->first;
      exchanges_.begin()->second.exchange->cancel();
      end(id);
    }
  } while (has_mail_);
}

std::vector<std::unique_ptr<CurlHandle>>& CurlLoop::idle_handles(const Entry& entry) {
  return entry.is_bulk ? idle_bulk_handles_ : idle_handles_;
}

}  // namespace red
