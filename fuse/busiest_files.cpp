#include "fuse/busiest_files.h"

#include <algorithm>
#include <utility>

namespace red {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

void FileUse::add_read(std::uint64_t bytes, Duration waited) noexcept {
  reads_.fetch_add(1, kRelaxed);
  bytes_.fetch_add(bytes, kRelaxed);
  if (waited != Duration::zero()) waited_.fetch_add(waited.count(), kRelaxed);
}

FileReads FileUse::reads() const {
  return {path_, reads_.load(kRelaxed), bytes_.load(kRelaxed), Duration(waited_.load(kRelaxed))};
}

std::shared_ptr<FileUse> BusiestFiles::open(std::string path) {
  std::shared_ptr<FileUse> use(new FileUse(std::move(path)), [this](FileUse* closing) {
    closed(closing);
    delete closing;
  });
  const std::lock_guard lock(mutex_);
  open_.insert(use.get());
  return use;
}

std::size_t BusiestFiles::open_count() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

void BusiestFiles::add(Remembered& to, const FileReads& reads) {
  to.reads.reads += reads.reads;
  to.reads.bytes += reads.bytes;
  to.reads.waited += reads.waited;
}

void BusiestFiles::closed(FileUse* use) {
  const FileReads reads = use->reads();
  const std::lock_guard lock(mutex_);
  open_.erase(use);
  if (reads.reads == 0) return;
  auto found = files_.find(reads.path);
  if (found == files_.end()) {
    const std::uint64_t inherited = files_.size() < max_remembered_ ? 0 : forget_least();
    found = files_.emplace(reads.path, Remembered{{.path = reads.path}, inherited}).first;
  }
  add(found->second, reads);
}

/// Returns the bytes that the next one inherits: it may have been forgotten with that many.
std::uint64_t BusiestFiles::forget_least() {
  const auto weight = [](const Files::value_type& file) {
    return file.second.reads.bytes + file.second.inherited;
  };
  const auto least = std::ranges::min_element(files_, {}, weight);
  const std::uint64_t bytes = weight(*least);
  files_.erase(least);
  return bytes;
}

std::vector<FileReads> BusiestFiles::busiest(std::size_t count) const {
  Files files;
  {
    const std::lock_guard lock(mutex_);
    files = files_;
    for (const FileUse* use : open_) {
      const FileReads reads = use->reads();
      if (reads.reads == 0) continue;
      Remembered& file = files[reads.path];
      file.reads.path = reads.path;
      add(file, reads);
    }
  }
  std::vector<FileReads> busiest;
  busiest.reserve(files.size());
  for (auto& [path, file] : files) busiest.push_back(std::move(file.reads));
  std::ranges::sort(busiest, [](const FileReads& one, const FileReads& other) {
    return one.bytes != other.bytes ? one.bytes > other.bytes : one.path < other.path;
  });
  if (busiest.size() > count) busiest.resize(count);
  return busiest;
}

}  // namespace red
