#include "common/cache/disk_cached_file.h"

#include <utility>

#include "common/cache/disk_cached_read.h"
#include "common/logging.h"

namespace red {

void AskersView::prepare() {
  std::call_once(named_, [this] {
    try {
      naming_.emplace(cache_->key(), asker_.name, asker_.secret);
    } catch (const Error& error) {
      log(LogLevel::Warning, "cache on disk: " + error.message());
    }
  });
}

std::shared_ptr<ContentHandle> AskersView::content(const std::string& location,
                                                   const Version& version) {
  prepare();
  if (!naming_) throw Error(ErrorKind::Internal, "the cache on disk has no names");
  return cache_->content(naming_->name(location, version), *version.size);
}

/// The cheapest question that answers with the validators: for one byte.
class DiskCachedFile::VersionProbe final : public ReadSink {
 public:
  explicit VersionProbe(std::shared_ptr<DiskCachedFile> file) : file_(std::move(file)) {}

  bool begin(const ReadAnswer& answer) override {
    file_->answered(answer);
    has_begun_ = true;
    return answer.is_range;
  }
  bool receive(std::uint64_t, std::span<const std::byte>) override { return true; }
  void finish(const Error* error) noexcept override {
    const bool was_called_off = error != nullptr && error->kind() == ErrorKind::Cancelled;
    file_->version_asked(error != nullptr && !has_begun_ && !was_called_off);
  }

 private:
  const std::shared_ptr<DiskCachedFile> file_;
  bool has_begun_ = false;
};

void DiskCachedFile::read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
                          const RequestContext& context) {
  std::make_shared<DiskCachedRead>(shared_from_this(), range, std::move(sink), context)->start();
}

void DiskCachedFile::distrust() {
  const Place found = place();
  if (!found.content) return;
  const std::shared_ptr<DiskContent> content = found.content->open();
  if (content) found.content->health().attempt([&content] { content->drop_all(); });
}

DiskCachedFile::Place DiskCachedFile::place() {
  const Version version = remote_->version();
  {
    const std::lock_guard lock(mutex_);
    if (content_) return {Standing::Kept, content_};
    const bool is_vague = !version.size || !version.is_validator() ||
                          (view_->is_told_etags() && version.etag.empty());
    if (is_vague && !answer_) return {Standing::Unknown, nullptr};
  }
  if (!is_durable(version, wall_clock())) return {};
  std::shared_ptr<ContentHandle> content = view_->content(location_, version);
  const std::lock_guard lock(mutex_);
  content_ = content;
  return {Standing::Kept, std::move(content)};
}

void DiskCachedFile::ask_version(const std::shared_ptr<DiskCachedRead>& read,
                                 const RequestContext& context) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(read);
    if (waiting_.size() > 1) return;
  }
  remote_->read(ByteRange{0, 1}, std::make_shared<VersionProbe>(shared_from_this()), context);
}

void DiskCachedFile::version_asked(bool has_failed) {
  std::vector<std::shared_ptr<DiskCachedRead>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& read : waiting) has_failed ? read->pass_by() : read->go_on();
}

void DiskCachedFile::answered(const ReadAnswer& answer) {
  const std::lock_guard lock(mutex_);
  answer_ = answer;
  is_told_ = false;
}

ReadAnswer DiskCachedFile::answer_from_cache() {
  const Version version = remote_->version();
  const std::lock_guard lock(mutex_);
  ReadAnswer answer = answer_.value_or(ReadAnswer{});
  answer.is_from_cache = std::exchange(is_told_, true);
  answer.version = version;
  answer.ranges_supported = true;
  return answer;
}

void DiskCachedFile::answer_is_told() {
  const std::lock_guard lock(mutex_);
  is_told_ = true;
}

}  // namespace red
