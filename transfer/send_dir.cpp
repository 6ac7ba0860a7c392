#include "transfer/send_dir.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/worker_pool.h"
#include "transfer/listing_comparison.h"
#include "transfer/local_files.h"
#include "transfer/local_walk.h"
#include "transfer/progress_source.h"
#include "transfer/task_group.h"

namespace red {
namespace {

constexpr int kMostUploads = 256;
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
    group_.wait();
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
      group_.wait();
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
      listing != nullptr
          ? compare_with_listing(source, *listing, "sending " + source.string(), stop)
          : walk_local_tree(source);
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
