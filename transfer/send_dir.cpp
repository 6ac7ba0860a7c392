#include "transfer/send_dir.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/worker_pool.h"
#include "transfer/local_files.h"
#include "transfer/local_walk.h"
#include "transfer/progress_source.h"
#include "transfer/task_group.h"

namespace red {
namespace {

constexpr int kMostUploads = 256;
constexpr std::size_t kHashThreads = 4;
constexpr std::size_t kMostShownProblems = 20;
constexpr std::chrono::seconds kWaitStep{3600};

void wait_for_end(TaskGroup& group) {
  while (!group.wait_for(kWaitStep)) continue;
  group.throw_if_failed();
}

/// Compares a local directory with a listing and collects what the listing names, to be sent.
class ListingCheck {
 public:
  ListingCheck(const std::filesystem::path& source, std::stop_token stop)
      : source_(source), group_(std::move(stop)), pool_(kHashThreads) {}

  /// Throws Error{Integrity} with a line for each difference.
  LocalNode check(const Listing& listing) {
    LocalNode tree = look_at_local(source_, {});
    if (!tree.is_directory) throw Error::local_io(ENOTDIR, "reading " + source_.string());
    add_children(tree, listing);
    wait_for_end(group_);
    if (!problems_.empty()) throw Error(ErrorKind::Integrity, report());
    return tree;
  }

 private:
  void add_children(LocalNode& directory, const Listing& listing) {
    for (const ListingEntry& entry : listing) {
      try {
        add(directory, entry);
      } catch (const Error& error) {
        add_problem(error.message());
      }
    }
  }

  void add(LocalNode& directory, const ListingEntry& entry) {
    const bool wants_directory = entry.kind == ListingEntry::Kind::Directory;
    LocalNode node =
        look_at_local(directory.local / entry.basename, directory.path.child(entry.basename));
    if (node.is_directory != wants_directory) {
      return add_problem(node.path.text() +
                         (wants_directory ? ": is not a directory" : ": is a directory"));
    }
    if (wants_directory) {
      add_children(node, entry.children);
    } else {
      check_file(node, entry);
    }
    directory.children.push_back(std::move(node));
  }

  void check_file(const LocalNode& file, const ListingEntry& entry) {
    if (entry.size && *entry.size != file.size) {
      return add_problem(file.path.text() + ": its size is " + std::to_string(file.size) +
                         " bytes, expected are " + std::to_string(*entry.size));
    }
    if (!entry.sha1) return;
    group_.run(pool_, [this, path = file.path, local = file.local, expected = *entry.sha1] {
      const std::string sha1 = sha1_of_file(local);
      if (sha1 != expected) {
        add_problem(path.text() + ": its SHA-1 is " + sha1 + ", expected is " + expected);
      }
    });
  }

  void add_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    problems_.push_back(std::move(problem));
  }

  std::string report() {
    std::sort(problems_.begin(), problems_.end());
    std::string text = "sending " + source_.string() + ": it is not what the listing says";
    const std::size_t shown = std::min(problems_.size(), kMostShownProblems);
    for (std::size_t i = 0; i < shown; ++i) text += "\n  " + problems_[i];
    if (shown < problems_.size()) {
      text += "\n  and " + std::to_string(problems_.size() - shown) + " more";
    }
    return text;
  }

  const std::filesystem::path source_;
  TaskGroup group_;

  std::mutex mutex_;
  std::vector<std::string> problems_;  // guarded by mutex_

  WorkerPool pool_;  // last: its threads use all of the above
};

/// Sends a tree: a directory is made before what it holds and finished after it, everything else
/// is done at the same time.
class TreeSender {
 public:
  TreeSender(Uploader& uploader, int parallelism, Progress& progress, std::stop_token stop)
      : uploader_(uploader),
        progress_(progress),
        group_(std::move(stop)),
        pool_(static_cast<std::size_t>(std::clamp(parallelism, 1, kMostUploads))) {}

