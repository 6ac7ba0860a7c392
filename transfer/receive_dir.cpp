#include "transfer/receive_dir.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/worker_pool.h"
#include "transfer/file_reception.h"
#include "transfer/local_tree.h"
#include "transfer/task_group.h"

namespace red {
namespace {

constexpr std::chrono::milliseconds kTick{250};
constexpr int kMostReads = 256;
constexpr int kMostLists = 32;
// Making files is short work in the kernel, much of it under one lock per directory.
constexpr std::size_t kWriterThreads = 4;
// Listing pauses while so many files wait: memory stays bounded however large the tree is.
constexpr std::size_t kEnoughFiles = 50'000;
// No honest tree is that deep or large; a server that links back to itself is.
constexpr std::size_t kMaxDepth = 256;
constexpr std::uint64_t kMaxEntries = 10'000'000;

void check(const LocalTarget& received, const Checksum& expected) {
  const std::string digest = received.digest(expected.algorithm);
  if (digest == expected.hex) return;
  throw Error(ErrorKind::Integrity, "its " + std::string(name_of(expected.algorithm)) + " is " +
                                        digest + ", expected is " + expected.hex);
}

struct WantedFile {
  RemotePath path;
  Version known;
  std::optional<std::uint64_t> size;
  std::optional<Checksum> checksum;
  std::optional<std::uint32_t> mode;
};

/// The work of one receive_dir: directories are listed by some threads, files are read without
/// threads, and finished by others.
class TreeReceiver {
 public:
  TreeReceiver(RemoteStore& store, const std::filesystem::path& target, Progress& progress,
               std::stop_token stop)
      : store_(store),
        progress_(progress),
        max_reads_(std::clamp(store.parallelism(), 1, kMostReads)),
        max_lists_(std::clamp(store.parallelism(), 1, kMostLists)),
        tree_(target),
        group_(std::move(stop)),
        writers_(kWriterThreads),
        listers_(static_cast<std::size_t>(max_lists_)) {}

  void receive(const Listing* listing) {
    if (listing != nullptr) {
      want_listed({}, *listing);
    } else {
      directories_.emplace_back();
    }
    start_lists();
    start_files();
    while (!group_.wait_for(kTick)) tick();
    discard_unfinished();
    throw_if_failed();
    finish_directories();
    tree_.sync();
  }

 private:
  using JobId = std::uint64_t;
  struct Job {
    WantedFile wanted;
    std::shared_ptr<RemoteFile> file;
    std::shared_ptr<FileReception> reception;
  };

  void want_listed(const RemotePath& directory, const Listing& listing);
  void start_lists();
  std::optional<RemotePath> next_directory();
  void list(const RemotePath& directory);
  void want_entries(const RemotePath& directory, std::vector<Entry> entries);
  void count_entries(const RemotePath& directory, std::size_t count);

  void start_files();
  std::optional<WantedFile> next_file();
  void start(WantedFile wanted);
  void complete(JobId id);
  Job take(JobId id);
  void discard_unfinished();
  void throw_if_failed();
  void finish_directories();
  void tick();
  void tick_one(JobId id);

  // set once
  RemoteStore& store_;
  Progress& progress_;
  const SteadyClock clock_;
  const int max_reads_;
  const int max_lists_;
  LocalTree tree_;
  TaskGroup group_;
  std::atomic<JobId> next_job_{0};

  std::mutex mutex_;
  // guarded by mutex_
  std::vector<RemotePath> directories_;  ///< to be listed, the last first
  std::vector<std::pair<RemotePath, LocalAttributes>> made_directories_;  ///< parents first
  std::deque<WantedFile> files_;  ///< to be read, the first first
  std::map<JobId, Job> jobs_;     ///< being read
  int listing_ = 0;
  int reading_ = 0;
  std::uint64_t entries_ = 0;

