#include "transfer/listing_comparison.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/worker_pool.h"
#include "transfer/local_files.h"
#include "transfer/task_group.h"

namespace red {
namespace {

constexpr std::size_t kHashThreads = 4;
constexpr std::size_t kMostShownProblems = 20;

class ListingComparison {
 public:
  explicit ListingComparison(std::stop_token stop) : group_(std::move(stop)), pool_(kHashThreads) {}

  LocalNode compare(const std::filesystem::path& directory, const Listing& listing,
                    std::string_view what) {
    LocalNode tree = look_at_local(directory, {});
    if (!tree.is_directory) throw Error::local_io(ENOTDIR, "reading " + directory.string());
    add_children(tree, listing);
    group_.wait();
    if (!problems_.empty()) throw Error(ErrorKind::Integrity, report(what));
    return tree;
  }

 private:
  void add_children(LocalNode& directory, const Listing& listing) {
    for (const ListingEntry& entry : listing) {
      try {
        add(directory, entry);
      } catch (const Error& error) {
        add_problem(relative(error, directory, entry));
      }
    }
  }

  /// What is wrong with an entry, told by its path in the listing.
  static std::string relative(const Error& error, const LocalNode& directory,
                              const ListingEntry& entry) {
    const std::string local = "reading " + (directory.local / entry.basename).string();
    if (!error.message().starts_with(local)) return error.message();
    return directory.path.child(entry.basename).text() + error.message().substr(local.size());
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
      const std::string sha1 = sha1_of_file(local, group_.stop());
      if (sha1 != expected) {
        add_problem(path.text() + ": its SHA-1 is " + sha1 + ", expected is " + expected);
      }
    });
  }

  void add_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    problems_.push_back(std::move(problem));
  }

  std::string report(std::string_view what) {
    std::sort(problems_.begin(), problems_.end());
    std::string text = std::string(what) + ": it is not what the listing says";
    const std::size_t shown = std::min(problems_.size(), kMostShownProblems);
    for (std::size_t i = 0; i < shown; ++i) text += "\n  " + problems_[i];
    if (shown < problems_.size()) {
      text += "\n  and " + std::to_string(problems_.size() - shown) + " more";
    }
    return text;
  }

  TaskGroup group_;

  std::mutex mutex_;
  std::vector<std::string> problems_;  // guarded by mutex_

  WorkerPool pool_;  // last: its threads use all of the above
};

}  // namespace

LocalNode compare_with_listing(const std::filesystem::path& directory, const Listing& listing,
                               std::string_view what, std::stop_token stop) {
  return ListingComparison(std::move(stop)).compare(directory, listing, what);
}

}  // namespace red
