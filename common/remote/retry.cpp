#include "common/remote/retry.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include "common/logging.h"
#include "common/pause.h"
#include "common/remote/forwarding_store.h"

namespace red {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kFirstResumePause = 100ms;
constexpr int kUnlimited = std::numeric_limits<int>::max();

TimePoint now() noexcept { return std::chrono::steady_clock::now(); }

milliseconds jittered_pause(const RetryPolicy& policy, int next_try) {
  const int doublings = std::clamp(next_try - 2, 0, 20);
  return jittered(std::min(policy.first_pause * (1 << doublings), policy.max_pause));
}

void note_pause(const RetryPolicy& policy, const Error& error, milliseconds pause) {
  if (policy.retries != nullptr) policy.retries->fetch_add(1, std::memory_order_relaxed);
  if (!log_enabled(LogLevel::Debug)) return;
  log(LogLevel::Debug,
      "trying again in " + std::to_string(pause.count()) + " ms: " + error.message());
}

Error stopped() { return Error(ErrorKind::Cancelled, "stopped while waiting for another try"); }

template <typename Call>
auto try_repeatedly(const RetryPolicy& policy, const RequestContext& context, Call call) {
  const TimePoint start = now();
  for (int next_try = 2;; ++next_try) {
    try {
      return call();
    } catch (const Error& error) {
      const auto pause =
          pause_before(policy, next_try, now() - start, error, now(), context.deadline);
      if (!pause) throw;
      note_pause(policy, error, *pause);
      sleep_for(*pause, context.stop);
    }
  }
}

/// Whether `answer` proves to be of the content that `earlier` was: nothing differs, and a
/// validator is the same in both.
bool proves_same(const Version& answer, const Version& earlier) {
  if (!answer.may_equal(earlier)) return false;
  return (!answer.etag.empty() && !earlier.etag.empty()) || (answer.modified && earlier.modified);
}

class RetryingRead;

/// The reads that wait for their next try. Ends their pauses when their time has come, when they
/// are stopped, and when the store goes away.
class Pauses : public std::enable_shared_from_this<Pauses> {
 public:
  explicit Pauses(Timer& timer) : timer_(timer) {}

  /// False once closed: then there is no further try.
  bool add(const std::shared_ptr<RetryingRead>& read, Duration pause, const std::stop_token& stop);
  /// Cancels all pauses and returns when no try is being started any more.
  void close();

 private:
  using Id = std::uint64_t;

  std::shared_ptr<RetryingRead> take(Id id, bool to_run);
  void try_again(Id id);
  void stop(Id id);

  Timer& timer_;

  std::mutex mutex_;
  std::condition_variable idle_;
  // guarded by mutex_
  std::map<Id, std::shared_ptr<RetryingRead>> paused_;
  Id next_id_ = 1;
  int starting_ = 0;
  bool closed_ = false;
};

/// One read of a caller, made of as many reads of the wrapped file as it takes. Its calls come one
/// after the other, hence no lock.
class RetryingRead final : public ReadSink, public std::enable_shared_from_this<RetryingRead> {
 public:
  RetryingRead(std::shared_ptr<RemoteFile> file, std::optional<ByteRange> range,
               std::shared_ptr<ReadSink> sink, RequestContext context, const RetryPolicy& policy,
               std::shared_ptr<Pauses> pauses)
      : file_(std::move(file)),
        range_(range),
        sink_(std::move(sink)),
        context_(std::move(context)),
        policy_(policy),
        pauses_(std::move(pauses)),
        series_began_(now()) {}

  void start() { file_->read(next_request(), shared_from_this(), context_); }
  void end(const Error* error) noexcept { sink_->finish(error); }
  /// Calls `callback` if a stop is requested; replaces the callback of the pause before.
  void watch_stop(const std::stop_token& stop, std::function<void()> callback) {
    stop_watch_.emplace(stop, std::move(callback));
  }

  bool begin(const ReadAnswer& answer) override;
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override;
  void finish(const Error* error) noexcept override;

 private:
  std::optional<std::uint64_t> wanted_end() const;
  std::optional<ByteRange> next_request() const;
  std::optional<milliseconds> next_pause(const Error& error);
  bool pause(const Error& error);

