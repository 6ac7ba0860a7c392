#include "fuse/open_file.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace red {
namespace {

// Two bandwidth-delay products of 1 Gbit/s at 100 ms, and enough parallel pieces for faster links.
constexpr std::uint64_t kMaxWindow = 32 * 1024 * 1024;

}  // namespace

std::uint64_t ReadAheadBudget::share() const {
  const std::uint32_t streams = std::max(streams_.load(std::memory_order_relaxed), 1U);
  return std::min(kMaxWindow, bytes_ / streams);
}

OpenFile::OpenFile(std::shared_ptr<CachedFile> file, std::shared_ptr<ContentCheck> check,
                   std::string path, ReadAheadBudget* budget, MountCounters& counters)
    : file_(std::move(file)),
      check_(std::move(check)),
      path_(std::move(path)),
      budget_(budget),
      counters_(counters),
      use_(counters.opened(path_)) {}

OpenFile::OpenFile(std::shared_ptr<EditedFile> edited, std::string path, bool writes,
                   MountCounters& counters)
    : path_(std::move(path)),
      budget_(nullptr),
      writes_(writes),
      counters_(counters),
      use_(counters.opened(path_)),
      edited_(std::move(edited)) {}

OpenFile::~OpenFile() {
  stop_.request_stop();
  if (is_stream_) budget_->remove_stream();
  if (check_) check_->let_go();
}

CachedFile::Completion OpenFile::counted(const std::shared_ptr<OperationTimer>& timer,
                                         CachedFile::Completion completion) {
  return [&counters = counters_, use = use_, timer, completion = std::move(completion)](
             const Error* error, ReadBytes bytes) {
    counters.read_answered(*use, *timer, error, bytes.size());
    completion(error, std::move(bytes));
  };
}

std::function<void(const Error&)> OpenFile::read(ByteRange range,
                                                 CachedFile::Completion completion) {
  const auto timer = std::make_shared<OperationTimer>();
  auto abandon = start_read(range, counted(timer, std::move(completion)));
  timer->call_returned();
  return abandon;
}

std::function<void(const Error&)> OpenFile::start_read(ByteRange range,
                                                       CachedFile::Completion completion) {
  if (const auto written = edited()) {
    written->read(range, [completion = std::move(completion)](const Error* error,
                                                              std::vector<std::byte> bytes) {
      const auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
      ReadBytes read;
      if (!owner->empty()) read = {{*owner}, {owner}};
      completion(error, std::move(read));
    });
    return [](const Error&) {};
  }
  auto abandon = check_ ? check_->read(file_, range, std::move(completion))
                        : file_->read(range, std::move(completion));
  if (budget_ != nullptr) read_ahead(range);
  return abandon;
}

void OpenFile::switch_to(std::shared_ptr<EditedFile> edited) {
  const std::lock_guard lock(mutex_);
  edited_ = std::move(edited);
}

std::shared_ptr<EditedFile> OpenFile::edited() const {
  const std::lock_guard lock(mutex_);
  return edited_;
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