  // Last: their threads use all of the above.
  WorkerPool writers_;
  WorkerPool listers_;
};

/// Makes the directories of a CWL listing and wants its files. Before any thread starts.
void TreeReceiver::want_listed(const RemotePath& directory, const Listing& listing) {
  for (const ListingEntry& entry : listing) {
    RemotePath path = directory.child(entry.basename);
    if (entry.kind == ListingEntry::Kind::Directory) {
      tree_.directory(path);
      want_listed(path, entry.children);
      continue;
    }
    progress_.expect(1, entry.size.value_or(0));
    std::optional<Checksum> checksum;
    if (entry.sha1) checksum = Checksum{DigestAlgorithm::Sha1, *entry.sha1};
    files_.push_back({std::move(path), {}, entry.size, std::move(checksum), {}});
  }
}

void TreeReceiver::start_lists() {
  while (auto directory = next_directory()) {
    group_.run(listers_, [this, path = std::move(*directory)] { list(path); });
  }
}

std::optional<RemotePath> TreeReceiver::next_directory() {
  const std::lock_guard lock(mutex_);
  if (directories_.empty() || listing_ >= max_lists_ || files_.size() >= kEnoughFiles) {
    return std::nullopt;
  }
  ++listing_;
  RemotePath directory = std::move(directories_.back());
  directories_.pop_back();
  return directory;
}

void TreeReceiver::list(const RemotePath& directory) {
  RequestContext context;
  context.stop = group_.stop();
  try {
    auto entries = store_.list(directory, context);
    count_entries(directory, entries.size());
    tree_.directory(directory);
    want_entries(directory, std::move(entries));
  } catch (const Error& error) {
    throw error.within("receiving " + store_.location(directory));
  }
  start_files();
  start_lists();
}

void TreeReceiver::count_entries(const RemotePath& directory, std::size_t count) {
  if (directory.components().size() >= kMaxDepth) {
    throw Error(ErrorKind::Protocol, "more than " + std::to_string(kMaxDepth) +
                                         " directories inside each other: the tree has a loop");
  }
  const std::lock_guard lock(mutex_);
  entries_ += count;
  if (entries_ > kMaxEntries) {
    throw Error(ErrorKind::Protocol,
                "the tree has more than " + std::to_string(kMaxEntries) + " files and directories");
  }
}

void TreeReceiver::want_entries(const RemotePath& directory, std::vector<Entry> entries) {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    --listing_;
    for (const Entry& entry : entries) {
      RemotePath path = directory.child(entry.name);
      if (entry.kind == EntryKind::Directory) {
        if (entry.mode) {
          made_directories_.emplace_back(path, LocalAttributes{entry.mode, entry.modified});
        }
        directories_.push_back(std::move(path));
        continue;
      }
      ++files;
      bytes += entry.size.value_or(0);
      files_.push_back({std::move(path), entry.version(), entry.size, entry.checksum, entry.mode});
    }
  }
  progress_.expect(files, bytes);
}

void TreeReceiver::start_files() {
  while (auto file = next_file()) {
    group_.run(writers_, [this, wanted = std::move(*file)] { start(wanted); });
  }
}

std::optional<WantedFile> TreeReceiver::next_file() {
  const std::lock_guard lock(mutex_);
  if (files_.empty() || reading_ >= max_reads_) return std::nullopt;
  ++reading_;
  WantedFile file = std::move(files_.front());
  files_.pop_front();
  return file;
}

void TreeReceiver::start(WantedFile wanted) {
  auto target = tree_.new_file(wanted.path);
  auto file = store_.open(wanted.path, wanted.known);
  const JobId id = next_job_++;
  FileReception::Callbacks callbacks{
      .on_read_ended = [this, id] { group_.run(writers_, [this, id] { tick_one(id); }); },
      .on_done =
          [this, id] {
            group_.run(writers_, [this, id] { complete(id); });
            group_.end();
          }};
  const auto reception =
      std::make_shared<FileReception>(file, std::move(target), wanted.size, wanted.mode, max_reads_,
                                      progress_, clock_, group_.stop(), std::move(callbacks));
  {
    const std::lock_guard lock(mutex_);
    jobs_.emplace(id, Job{std::move(wanted), std::move(file), reception});
  }
  group_.begin();
  reception->start();
}

void TreeReceiver::complete(JobId id) {
  const Job job = take(id);
  const auto target = job.reception->take_target();
  try {
    if (job.reception->result()) throw Error(*job.reception->result());
    if (job.wanted.checksum) check(*target, *job.wanted.checksum);
    target->commit();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Integrity) job.file->distrust();
    throw error.within("receiving " + job.wanted.path.text());
  }
  progress_.file_done();
  if (auto next = next_file()) start(std::move(*next));
  start_lists();
}

TreeReceiver::Job TreeReceiver::take(JobId id) {
  const std::lock_guard lock(mutex_);
  --reading_;
  return std::move(jobs_.extract(id).mapped());
}

/// After a failure: the files that were being read leave nothing behind.
void TreeReceiver::discard_unfinished() {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, job] : jobs_) job.reception->take_target();
}

void TreeReceiver::throw_if_failed() {
  try {
    group_.throw_if_failed();
  } catch (...) {
    tree_.remove_if_unused();
    throw;
  }
}

/// Last, since they may forbid what was still to be written; children before their parents, which
/// may forbid to get there.
void TreeReceiver::finish_directories() {
  for (auto made = made_directories_.rbegin(); made != made_directories_.rend(); ++made) {
    const auto& [path, attributes] = *made;
    apply_attributes(tree_.directory(path)->get(), attributes, path.text());
  }
}

void TreeReceiver::tick() {
  std::vector<JobId> ids;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, job] : jobs_) ids.push_back(id);
  }
  for (const JobId id : ids) tick_one(id);
}

/// Files that wait for their turn come first; without any, those that are left share the reads.
void TreeReceiver::tick_one(JobId id) {
  std::shared_ptr<FileReception> reception;
  int max_reads = 1;
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    reception = found->second.reception;
    if (files_.empty()) max_reads = std::max(1, max_reads_ / static_cast<int>(jobs_.size()));
  }
  reception->tick(max_reads);
}

}  // namespace

void receive_dir(RemoteStore& store, const std::filesystem::path& target, const Listing* listing,
                 Progress& progress, std::stop_token stop) {
  TreeReceiver(store, target, progress, std::move(stop)).receive(listing);
}

}  // namespace red