  // set once
  const std::shared_ptr<RemoteFile> file_;
  const std::optional<ByteRange> range_;
  const std::shared_ptr<ReadSink> sink_;
  const RequestContext context_;
  const RetryPolicy policy_;
  const std::shared_ptr<Pauses> pauses_;

  std::optional<ReadAnswer> first_answer_;
  Version told_;                           ///< by the answers so far
  bool resumable_ = false;                 ///< the last answer said that ranges work
  std::uint64_t next_ = 0;                 ///< the next byte that the sink is to get
  std::uint64_t furthest_ = 0;             ///< the end of all that the sink ever got
  int tries_ = 1;                          ///< of this series
  std::optional<TimePoint> series_began_;  ///< first try, or first break since a new byte
  std::optional<std::stop_callback<std::function<void()>>> stop_watch_;
};

bool RetryingRead::begin(const ReadAnswer& answer) {
  ReadAnswer shown = answer;
  if (!first_answer_) {
    first_answer_ = answer;
    series_began_.reset();
  } else if (answer.offset < next_ && !answer.is_range && proves_same(answer.version, told_)) {
    // The same file from its start: receive() drops what the sink has.
    shown.offset = next_;
    shown.is_range = true;
  }
  told_.complete_from(answer.version);
  resumable_ = answer.ranges_supported;
  next_ = shown.offset;
  return sink_->begin(shown);
}

bool RetryingRead::receive(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t known = offset < next_ ? next_ - offset : 0;
  if (known >= bytes.size()) return true;
  const auto fresh = bytes.subspan(static_cast<std::size_t>(known));
  const std::uint64_t fresh_offset = offset + known;
  next_ = fresh_offset + fresh.size();
  // A server that breaks off at the same place again and again makes no progress.
  if (next_ > furthest_) {
    furthest_ = next_;
    series_began_.reset();
  }
  return sink_->receive(fresh_offset, fresh);
}

void RetryingRead::finish(const Error* error) noexcept {
  if (error == nullptr || !error->retryable()) return end(error);
  if (first_answer_ && wanted_end() && next_ >= *wanted_end()) return end(nullptr);
  try {
    if (!pause(*error)) end(error);
  } catch (...) {
    end(error);
  }
}

bool RetryingRead::pause(const Error& error) {
  const auto length = next_pause(error);
  if (!length) return false;
  note_pause(policy_, error, *length);
  return pauses_->add(shared_from_this(), *length, context_.stop);
}

std::optional<milliseconds> RetryingRead::next_pause(const Error& error) {
  if (!series_began_) {
    series_began_ = now();
    tries_ = 1;
  }
  ++tries_;
  RetryPolicy policy = policy_;
  if (first_answer_) {
    policy.max_tries = kUnlimited;
    policy.window = policy_.resume_for;
    policy.first_pause = kFirstResumePause;
  }
  return pause_before(policy, tries_, now() - *series_began_, error, now(), context_.deadline);
}

/// Where the bytes of this read end, if that is known.
std::optional<std::uint64_t> RetryingRead::wanted_end() const {
  const auto size = told_.size ? told_.size : file_->version().size;
  if (!first_answer_->is_range) return size;
  return size && range_ ? std::min(*size, range_->end) : range_->end;
}

std::optional<ByteRange> RetryingRead::next_request() const {
  if (!first_answer_ || next_ == first_answer_->offset) return range_;
  const auto end = wanted_end();
  if (!resumable_ || !end || !file_->version().is_validator()) return range_;
  return ByteRange{next_, *end};
}

bool Pauses::add(const std::shared_ptr<RetryingRead>& read, Duration pause,
                 const std::stop_token& stop_token) {
  Id id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    id = next_id_++;
    paused_.emplace(id, read);
  }
  // The callbacks keep their own reference: ending the read may destroy the callback that runs.
  read->watch_stop(stop_token, [self = shared_from_this(), id] {
    const auto kept = self;
    kept->stop(id);
  });
  // Last: from here on the read belongs to the timer's thread.
  timer_.at(now() + pause, [self = shared_from_this(), id] { self->try_again(id); });
  return true;
}