  /// `tree` must live until this returns.
  void send(const LocalNode& tree) {
    expect(tree);
    submit(tree);
    wait_for_end(group_);
    finish_directories();
  }

 private:
  void expect(const LocalNode& directory) {
    for (const LocalNode& node : directory.children) {
      node.is_directory ? expect(node) : progress_.expect(1, node.size);
    }
  }

  void submit(const LocalNode& node) {
    group_.run(pool_, [this, &node] {
      try {
        node.is_directory ? send_directory(node) : send_file(node);
      } catch (const Error& error) {
        throw error.within("sending " + node.local.string());
      }
    });
  }

  void send_directory(const LocalNode& directory) {
    const bool is_new = uploader_.make_directory(directory.path, directory.attributes, context());
    {
      const std::lock_guard lock(mutex_);
      const std::size_t depth = directory.path.components().size();
      if (made_.size() <= depth) made_.resize(depth + 1);
      made_[depth].emplace_back(&directory, is_new);
    }
    for (const LocalNode& node : directory.children) submit(node);
  }

  void send_file(const LocalNode& node) {
    FileSource file(node.local);
    ProgressSource counted(file, progress_);
    uploader_.upload(node.path, counted, file.attributes(), context());
    progress_.file_done();
  }

  /// Children before their parents, which may forbid to get there.
  void finish_directories() {
    for (auto level = made_.rbegin(); level != made_.rend(); ++level) {
      for (const auto& [directory, is_new] : *level) {
        group_.run(pool_, [this, directory = directory, is_new = is_new] {
          try {
            uploader_.finish_directory(
                directory->path, is_new ? directory->attributes : LocalAttributes(), context());
          } catch (const Error& error) {
            throw error.within("sending " + directory->local.string());
          }
        });
      }
      wait_for_end(group_);
    }
  }

  RequestContext context() const {
    RequestContext context;
    context.stop = group_.stop();
    return context;
  }

  Uploader& uploader_;
  Progress& progress_;
  TaskGroup group_;

  std::mutex mutex_;
  // guarded by mutex_
  std::vector<std::vector<std::pair<const LocalNode*, bool>>> made_;  ///< by depth; whether new

  WorkerPool pool_;  // last: its threads use all of the above
};

void collect_files(const LocalNode& directory, std::vector<FileToSend>& files) {
  for (const LocalNode& node : directory.children) {
    if (node.is_directory) {
      collect_files(node, files);
    } else {
      files.push_back({node.path, node.size,
                       [local = node.local] { return std::make_unique<FileSource>(local); }});
    }
  }
}

/// Sends a tree to a server that takes all of it at once.
void send_as_one(TreeUploader& uploader, const LocalNode& tree, Progress& progress,
                 std::stop_token stop) {
  std::vector<FileToSend> files;
  collect_files(tree, files);
  for (const FileToSend& file : files) progress.expect(1, file.size);
  RequestContext context;
  context.stop = std::move(stop);
  try {
    uploader.upload_tree(
        files, [&progress](std::int64_t bytes) { progress.advance(bytes); }, context);
  } catch (const Error& error) {
    throw error.within("sending " + tree.local.string());
  }
  for (std::size_t i = 0; i < files.size(); ++i) progress.file_done();
}

}  // namespace

void send_dir(RemoteStore& store, const std::filesystem::path& source, const Listing* listing,
              Progress& progress, std::stop_token stop) {
  const LocalNode tree =
      listing != nullptr ? ListingCheck(source, stop).check(*listing) : walk_local_tree(source);
  if (TreeUploader* trees = store.tree_uploader()) {
    return send_as_one(*trees, tree, progress, std::move(stop));
  }
  Uploader* uploader = store.uploader();
  if (uploader == nullptr) {
    throw Error(ErrorKind::Unsupported,
                "sending to " + store.location({}) + ": this protocol cannot send");
  }
  TreeSender(*uploader, store.parallelism(), progress, std::move(stop)).send(tree);
}

}  // namespace red
