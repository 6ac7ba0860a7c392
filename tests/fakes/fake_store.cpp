#include "tests/fakes/fake_store.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "tests/fakes/path_of.h"

namespace red::testing {
namespace {

constexpr std::uint64_t kUploadPiece = 64 << 10;

struct Node {
  EntryKind kind = EntryKind::Directory;
  std::shared_ptr<const std::string> content;
  Version version;
};

void throw_if_over(const RequestContext& context) {
  if (context.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
  if (std::chrono::steady_clock::now() >= context.deadline) {
    throw Error(ErrorKind::TimedOut, "too late");
  }
}

}  // namespace

/// Shared by the store and its files.
class FakeStore::Core : public std::enable_shared_from_this<FakeStore::Core> {
 public:
  struct File {
    std::mutex mutex;
    Version pinned;  // guarded by mutex
  };

  struct Job {
    FakeRead read;
    std::shared_ptr<ReadSink> sink;
    RequestContext context;
    std::shared_ptr<File> file;
    // once answered
    bool answered = false;
    FakeAnswer answer;
    std::shared_ptr<const std::string> body;
    std::uint64_t next = 0;
    std::uint64_t end = 0;
    std::uint64_t sent = 0;
    std::optional<std::stop_callback<std::function<void()>>> stop_watch;
  };

  struct Failure {
    int times = 0;
    Error error{ErrorKind::Internal, ""};
  };

  Core() : thread_([this] { run(); }) {}

  void shut_down() {
    {
      const std::lock_guard lock(mutex);
      if (--stores > 0) return;
    }
    {
      const std::lock_guard lock(mutex);
      stopping_ = true;
    }
    changed.notify_all();
    thread_.join();
  }

  void start(RemotePath path, std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
             const RequestContext& context, std::shared_ptr<File> file) {
    auto job = std::make_shared<Job>();
    job->sink = std::move(sink);
    job->context = context;
    job->file = std::move(file);
    job->stop_watch.emplace(context.stop, [weak = weak_from_this()] {
      if (const auto core = weak.lock()) core->changed.notify_all();
    });
    bool is_closed = false;
    {
      const std::lock_guard lock(mutex);
      is_closed = stopping_;
      ++calls[FakeCall::Read];
      job->read = {std::move(path), range, calls[FakeCall::Read]};
      reads.push_back(job->read);
      if (!is_closed) {
        jobs_.push_back(job);
        most_at_once = std::max(most_at_once, ++live_);
      }
    }
    if (is_closed) {
      const Error closed(ErrorKind::Cancelled, "the store is closed");
      return job->sink->finish(&closed);
    }
    changed.notify_all();
  }

  void count_and_fail(FakeCall call, const RequestContext& context) {
    throw_if_over(context);
    const std::lock_guard lock(mutex);
    ++calls[call];
    throw_if_planned(failures[call]);
  }

  static void throw_if_planned(Failure& failure) {
    if (failure.times == 0) return;
    --failure.times;
    throw failure.error;
  }

  /// mutex must be held.
  const Node& node(const RemotePath& path) const {
    const auto found = nodes.find(path);
    if (found == nodes.end()) {
      throw Error(ErrorKind::NotFound, "fake:/" + path.text() + ": not found");
    }
    return found->second;
  }

  /// mutex must be held.
  void set(const RemotePath& path, Node node) {
    if (!path.is_root()) {
      for (RemotePath parent = path.parent(); !parent.is_root(); parent = parent.parent()) {
        nodes.try_emplace(parent);
      }
    }
    nodes.insert_or_assign(path, std::move(node));
  }

