#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "common/net/http_file.h"
#include "common/net/url.h"
#include "common/remote/remote_store.h"
#include "common/request_context.h"

namespace red {

/// A file of a resource, read by GET. Thread-safe.
class XnatFile final : public RemoteFile, public std::enable_shared_from_this<XnatFile> {
 public:
  /// Told where the file is, or by an error why nobody knows. Called once, on any thread.
  using Located = std::function<void(const Error* error, const Url& url)>;
  /// Finds out where the file is without blocking the caller.
  using Locator = std::function<void(const RequestContext& context, Located located)>;

  /// Brings the file together with others, if it can: then `read_alone` is called should that fail
  /// before the sink has been told anything.
  using Packer =
      std::function<bool(const std::shared_ptr<ReadSink>& sink, const RequestContext& context,
                         std::function<void()> read_alone)>;

  /// `packer` may be empty. `on_change` is called when the server proves to have another file than
  /// `known` says.
  XnatFile(std::shared_ptr<HttpClient> session, Locator locator, Packer packer,
           const Version& known, std::function<void()> on_change);

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override;
  Version version() const override;

 private:
  void read_alone(std::optional<ByteRange> range, const std::shared_ptr<ReadSink>& sink,
                  const RequestContext& context);
  std::shared_ptr<HttpFile> opened() const;
  std::shared_ptr<HttpFile> open_at(const Url& url);

  // set once
  const std::shared_ptr<HttpClient> session_;
  const Locator locator_;
  const Packer packer_;
  const Version known_;
  const std::function<void()> on_change_;

  mutable std::mutex mutex_;
  std::shared_ptr<HttpFile> file_;  ///< guarded by mutex_; set once it is located
};

}  // namespace red
