#include "transfer/streamed_download.h"

#include <cstdint>
#include <utility>

namespace red {
namespace {

// What the reader may lag behind: enough for the bursts of a disk.
constexpr std::size_t kPipeCapacity = 8 << 20;

/// Writes into the pipe on the transport's thread. That may wait for the reader, which waits for
/// the local disk but, with bytes to read, never for the network.
class PipeSink final : public ReadSink {
 public:
  PipeSink(std::shared_ptr<BytePipe> pipe, Progress& progress)
      : pipe_(std::move(pipe)), progress_(progress) {}

  bool begin(const ReadAnswer& answer) override {
    if (answer.offset != received_) {
      pipe_->close(
          Error(ErrorKind::Network, "the transfer broke off and the server cannot resume it"));
      return false;
    }
    if (!has_begun_ && answer.version.size) progress_.expect(0, *answer.version.size);
    has_begun_ = true;
    return true;
  }

  bool receive(std::uint64_t, std::span<const std::byte> bytes) override {
    if (!pipe_->write(bytes)) return false;
    received_ += bytes.size();
    progress_.advance(static_cast<std::int64_t>(bytes.size()));
    return true;
  }

  void finish(const Error* error) noexcept override { pipe_->end_writing(error); }

 private:
  const std::shared_ptr<BytePipe> pipe_;
  Progress& progress_;
  bool has_begun_ = false;
  std::uint64_t received_ = 0;
};

}  // namespace

StreamedDownload::StreamedDownload(RemoteStore& store, Progress& progress, std::stop_token stop)
    : pipe_(std::make_shared<BytePipe>(kPipeCapacity)),
      stop_watch_(std::move(stop), [this] { end(Error(ErrorKind::Cancelled, "stopped")); }) {
  RequestContext context;
  context.stop = stop_.get_token();
  store.open({}, {})->read(std::nullopt, std::make_shared<PipeSink>(pipe_, progress), context);
}

StreamedDownload::~StreamedDownload() {
  end(Error(ErrorKind::Cancelled, "nobody reads any more"));
  pipe_->wait_for_writer();
}

void StreamedDownload::end(const Error& why) noexcept {
  pipe_->close(why);
  stop_.request_stop();
}

}  // namespace red