  Node new_file(std::string content) {
    ++versions_;
    Node node;
    node.kind = EntryKind::File;
    node.version.etag = "\"v" + std::to_string(versions_) + "\"";
    node.version.modified = FileTime(std::chrono::seconds(1'700'000'000 + versions_));
    node.version.size = content.size();
    node.content = std::make_shared<const std::string>(std::move(content));
    return node;
  }

  Version told(const Node& node) const {
    Version version;
    if (validators) version = node.version;
    version.size = sizes ? node.version.size : std::nullopt;
    return version;
  }

  Entry entry_of(std::string name, const Node& node) const {
    Entry entry;
    entry.name = std::move(name);
    entry.kind = node.kind;
    if (node.kind == EntryKind::Directory) return entry;
    const Version version = told(node);
    entry.size = version.size;
    entry.etag = version.etag;
    entry.modified = version.modified;
    entry.modified_is_exact = true;
    return entry;
  }

  /// mutex must be held.
  bool is_idle() const {
    return !is_serving_ && std::none_of(jobs_.begin(), jobs_.end(),
                                        [this](const auto& job) { return is_ready(*job); });
  }

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  // guarded by mutex
  int stores = 0;  ///< that are open on this tree
  std::map<RemotePath, Node> nodes{{RemotePath{}, Node{}}};
  std::map<RemotePath, Checksum> checksums;
  std::map<FakeCall, Failure> failures;
  std::map<FakeCall, int> calls;
  Failure upload_break;
  std::uint64_t upload_break_after = 0;
  std::function<FakeAnswer(const FakeRead&)> plan;
  std::vector<FakeRead> reads;
  int most_at_once = 0;
  bool ranges = true;
  bool sizes = true;
  bool list_sizes = true;
  bool validators = true;
  bool uploads = true;
  bool trees = false;
  bool held = false;
  std::optional<std::uint64_t> allowance;
  std::size_t piece = 16 << 10;

 private:
  static bool is_over(const Job& job) {
    return job.context.stop.stop_requested() ||
           std::chrono::steady_clock::now() >= job.context.deadline;
  }

  /// mutex must be held.
  bool is_ready(const Job& job) const {
    if (stopping_ || is_over(job)) return true;
    return job.answered ? !allowance || *allowance > 0 : !held;
  }

  /// mutex must be held. The next job that can make a step, if any.
  std::shared_ptr<Job> take_ready() {
    const auto ready = std::find_if(jobs_.begin(), jobs_.end(),
                                    [this](const auto& job) { return is_ready(*job); });
    if (ready == jobs_.end()) return nullptr;
    auto job = *ready;
    jobs_.erase(ready);
    return job;
  }

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      auto job = take_ready();
      if (!job) {
        if (stopping_) return;
        changed.notify_all();  // who waits for idleness
        // Stops notify without the lock: the time limit makes up for one that comes just before.
        changed.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      const bool is_stopping = stopping_;
      is_serving_ = true;
      lock.unlock();
      const bool goes_on = step(*job, is_stopping);
      lock.lock();
      is_serving_ = false;
      if (goes_on) jobs_.push_back(std::move(job));
    }
  }

  /// One piece or the answer's head. False when the read has ended.
  bool step(Job& job, bool is_stopping) {
    try {
      if (is_stopping) throw Error(ErrorKind::Cancelled, "the store is closed");
      throw_if_over(job.context);
      if (!job.answered) {
        answer(job);
      } else {
        deliver(job);
      }
      if (job.next < job.end || breaks_at_once(job)) return true;
      end(job, nullptr);
    } catch (const Error& error) {
      end(job, &error);
    }
    return false;
  }

  void end(Job& job, const Error* error) {
    job.stop_watch.reset();
    {
      const std::lock_guard lock(mutex);
      --live_;
    }
    job.sink->finish(error);
  }

  static bool breaks_at_once(const Job& job) {
    return job.answer.break_after && job.sent >= *job.answer.break_after;
  }

  void answer(Job& job) {
    const ReadAnswer head = look_up(job);
    pin(*job.file, head.version);
    job.answered = true;
    if (!job.sink->begin(head)) throw Error(ErrorKind::Cancelled, "not wanted");
  }

  ReadAnswer look_up(Job& job) {
    std::function<FakeAnswer(const FakeRead&)> plan_now;
    {
      const std::lock_guard lock(mutex);
      throw_if_planned(failures[FakeCall::Read]);
      plan_now = plan;
    }
    if (plan_now) job.answer = plan_now(job.read);
    if (job.answer.refusal) throw Error(*job.answer.refusal);
    const std::lock_guard lock(mutex);
    const Node& found = node(job.read.path);
    if (found.kind == EntryKind::Directory) {
      throw Error(ErrorKind::Unsupported, "fake:/" + job.read.path.text() + ": is a directory");
    }
    job.body = job.answer.content ? std::make_shared<const std::string>(*job.answer.content)
                                  : found.content;
    ReadAnswer head;
    head.ranges_supported = ranges && !job.answer.ignore_range;
    head.is_range = job.read.range && head.ranges_supported;
    head.version = job.answer.version ? *job.answer.version : told(found);
    head.content_type = "application/octet-stream";
    job.end = job.body->size();
    if (head.is_range) {
      job.next = head.offset = job.read.range->begin;
      job.end = std::min<std::uint64_t>(job.end, job.read.range->end);
    }
    return head;
  }

  static void pin(File& file, const Version& told_version) {
    const std::lock_guard lock(file.mutex);
    if (!file.pinned.may_equal(told_version)) {
      throw Error(ErrorKind::ChangedRemotely, "the file changed while it was read");
    }
    file.pinned.complete_from(told_version);
  }

  void deliver(Job& job) {
    if (breaks_at_once(job)) throw Error(job.answer.break_error);
    std::uint64_t count = job.end - job.next;
    if (job.answer.break_after) count = std::min(count, *job.answer.break_after - job.sent);
    count = allowed_piece(count);
    const auto* bytes = reinterpret_cast<const std::byte*>(job.body->data()) + job.next;
    const std::uint64_t offset = job.next;
    job.next += count;
    job.sent += count;
    if (!job.sink->receive(offset, {bytes, static_cast<std::size_t>(count)})) {
      throw Error(ErrorKind::Cancelled, "not wanted");
    }
  }

  std::uint64_t allowed_piece(std::uint64_t most) {
    const std::lock_guard lock(mutex);
    std::uint64_t count = std::min<std::uint64_t>(most, piece);
    if (allowance) {
      count = std::min(count, *allowance);
      *allowance -= count;
    }
    return count;
  }

  // guarded by mutex
  std::deque<std::shared_ptr<Job>> jobs_;
  bool is_serving_ = false;
  int live_ = 0;  ///< reads that have not ended
  int versions_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

namespace {

class FakeFile final : public RemoteFile {
 public:
  FakeFile(std::shared_ptr<FakeStore::Core> core, RemotePath path, const Version& known)
      : core_(std::move(core)),
        path_(std::move(path)),
        file_(std::make_shared<FakeStore::Core::File>()) {
    file_->pinned = known;
  }

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    core_->start(path_, range, std::move(sink), context, file_);
  }

  Version version() const override {
    const std::lock_guard lock(file_->mutex);
    return file_->pinned;
  }

 private:
  const std::shared_ptr<FakeStore::Core> core_;
  const RemotePath path_;
  const std::shared_ptr<FakeStore::Core::File> file_;
};

}  // namespace

FakeStore::FakeStore() : core_(std::make_shared<Core>()) { core_->stores = 1; }

FakeStore::FakeStore(const FakeStore& tree, std::string_view root)
    : core_(tree.core_), root_(path_of(root)) {
  const std::lock_guard lock(core_->mutex);
  ++core_->stores;
}

FakeStore::~FakeStore() { core_->shut_down(); }

RemotePath FakeStore::in_tree(const RemotePath& path) const {
  RemotePath whole = root_;
  for (const std::string_view name : path.components()) whole = whole.child(name);
  return whole;
}

void FakeStore::set_file(std::string_view path, std::string content) {
  const std::lock_guard lock(core_->mutex);
  core_->set(path_of(path), core_->new_file(std::move(content)));
}

void FakeStore::make_directory(std::string_view path) {
  const std::lock_guard lock(core_->mutex);
  core_->set(path_of(path), Node{});
}

void FakeStore::set_modified(std::string_view path, FileTime modified) {
  const std::lock_guard lock(core_->mutex);
  core_->nodes.at(path_of(path)).version.modified = modified;
}

void FakeStore::remove(std::string_view path) {
  const std::lock_guard lock(core_->mutex);
  const std::string below = std::string(path) + "/";
  std::erase_if(core_->nodes, [&](const auto& node) {
    return node.first.text() == path || node.first.text().starts_with(below);
  });
}

std::optional<std::string> FakeStore::content_of(std::string_view path) const {
  const std::lock_guard lock(core_->mutex);
  const auto found = core_->nodes.find(path_of(path));
  if (found == core_->nodes.end() || !found->second.content) return std::nullopt;
  return *found->second.content;
}

std::vector<std::string> FakeStore::paths() const {
  const std::lock_guard lock(core_->mutex);
  std::vector<std::string> all;
  for (const auto& [path, node] : core_->nodes) {
    if (path.is_root()) continue;
    all.push_back(path.text() + (node.kind == EntryKind::Directory ? "/" : ""));
  }
  return all;
}

void FakeStore::serve_ranges(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->ranges = yes;
}

void FakeStore::tell_sizes(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->sizes = yes;
}

void FakeStore::tell_checksum(std::string_view path, Checksum checksum) {
  const std::lock_guard lock(core_->mutex);
  core_->checksums[path_of(path)] = std::move(checksum);
}

void FakeStore::tell_list_sizes(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->list_sizes = yes;
}

void FakeStore::tell_validators(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->validators = yes;
}

void FakeStore::take_trees(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->trees = yes;
}

void FakeStore::take_uploads(bool yes) {
  const std::lock_guard lock(core_->mutex);
  core_->uploads = yes;
}

void FakeStore::deliver_pieces_of(std::size_t bytes) {
  const std::lock_guard lock(core_->mutex);
  core_->piece = bytes;
}

void FakeStore::fail_next(FakeCall call, int times, const Error& error) {
  const std::lock_guard lock(core_->mutex);
  core_->failures.insert_or_assign(call, Core::Failure{times, error});
}

void FakeStore::break_next_uploads(std::uint64_t bytes, int times, const Error& error) {
  const std::lock_guard lock(core_->mutex);
  core_->upload_break = {times, error};
  core_->upload_break_after = bytes;
}

void FakeStore::answer_reads_with(std::function<FakeAnswer(const FakeRead&)> plan) {
  const std::lock_guard lock(core_->mutex);
  core_->plan = std::move(plan);
}

void FakeStore::hold_reads() {
  const std::lock_guard lock(core_->mutex);
  core_->held = true;
}

void FakeStore::release_reads() {
  {
    const std::lock_guard lock(core_->mutex);
    core_->held = false;
  }
  core_->changed.notify_all();
}

void FakeStore::wait_for_reads(int count) const {
  std::unique_lock lock(core_->mutex);
  core_->changed.wait(lock, [&] { return static_cast<int>(core_->reads.size()) >= count; });
}

void FakeStore::allow_bytes(std::uint64_t more) {
  {
    const std::lock_guard lock(core_->mutex);
    core_->allowance = core_->allowance.value_or(0) + more;
  }
  core_->changed.notify_all();
}

void FakeStore::wait_until_idle() const {
  std::unique_lock lock(core_->mutex);
  core_->changed.wait(lock, [this] { return core_->is_idle(); });
}

std::vector<FakeRead> FakeStore::reads() const {
  const std::lock_guard lock(core_->mutex);
  return core_->reads;
}

int FakeStore::count_of(FakeCall call) const {
  const std::lock_guard lock(core_->mutex);
  return core_->calls[call];
}

int FakeStore::most_reads_at_once() const {
  const std::lock_guard lock(core_->mutex);
  return core_->most_at_once;
}

std::optional<Entry> FakeStore::stat(const RemotePath& path, const RequestContext& context) {
  core_->count_and_fail(FakeCall::Stat, context);
  const std::lock_guard lock(core_->mutex);
  const auto found = core_->nodes.find(in_tree(path));
  if (found == core_->nodes.end()) return std::nullopt;
  return core_->entry_of(std::string(path.name()), found->second);
}

std::vector<Entry> FakeStore::list(const RemotePath& directory, const RequestContext& context) {
  core_->count_and_fail(FakeCall::List, context);
  const RemotePath listed = in_tree(directory);
  const std::lock_guard lock(core_->mutex);
  if (core_->node(listed).kind == EntryKind::File) {
    throw Error(ErrorKind::Unsupported, location(directory) + ": is not a directory");
  }
  std::vector<Entry> entries;
  const std::string prefix = listed.is_root() ? "" : listed.text() + "/";
  for (auto node = core_->nodes.upper_bound(listed); node != core_->nodes.end(); ++node) {
    const std::string& text = node->first.text();
    if (!text.starts_with(prefix)) {
      if (text > prefix) break;
      continue;  // "a.txt" sorts between "a" and "a/b"
    }
    if (text.find('/', prefix.size()) != std::string::npos) continue;
    entries.push_back(core_->entry_of(std::string(node->first.name()), node->second));
    const auto checksum = core_->checksums.find(node->first);
    if (checksum != core_->checksums.end()) entries.back().checksum = checksum->second;
    if (!core_->list_sizes) entries.back().size.reset();
  }
  return entries;
}

std::shared_ptr<RemoteFile> FakeStore::open(const RemotePath& path, const Version& known) {
  return std::make_shared<FakeFile>(core_, in_tree(path), known);
}

std::string FakeStore::location(const RemotePath& path) const {
  return "fake:/" + in_tree(path).text();
}

void FakeStore::check(Purpose purpose, const RequestContext& context) {
  core_->count_and_fail(FakeCall::Check, context);
  const bool sends = purpose == Purpose::SendFile || purpose == Purpose::SendDir;
  const bool is_for_file = purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
  const EntryKind kind = is_for_file ? EntryKind::File : EntryKind::Directory;
  const std::lock_guard lock(core_->mutex);
  if (sends && !core_->nodes.contains(root_)) return;
  if (core_->node(root_).kind != kind) {
    throw Error(ErrorKind::Unsupported,
                location({}) + ": is " + (is_for_file ? "a directory" : "a file"));
  }
}

Examination FakeStore::examination() {
  Examination examination;
  examination.steps.push_back(
      {.what = "connection",
       .limit = std::chrono::seconds(10),
       .run = [this](const RequestContext& context) -> std::optional<Finding> {
         core_->count_and_fail(FakeCall::Examine, context);
         return Finding{FindingStatus::Ok, "in memory"};
       }});
  examination.small_request = [this](const RequestContext& context) { stat({}, context); };
  examination.listing_format = [] { return std::string("a map in memory"); };
  return examination;
}

Uploader* FakeStore::uploader() {
  const std::lock_guard lock(core_->mutex);
  return core_->uploads ? this : nullptr;
}

TreeUploader* FakeStore::tree_uploader() {
  const std::lock_guard lock(core_->mutex);
  return core_->trees ? this : nullptr;
}

void FakeStore::upload_tree(const std::vector<FileToSend>& files,
                            const std::function<void(std::int64_t)>& on_sent,
                            const RequestContext& context) {
  core_->count_and_fail(FakeCall::UploadTree, context);
  for (const FileToSend& file : files) {
    std::string content(static_cast<std::size_t>(file.size), '\0');
    const auto source = file.open();
    source->read_at(0, std::as_writable_bytes(std::span(content)));
    on_sent(static_cast<std::int64_t>(file.size));
    const std::lock_guard lock(core_->mutex);
    core_->set(in_tree(file.path), core_->new_file(std::move(content)));
  }
}

void FakeStore::upload(const RemotePath& path, ByteSource& source, const LocalAttributes&,
                       const RequestContext& context) {
  core_->count_and_fail(FakeCall::Upload, context);
  std::string content(static_cast<std::size_t>(source.size()), '\0');
  for (std::uint64_t offset = 0; offset < content.size();) {
    throw_if_over(context);
    {
      const std::lock_guard lock(core_->mutex);
      if (offset >= core_->upload_break_after) Core::throw_if_planned(core_->upload_break);
    }
    const auto room = std::min<std::uint64_t>(content.size() - offset, kUploadPiece);
    auto* bytes = reinterpret_cast<std::byte*>(content.data()) + offset;
    const std::size_t count = source.read_at(offset, {bytes, static_cast<std::size_t>(room)});
    if (count == 0) throw Error(ErrorKind::LocalIo, "the source ended early");
    offset += count;
  }
  const std::lock_guard lock(core_->mutex);
  check_place(path, EntryKind::File);
  core_->set(in_tree(path), core_->new_file(std::move(content)));
}

bool FakeStore::make_directory(const RemotePath& path, const LocalAttributes&,
                               const RequestContext& context) {
  core_->count_and_fail(FakeCall::MakeDirectory, context);
  const std::lock_guard lock(core_->mutex);
  check_place(path, EntryKind::Directory);
  const bool is_new = !core_->nodes.contains(in_tree(path));
  core_->set(in_tree(path), Node{});
  return is_new;
}

void FakeStore::finish_directory(const RemotePath& path, const LocalAttributes&,
                                 const RequestContext& context) {
  core_->count_and_fail(FakeCall::FinishDirectory, context);
  const std::lock_guard lock(core_->mutex);
  core_->node(in_tree(path));
}

/// Whether something of that kind can be made or replaced there; the mutex must be held.
void FakeStore::check_place(const RemotePath& path, EntryKind kind) const {
  if (!path.is_root() && core_->node(in_tree(path.parent())).kind == EntryKind::File) {
    throw Error(ErrorKind::NotFound, location(path.parent()) + ": is not a directory");
  }
  const bool is_nothing_yet = in_tree(path).is_root() && core_->nodes.size() == 1;
  const auto existing = core_->nodes.find(in_tree(path));
  if (!is_nothing_yet && existing != core_->nodes.end() && existing->second.kind != kind) {
    throw Error(ErrorKind::AlreadyExists,
                location(path) + ": is " + (kind == EntryKind::File ? "a directory" : "a file"));
  }
}

}  // namespace red::testing
