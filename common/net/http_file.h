#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/remote/entry.h"
#include "common/remote/remote_store.h"

namespace red {

/// A file behind a URL. Ranges are read by GET, the whole file by the method of the access data.
class HttpFile final : public RemoteFile, public std::enable_shared_from_this<HttpFile> {
 public:
  HttpFile(std::shared_ptr<HttpClient> client, Url url, std::string method, const Version& known);

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override;
  Version version() const override;

  // For reads that are under way, on the client's thread.

  /// Where to send a request.
  struct Address {
    std::string url;
    bool is_remembered = false;  ///< not the file's own URL, but where that redirected to
    bool is_anonymous = false;
  };
  Address address_for(bool is_range) const;
  Address own_address() const { return {.url = url_.to_string()}; }
  void remember_redirect(const std::string& target);
  void forget_redirect();

  /// Whether an answer of this version is the same file's; what was unknown becomes known.
  bool pin(const Version& answered);

  HttpClient& client() const { return *client_; }
  const std::string& method() const { return method_; }
  std::string display_url() const { return url_.to_display(); }

 private:
  const std::shared_ptr<HttpClient> client_;
  const Url url_;
  const std::string method_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  Version version_;
  std::optional<Url> redirected_to_;
};

}  // namespace red
