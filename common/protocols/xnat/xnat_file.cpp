#include "common/protocols/xnat/xnat_file.h"

#include <utility>

namespace red {
namespace {

/// Passes everything on, and looks at how it ends.
class WatchedSink final : public ReadSink {
 public:
  WatchedSink(std::shared_ptr<ReadSink> sink, std::function<void()> on_change)
      : sink_(std::move(sink)), on_change_(std::move(on_change)) {}

  bool begin(const ReadAnswer& answer) override { return sink_->begin(answer); }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return sink_->receive(offset, bytes);
  }
  void finish(const Error* error) noexcept override {
    if (error != nullptr && error->kind() == ErrorKind::ChangedRemotely) on_change_();
    if (error == nullptr || error->kind() != ErrorKind::NotFound) return sink_->finish(error);
    // What a missing file can mean here.
    const Error explained(ErrorKind::NotFound,
                          error->message() +
                              ": the resource has no such file, or its catalog names one that is "
                              "gone");
    sink_->finish(&explained);
  }

 private:
  const std::shared_ptr<ReadSink> sink_;
  const std::function<void()> on_change_;
};

}  // namespace

XnatFile::XnatFile(std::shared_ptr<HttpClient> session, Locator locator, Packer packer,
                   const Version& known, std::function<void()> on_change)
    : session_(std::move(session)),
      locator_(std::move(locator)),
      packer_(std::move(packer)),
      known_(known),
      on_change_(std::move(on_change)) {}

void XnatFile::read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
                    const RequestContext& context) {
  const bool is_packed =
      !range && packer_ && packer_(sink, context, [self = shared_from_this(), sink, context] {
        self->read_alone(std::nullopt, sink, context);
      });
  if (!is_packed) read_alone(range, sink, context);
}

void XnatFile::read_alone(std::optional<ByteRange> range, const std::shared_ptr<ReadSink>& sink,
                          const RequestContext& context) {
  auto watched = std::make_shared<WatchedSink>(sink, on_change_);
  if (const auto file = opened()) return file->read(range, std::move(watched), context);
  locator_(context, [self = shared_from_this(), range, sink, watched, context](const Error* error,
                                                                               const Url& url) {
    if (error != nullptr) return sink->finish(error);
    self->open_at(url)->read(range, watched, context);
  });
}

Version XnatFile::version() const {
  const auto file = opened();
  return file ? file->version() : known_;
}

std::shared_ptr<HttpFile> XnatFile::opened() const {
  const std::lock_guard lock(mutex_);
  return file_;
}

std::shared_ptr<HttpFile> XnatFile::open_at(const Url& url) {
  const std::lock_guard lock(mutex_);
  if (!file_) file_ = std::make_shared<HttpFile>(session_, url, "GET", known_);
  return file_;
}

}  // namespace red
