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
  return {ErrorKind::Remote,
          error.message() + "; the POST is not repeated, as its body was sent already"};
}

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
      method_(access.method == "GET" ? "PUT" : access.method),
      names_content_type_(!access.client.headers.find("Content-Type")) {}

void HttpUploader::upload(const RemotePath& path, ByteSource& source, const LocalAttributes&,
                          const RequestContext& context) {
  const Url url = paths_.file(path);
  const auto body = std::make_shared<WatchedSource>(source);
  HttpRequest request{.method = method_, .url = url.to_string(), .body = body};
  if (names_content_type_) request.headers.add("Content-Type", "application/octet-stream");
  request.own_connection = source.size() >= kBulkFrom;
  try {
    const HttpResponseHead head = exchange_for_head(*client_, std::move(request), context);
    if (!is_success(head)) throw upload_error(head, method_, url, !path.is_root());
  } catch (const Error& error) {
    if (!error.retryable() || method_ != "POST" || !body->was_read()) throw;
    throw not_repeated(error);
  }
}

void HttpUploader::make_directory(const RemotePath& path, const LocalAttributes&,
                                  const RequestContext& context) {
  if (has_no_collections_) return;
  const Url url = paths_.directory(path);
  const HttpResponseHead head =
      exchange_for_head(*client_, {.method = "MKCOL", .url = url.to_string()}, context);
  switch (head.status) {
    case 405:  // exists; or the server knows no MKCOL: the first file will tell
      return;
    case 400:
    case 404:
    case 501:
      has_no_collections_ = true;
      return;
    case 409:
      throw Error(ErrorKind::NotFound, error_for_status(head, "MKCOL", url.to_display()).message() +
                                           ": its parent is missing");
    default:
      if (!is_success(head)) throw error_for_status(head, "MKCOL", url.to_display());
  }
}

}  // namespace red