std::shared_ptr<RetryingRead> Pauses::take(Id id, bool to_run) {
  const std::lock_guard lock(mutex_);
  const auto found = paused_.find(id);
  if (found == paused_.end()) return nullptr;
  auto read = std::move(found->second);
  paused_.erase(found);
  if (to_run) ++starting_;
  return read;
}

void Pauses::try_again(Id id) {
  const auto read = take(id, true);
  if (!read) return;
  read->start();
  const std::lock_guard lock(mutex_);
  --starting_;
  idle_.notify_all();
}

void Pauses::stop(Id id) {
  const auto read = take(id, false);
  if (!read) return;
  const Error error = stopped();
  read->end(&error);
}

void Pauses::close() {
  std::map<Id, std::shared_ptr<RetryingRead>> ended;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    ended.swap(paused_);
    idle_.wait(lock, [this] { return starting_ == 0; });
  }
  const Error error = stopped();
  for (const auto& [id, read] : ended) read->end(&error);
}

class RetryingFile final : public ForwardingFile {
 public:
  RetryingFile(std::shared_ptr<RemoteFile> file, const RetryPolicy& policy,
               std::shared_ptr<Pauses> pauses)
      : ForwardingFile(std::move(file)), policy_(policy), pauses_(std::move(pauses)) {}

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    std::make_shared<RetryingRead>(inner(), range, std::move(sink), context, policy_, pauses_)
        ->start();
  }

 private:
  const RetryPolicy policy_;
  const std::shared_ptr<Pauses> pauses_;
};

/// Changes that are tried again: whether an attempt whose answer was lost had been carried out
/// shows in the next one's failure, which then is none.
class RetryingEditor final : public TreeEditor {
 public:
  RetryingEditor(TreeEditor& editor, const RetryPolicy& policy)
      : editor_(editor), policy_(policy) {}

  std::shared_ptr<WritableFile> open_for_writing(const RemotePath& path, const WriteMode& mode,
                                                 const RequestContext& context) override {
    return try_repeatedly(policy_, context, [&, tries = 0]() mutable {
      WriteMode again = mode;
      // What the lost attempt has made is not somebody else's.
      if (tries++ > 0) again.exclusive = false;
      return editor_.open_for_writing(path, again, context);
    });
  }
  void change(const RemotePath& path, const FileChange& change,
              const RequestContext& context) override {
    try_repeatedly(policy_, context, [&] { editor_.change(path, change, context); });
  }
  void remove(const RemotePath& path, const RequestContext& context) override {
    once(ErrorKind::NotFound, context, [&] { editor_.remove(path, context); });
  }
  void make_directory(const RemotePath& path, std::uint32_t mode,
                      const RequestContext& context) override {
    once(ErrorKind::AlreadyExists, context, [&] { editor_.make_directory(path, mode, context); });
  }
  void remove_directory(const RemotePath& path, const RequestContext& context) override {
    once(ErrorKind::NotFound, context, [&] { editor_.remove_directory(path, context); });
  }
  void rename(const RemotePath& from, const RemotePath& to, bool replace,
              const RequestContext& context) override {
    once(ErrorKind::NotFound, context, [&] { editor_.rename(from, to, replace, context); });
  }
  void make_symlink(const RemotePath& path, const std::string& target,
                    const RequestContext& context) override {
    once(ErrorKind::AlreadyExists, context, [&] { editor_.make_symlink(path, target, context); });
  }
  void make_hard_link(const RemotePath& existing, const RemotePath& path,
                      const RequestContext& context) override {
    once(ErrorKind::AlreadyExists, context,
         [&] { editor_.make_hard_link(existing, path, context); });
  }
  std::uint64_t copy(const RemotePath& from, ByteRange range, const RemotePath& to,
                     std::uint64_t offset, const RequestContext& context) override {
    return try_repeatedly(policy_, context,
                          [&] { return editor_.copy(from, range, to, offset, context); });
  }
  FileSystemSpace space(const RequestContext& context) override {
    return try_repeatedly(policy_, context, [&] { return editor_.space(context); });
  }

 private:
  template <typename Change>
  void once(ErrorKind done_before, const RequestContext& context, Change change) {
    try_repeatedly(policy_, context, [&, tries = 0]() mutable {
      try {
        ++tries;
        change();
      } catch (const Error& error) {
        if (tries == 1 || error.kind() != done_before) throw;
      }
    });
  }

