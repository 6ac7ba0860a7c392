#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/protocols/http/index_page.h"
#include "common/remote/entry.h"
#include "common/request_context.h"

namespace red {

/// A directory as the server lists it.
struct HttpListing {
  std::vector<Entry> entries;
  Url directory;  ///< where it is, after redirects; with a trailing '/'
  IndexFormat format = IndexFormat::None;
};

/// Lists directories by WebDAV where the server speaks it, else by its index pages. The first
/// listing asks for both at once and remembers what works. Thread-safe.
class HttpLister {
 public:
  explicit HttpLister(std::shared_ptr<HttpClient> client) : client_(std::move(client)) {}

  /// `directory`: with a trailing '/'. Throws Error.
  HttpListing list(const Url& directory, const RequestContext& context);

  bool is_webdav() const { return way_ == Way::WebDav; }
  /// Of the last page that was read.
  IndexFormat page_format() const { return page_format_; }

 private:
  enum class Way { Unknown, WebDav, IndexPage };

  HttpListing list_somehow(const Url& directory, const RequestContext& context);
  HttpListing list_by_webdav(const Url& directory, const RequestContext& context);
  HttpListing list_by_page(const Url& directory, const RequestContext& context);
  HttpListing find_way(const Url& directory, const RequestContext& context);

  const std::shared_ptr<HttpClient> client_;
  std::atomic<Way> way_ = Way::Unknown;
  std::atomic<IndexFormat> page_format_ = IndexFormat::None;
};

}  // namespace red
