#include "common/protocols/http/http_uploader.h"

#include <atomic>
#include <utility>

#include "common/net/http_answer.h"
#include "common/net/http_error.h"

namespace red {
namespace {

// From here on an upload is bulk: a connection of its own keeps it from slowing others down.
constexpr std::uint64_t kBulkFrom = 1 << 20;

/// Tells whether anything of it was sent.
class WatchedSource final : public ByteSource {
 public:
  explicit WatchedSource(ByteSource& source) : source_(source) {}
  std::uint64_t size() const override { return source_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    was_read_ = true;
    return source_.read_at(offset, buffer);
  }
  bool was_read() const { return was_read_; }

 private:
  ByteSource& source_;
  std::atomic<bool> was_read_ = false;
};

bool is_success(const HttpResponseHead& head) { return head.status >= 200 && head.status < 300; }

Error not_repeated(const Error& error) {
  return Error(error.kind(),
               error.message() + "; the POST is not repeated, as its body was sent already")
      .without_retry();
}

bool is_absent(const HttpResponseHead& head) { return head.status == 404 || head.status == 410; }

/// What a status means for a file that is sent.
Error upload_error(const HttpResponseHead& head, const std::string& method, const Url& url,
                   bool is_in_directory) {
  const Error error = error_for_status(head, method, url.to_display());
  switch (head.status) {
    case 405:
    case 501:
      return {ErrorKind::Unsupported,
              error.message() + (is_in_directory ? ": the server cannot take a directory"
                                                 : ": the server takes no file this way")};
    case 404:
    case 409:
      return {ErrorKind::NotFound, error.message() + ": the directory for it may be missing"};
    default:
      return error;
  }
}

}  // namespace

HttpUploader::HttpUploader(std::shared_ptr<HttpClient> client, const HttpAccess& access)
    : client_(std::move(client)),
      paths_(access.url),
      method_(access.method),
      content_type_(access.client.headers.find("Content-Type") ? "" : access.content_type) {}

void HttpUploader::upload(const RemotePath& path, ByteSource& source, const LocalAttributes&,
                          const RequestContext& context) {
  const Url url = paths_.file(path);
  const std::string method = path.is_root() ? method_ : "PUT";
  const auto body = std::make_shared<WatchedSource>(source);
  HttpRequest request{.method = method, .url = url.to_string(), .body = body};
  if (!content_type_.empty()) request.headers.add("Content-Type", content_type_);
  request.own_connection = source.size() >= kBulkFrom;
  try {
    const HttpResponseHead head = exchange_for_head(*client_, std::move(request), context);
    if (!is_success(head)) throw explain(upload_error(head, method, url, !path.is_root()), path);
    file_arrived(path);
  } catch (const Error& error) {
    if (!error.retryable() || method != "POST" || !body->was_read()) throw;
    throw not_repeated(error);
  }
}

/// What had been answered to the making of its directory says more than that the file has no place.
Error HttpUploader::explain(const Error& error, const RemotePath& path) const {
  if (path.is_root() || error.kind() != ErrorKind::NotFound) return error;
  const std::lock_guard lock(mutex_);
  const auto found = unproved_.find(path.parent());
  if (found == unproved_.end()) return error;
  return {ErrorKind::Unsupported,
          error.message() + "; the server did not make it: " + found->second.message()};
}

/// A file that has been taken proves that the directories on its way are there.
void HttpUploader::file_arrived(const RemotePath& path) {
  const std::lock_guard lock(mutex_);
  if (unproved_.empty()) return;
  for (RemotePath at = path; !at.is_root();) {
    at = at.parent();
    unproved_.erase(at);
  }
}

bool HttpUploader::make_directory(const RemotePath& path, const LocalAttributes&,
                                  const RequestContext& context) {
  {
    const std::lock_guard lock(mutex_);
    if (refusal_) {
      unproved_.emplace(path, *refusal_);
      return false;
    }
  }
  const Url url = paths_.directory(path);
  const HttpResponseHead head =
      exchange_for_head(*client_, {.method = "MKCOL", .url = url.to_string()}, context);
  if (is_success(head)) return true;
  const Error error = error_for_status(head, "MKCOL", url.to_display());
  switch (head.status) {
    case 409:
      throw Error(ErrorKind::NotFound, error.message() + ": its parent is missing");
    case 400:  // may be about this path alone: Apache says so below a file
    case 404:
    case 405:  // exists, or the server knows no MKCOL
    case 501: {
      const std::lock_guard lock(mutex_);
      unproved_.emplace(path, error);
      if (head.status == 501) refusal_ = error;
      return false;
    }
    default:
      throw error;
  }
}

/// Servers that make the directories of a file by themselves leave out those without files.
void HttpUploader::finish_directory(const RemotePath& path, const LocalAttributes&,
                                    const RequestContext& context) {
  std::optional<Error> refusal;
  {
    const std::lock_guard lock(mutex_);
    const auto found = unproved_.find(path);
    if (found == unproved_.end()) return;
    refusal = found->second;
  }
  const Url url = paths_.directory(path);
  const HttpResponseHead head =
      exchange_for_head(*client_, {.method = "HEAD", .url = url.to_string()}, context);
  if (!is_absent(head)) return;
  throw Error(ErrorKind::Unsupported,
              refusal->message() + ": the server cannot take a directory without files");
}

}  // namespace red
