#include "fuse/open_file.h"

#include <algorithm>
#include <utility>

namespace red {
namespace {

// Two bandwidth-delay products of 1 Gbit/s at 100 ms, and enough parallel pieces for faster links.
constexpr std::uint64_t kMaxWindow = 32 * 1024 * 1024;

}  // namespace

std::uint64_t ReadAheadBudget::share() const {
  const std::uint32_t streams = std::max(streams_.load(std::memory_order_relaxed), 1U);
  return std::min(kMaxWindow, bytes_ / streams);
}

OpenFile::OpenFile(std::shared_ptr<CachedFile> file, std::string path, ReadAheadBudget* budget)
    : file_(std::move(file)), path_(std::move(path)), budget_(budget) {}

OpenFile::~OpenFile() {
  stop_.request_stop();
  if (is_stream_) budget_->remove_stream();
}

std::function<void(const Error&)> OpenFile::read(ByteRange range,
                                                 CachedFile::Completion completion) {
  auto abandon = file_->read(range, std::move(completion));
  if (budget_ != nullptr) read_ahead(range);
  return abandon;
}

void OpenFile::read_ahead(ByteRange range) {
  const auto size = file_->size();
  if (!size) return;
  std::optional<ByteRange> ahead;
  std::optional<ByteRange> behind;
  {
    const std::lock_guard lock(mutex_);
    ahead = policy_.observe(range, *size, {budget_->share()});
    behind = policy_.left_behind();
    if (!is_stream_ && policy_.is_sequential()) {
      is_stream_ = true;
      budget_->add_stream();
    }
  }
  if (behind) file_->drop(*behind);
  if (ahead) file_->read_ahead(*ahead, stop_.get_token());
}

}  // namespace red
