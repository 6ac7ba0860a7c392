#pragma once

#include <atomic>
#include <memory>

#include "common/net/http_client.h"
#include "common/protocols/http/http_access.h"
#include "common/protocols/http/http_lister.h"
#include "common/protocols/http/http_paths.h"
#include "common/protocols/http/http_uploader.h"
#include "common/remote/remote_store.h"

namespace red {

/// What is on a web server below a URL: a file, or a directory that WebDAV or index pages list.
class HttpStore final : public RemoteStore {
 public:
  /// No I/O. The client must have been made with the options of the access data.
  HttpStore(HttpAccess access, std::shared_ptr<HttpClient> client);

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override;
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override;
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override;
  bool listings_are_complete() const override { return lister_.is_webdav(); }
  int parallelism() const override { return access_.options.connections; }
  std::string location(const RemotePath& path) const override;
  std::optional<Asker> asker() const override;
  void check(Purpose purpose, const RequestContext& context) override;
  Examination examination() override;
  Uploader* uploader() override { return &uploader_; }
  TreeEditor* editor() override { return nullptr; }

 private:
  HttpResponseHead fetch_head(const Url& url, const RequestContext& context);
  HttpResponseHead fetch_head_by_get(const Url& url, const RequestContext& context);
  void check_file(const RequestContext& context);
  void check_answers(const Url& url, const RequestContext& context);

  const HttpAccess access_;
  const std::shared_ptr<HttpClient> client_;
  HttpPaths paths_;
  HttpLister lister_;
  HttpUploader uploader_;
  std::atomic<bool> refuses_head_ = false;
};

}  // namespace red
