#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/net/http_client.h"
#include "common/protocols/http/http_access.h"
#include "common/protocols/http/http_paths.h"
#include "common/remote/remote_store.h"

namespace red {

/// Sends files by PUT, or the one file of a store by the method of its access data; makes
/// collections by MKCOL (RFC 4918 section 9.3) whatever OPTIONS would say.
class HttpUploader final : public Uploader {
 public:
  HttpUploader(std::shared_ptr<HttpClient> client, const HttpAccess& access);

  /// A POST whose body was sent, in part or whole, fails with an error that is not retryable.
  void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
              const RequestContext& context) override;

  /// A server that cannot make collections is no error yet: it may make them with their first file.
  bool make_directory(const RemotePath& path, const LocalAttributes& attributes,
                      const RequestContext& context) override;
  /// Looks for those of which nothing has proved that they exist.
  void finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                        const RequestContext& context) override;

 private:
  Error explain(const Error& error, const RemotePath& path) const;
  void file_arrived(const RemotePath& path);

  // set once
  const std::shared_ptr<HttpClient> client_;
  const HttpPaths paths_;
  const std::string method_;        ///< for the root
  const std::string content_type_;  ///< empty if the access data names one

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::optional<Error> refusal_;          ///< the server knows no MKCOL
  std::map<RemotePath, Error> unproved_;  ///< directories that it has not made, and its answer
};

}  // namespace red
