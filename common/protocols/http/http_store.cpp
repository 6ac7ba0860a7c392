#include "common/protocols/http/http_store.h"

#include <utility>

#include "common/net/http_answer.h"
#include "common/net/http_asker.h"
#include "common/net/http_error.h"
#include "common/net/http_file.h"
#include "common/net/redirect.h"
#include "common/protocols/http/http_examination.h"

namespace red {
namespace {

/// A server may find that an empty file has no first byte.
bool is_success(const HttpResponseHead& head) {
  return (head.status >= 200 && head.status < 300) ||
         (head.status == 416 && version_of(head).size == 0U);
}

bool is_absent(const HttpResponseHead& head) { return head.status == 404 || head.status == 410; }

/// The server knows no such method here.
bool is_method_refused(const HttpResponseHead& head) {
  return head.status == 405 || head.status == 501;
}

/// Some servers and signed URLs allow GET alone, and say so less precisely.
bool may_refuse_method(const HttpResponseHead& head) {
  return is_method_refused(head) || head.status == 400 || head.status == 403;
}

/// Whether the answer came from a directory: servers redirect to the same name with a '/'.
bool is_directory(const Url& asked, const HttpResponseHead& head, bool is_root) {
  if (asked.path.ends_with('/')) return true;
  const Url answered = Url::parse(head.url);
  if (!answered.path.ends_with('/')) return false;
  const std::string name = asked.path.substr(asked.path.rfind('/')) + '/';
  return is_root || answered.path.ends_with(name);
}

Entry told_by(const RemotePath& path, const HttpResponseHead& head) {
  Entry entry = file_entry(path, head);
  // Programs that make their answers on the fly often say 0 to a HEAD; servers of files say with it
  // which version is empty.
  if (entry.size == 0U && !entry.version().is_validator()) entry.size.reset();
  return entry;
}

}  // namespace

HttpStore::HttpStore(HttpAccess access, std::shared_ptr<HttpClient> client)
    : access_(std::move(access)),
      client_(std::move(client)),
      paths_(access_.url),
      lister_(client_),
      uploader_(client_, access_) {}

std::optional<Entry> HttpStore::stat(const RemotePath& path, const RequestContext& context) {
  const Url url = paths_.file(path);
  const HttpResponseHead head = fetch_head(url, context);
  if (is_absent(head)) return std::nullopt;
  const bool shows_directory = is_directory(url, head, path.is_root());
  // A directory that must not be listed shows by the redirect to its '/' that it exists.
  if (!is_success(head) && !(shows_directory && head.status == 403)) {
    throw error_for_status(head, "HEAD", url.to_display());
  }
  return shows_directory ? directory_entry(path) : told_by(path, head);
}

HttpResponseHead HttpStore::fetch_head(const Url& url, const RequestContext& context) {
  if (refuses_head_) return fetch_head_by_get(url, context);
  HttpResponseHead head =
      exchange_for_head(*client_, {.method = "HEAD", .url = url.to_string()}, context);
  if (!may_refuse_method(head)) return head;
  if (is_method_refused(head)) refuses_head_ = true;
  return fetch_head_by_get(url, context);
}

HttpResponseHead HttpStore::fetch_head_by_get(const Url& url, const RequestContext& context) {
  return exchange_for_head(*client_, {.url = url.to_string(), .headers = {{"Range", "bytes=0-0"}}},
                           context);
}

std::vector<Entry> HttpStore::list(const RemotePath& directory, const RequestContext& context) {
  const Url asked = paths_.directory(directory);
  HttpListing listing = lister_.list(asked, context);
  const bool has_moved = listing.directory.to_string() != asked.to_string();
  if (directory.is_root() && has_moved && may_share_credentials(asked, listing.directory)) {
    paths_.move_to(listing.directory);
  }
  return std::move(listing.entries);
}

std::shared_ptr<RemoteFile> HttpStore::open(const RemotePath& path, const Version& known) {
  return std::make_shared<HttpFile>(client_, paths_.file(path), access_.method, known);
}

std::string HttpStore::location(const RemotePath& path) const {
  return paths_.file(path).to_display();
}

/// What other methods answer is not the content of the URL.
std::optional<Asker> HttpStore::asker() const {
  if (access_.method != "GET") return std::nullopt;
  return asker_of(access_.client, access_.url);
}

void HttpStore::check(Purpose purpose, const RequestContext& context) {
  switch (purpose) {
    case Purpose::ReceiveFile:
      return access_.method == "GET" ? check_file(context)
                                     : check_answers(paths_.file({}), context);
    case Purpose::ReceiveDir:
    case Purpose::MountDir:
      lister_.list(paths_.directory({}), context);
      return;
    case Purpose::SendFile:
      return check_answers(paths_.file({}), context);
    case Purpose::SendDir:
      return check_answers(paths_.directory({}), context);
  }
}

Examination HttpStore::examination() {
  Examination examination = examine_http(access_, client_, [this](const RequestContext& context) {
    return fetch_head(paths_.file({}), context);
  });
  examination.listing_format = [this] {
    return std::string(lister_.is_webdav() ? "WebDAV" : name_of(lister_.page_format()));
  };
  return examination;
}

void HttpStore::check_file(const RequestContext& context) {
  const Url url = paths_.file({});
  const HttpResponseHead head = fetch_head(url, context);
  if (!is_success(head)) throw error_for_status(head, "HEAD", url.to_display());
}

/// A server that would take a PUT or POST need not know HEAD, nor have anything there yet. What
/// counts is that it answers and does not refuse us. (A collection that may be written but not
/// listed refuses HEAD alone.)
void HttpStore::check_answers(const Url& url, const RequestContext& context) {
  for (const char* method : {"HEAD", "OPTIONS"}) {
    const HttpResponseHead head =
        exchange_for_head(*client_, {.method = method, .url = url.to_string()}, context);
    if (head.status < 400 || is_absent(head) || is_method_refused(head)) return;
    const bool is_last = std::string_view(method) == "OPTIONS";
    if (is_last || !may_refuse_method(head)) {
      throw error_for_status(head, method, url.to_display());
    }
  }
}

}  // namespace red
