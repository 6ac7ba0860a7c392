#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "common/remote/remote_store.h"
#include "transfer/byte_pipe.h"
#include "transfer/byte_stream.h"
#include "transfer/progress.h"

namespace red {

/// The bytes of a store's root as they come, without a place to keep them: the transport waits for
/// a reader that is slower. A read never waits for longer than the transport does for the server.
class StreamedDownload final : public ByteStream {
 public:
  /// Begins at once. Store and progress must outlive this.
  StreamedDownload(RemoteStore& store, Progress& progress, std::stop_token stop);
  /// Calls off what is still under way, and waits until it has ended.
  ~StreamedDownload() override;

  /// Throws what the download ended with, Error{Cancelled} once a stop is requested.
  std::size_t read(std::span<std::byte> buffer) override { return pipe_->read(buffer); }

 private:
  void end(const Error& why) noexcept;

  const std::shared_ptr<BytePipe> pipe_;
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> stop_watch_;
};

}  // namespace red