  TreeEditor& editor_;
  const RetryPolicy policy_;
};

class RetryingStore final : public ForwardingStore, private Uploader, private TreeUploader {
  template <typename Call>
  auto repeatedly(const RequestContext& context, Call call) {
    return try_repeatedly(has_answered_ ? policy_ : first_, context, [&] {
      try {
        if constexpr (std::is_void_v<decltype(call())>) {
          call();
          has_answered_ = true;
        } else {
          auto result = call();
          has_answered_ = true;
          return result;
        }
      } catch (const Error& error) {
        has_answered_ = has_answered_ || !error.retryable();
        throw;
      }
    });
  }

 public:
  RetryingStore(std::unique_ptr<RemoteStore> store, RetryPolicy policy, Timer& timer,
                std::optional<RetryPolicy> first)
      : ForwardingStore(*store),
        policy_(policy),
        first_(first.value_or(policy)),
        pauses_(std::make_shared<Pauses>(timer)),
        store_(std::move(store)) {
    if (TreeEditor* editor = store_->editor()) editor_.emplace(*editor, policy_);
  }
  ~RetryingStore() override { pauses_->close(); }

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override {
    return repeatedly(context, [&] { return store_->stat(path, context); });
  }
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override {
    return repeatedly(context, [&] { return store_->list(directory, context); });
  }
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override {
    return std::make_shared<RetryingFile>(store_->open(path, known), policy_, pauses_);
  }
  void check(Purpose purpose, const RequestContext& context) override {
    repeatedly(context, [&] { store_->check(purpose, context); });
  }
  Uploader* uploader() override { return store_->uploader() == nullptr ? nullptr : this; }
  TreeUploader* tree_uploader() override {
    return store_->tree_uploader() == nullptr ? nullptr : this;
  }
  TreeEditor* editor() override { return editor_ ? &*editor_ : nullptr; }

 private:
  void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
              const RequestContext& context) override {
    repeatedly(context, [&] { store_->uploader()->upload(path, source, attributes, context); });
  }
  bool make_directory(const RemotePath& path, const LocalAttributes& attributes,
                      const RequestContext& context) override {
    return repeatedly(
        context, [&] { return store_->uploader()->make_directory(path, attributes, context); });
  }
  void finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                        const RequestContext& context) override {
    repeatedly(context, [&] { store_->uploader()->finish_directory(path, attributes, context); });
  }

  void upload_tree(const std::vector<FileToSend>& files,
                   const std::function<void(std::int64_t)>& on_sent,
                   const RequestContext& context) override {
    repeatedly(context, [&] { store_->tree_uploader()->upload_tree(files, on_sent, context); });
  }

  const RetryPolicy policy_;
  const RetryPolicy first_;
  const std::shared_ptr<Pauses> pauses_;
  const std::unique_ptr<RemoteStore> store_;
  std::optional<RetryingEditor> editor_;
  std::atomic<bool> has_answered_ = false;
};

}  // namespace

// With three tries only, they are spread: a server that asks for patience gets some.
RetryPolicy RetryPolicy::for_commands() { return {3, 8s, 10s, 2s, 1s, nullptr}; }

RetryPolicy RetryPolicy::for_mounts() {
  return {kUnlimited, 30s, 30s, 2s, kFirstResumePause, nullptr};
}

std::optional<milliseconds> pause_before(const RetryPolicy& policy, int next_try,
                                         Duration since_first_try, const Error& last_error,
                                         TimePoint now, TimePoint deadline) {
  if (!last_error.retryable() || next_try > policy.max_tries) return std::nullopt;
  const milliseconds pause = std::max(jittered_pause(policy, next_try),
                                      last_error.retry_after().value_or(milliseconds(0)));
  if (since_first_try + pause > policy.window || deadline - now <= pause) return std::nullopt;
  return pause;
}

std::unique_ptr<RemoteStore> with_retries(std::unique_ptr<RemoteStore> store, RetryPolicy policy,
                                          Timer& timer, std::optional<RetryPolicy> first) {
  return std::make_unique<RetryingStore>(std::move(store), policy, timer, first);
}

}  // namespace red
