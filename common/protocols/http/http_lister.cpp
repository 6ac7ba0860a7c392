#include "common/protocols/http/http_lister.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "common/net/http_answer.h"
#include "common/net/http_error.h"
#include "common/net/response_collector.h"
#include "common/protocols/http/webdav.h"

namespace red {
namespace {

// Room for a directory with a million entries in the wordiest form.
constexpr std::size_t kMaxListing = 256 << 20;

// How long a server that has sent an index page may take to show that it speaks WebDAV, too.
constexpr std::chrono::seconds kWebDavGrace{2};

class ConstantSource final : public ByteSource {
 public:
  explicit ConstantSource(std::string_view text) : text_(text) {}
  std::uint64_t size() const override { return text_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::size_t count = std::min(buffer.size(), text_.size() - offset);
    std::memcpy(buffer.data(), text_.data() + offset, count);
    return count;
  }

 private:
  const std::string_view text_;
};

HttpRequest propfind(const Url& directory) {
  return {.method = "PROPFIND",
          .url = directory.to_string(),
          .headers = {{"Depth", "1"}, {"Content-Type", "application/xml; charset=utf-8"}},
          .body = std::make_shared<ConstantSource>(propfind_body())};
}

HttpRequest page_request(const Url& directory) {
  return {.url = directory.to_string(),
          .headers = {{"Accept", "application/json, text/html;q=0.9, */*;q=0.5"}}};
}

bool is_multistatus(const HttpResponseHead& head) { return head.status == 207; }

/// A file of gigabytes behind the URL must not be read to find out that it is no index.
bool may_be_page(const HttpResponseHead& head) {
  if (head.status < 200 || head.status >= 300) return false;
  const std::string type = content_type_of(head);
  const auto mentions = [&](const char* word) { return type.find(word) != std::string::npos; };
  return type.empty() || mentions("html") || mentions("json") || mentions("xml") ||
         mentions("text");
}

/// One request for a listing, under way from its construction on.
class PendingListing {
 public:
  PendingListing(HttpClient& client, HttpRequest request, ResponseCollector::WantsBody is_wanted,
                 const RequestContext& context)
      : collector_(std::make_shared<ResponseCollector>(
            kMaxListing,
            [is_wanted = std::move(is_wanted)](const HttpResponseHead& head) {
              return is_wanted(head) || is_cheap_to_read(head);
            })),
        on_stop_(context.stop, [this] { stop_.request_stop(); }) {
    client.start(std::move(request), collector_,
                 {context.deadline, stop_.get_token(), context.priority});
  }

  HttpResponse wait() { return collector_->wait(); }
  bool wait_until(TimePoint when) { return collector_->wait_until(when); }
  std::stop_source& stop() { return stop_; }

 private:
  const std::shared_ptr<ResponseCollector> collector_;
  std::stop_source stop_;
  const std::stop_callback<std::function<void()>> on_stop_;
};

[[noreturn]] void refuse(const HttpResponseHead& head, std::string_view method,
                         const Url& directory, std::string_view why) {
  if (head.status >= 300) throw error_for_status(head, method, directory.to_display());
  throw Error(ErrorKind::Unsupported,
              "listing " + directory.to_display() + ": " + std::string(why));
}

HttpListing read_multistatus(const HttpResponse& response, const Url& directory) {
  if (!is_multistatus(response.head)) {
    refuse(response.head, "PROPFIND", directory, "the server does not speak WebDAV");
  }
  Url answered = Url::parse(response.head.url);
  if (!answered.path.ends_with('/')) answered.path += '/';
  return {.entries = parse_multistatus(response.body, answered), .directory = answered};
}

HttpListing read_page(const HttpResponse& response, const Url& directory) {
  if (!may_be_page(response.head)) {
    refuse(response.head, "GET", directory, "the server sends no directory index");
  }
  // Relative links start where the last '/' is, whatever page of the directory has answered.
  Url answered = Url::parse(response.head.url);
  answered.path.resize(answered.path.rfind('/') + 1);
  const std::string type = content_type_of(response.head);
  return {.entries = parse_index_page(response.body, type, answered),
          .directory = answered,
          .format = index_format_of(response.body, type)};
}

/// What one way of listing came to.
struct Attempt {
  std::optional<HttpListing> listing;
  std::optional<Error> error;
};

template <typename List>
Attempt attempt(List list) {
  try {
    return {.listing = list(), .error = {}};
  } catch (const Error& error) {
    return {.listing = {}, .error = error};
  }
}

/// Whether the server cannot do what was asked, whatever the directory.
bool is_way_refused(const HttpResponseHead& head) {
  return head.status == 400 || head.status == 405 || head.status == 501;
}

bool is_about_rights(const Error& error) {
  return error.kind() == ErrorKind::Authentication || error.kind() == ErrorKind::PermissionDenied;
}

}  // namespace

HttpListing HttpLister::list(const Url& directory, const RequestContext& context) {
  HttpListing listing = list_somehow(directory, context);
  if (listing.format != IndexFormat::None) page_format_ = listing.format;
  return listing;
}

HttpListing HttpLister::list_somehow(const Url& directory, const RequestContext& context) {
  switch (way_) {
    case Way::WebDav:
      return list_by_webdav(directory, context);
    case Way::IndexPage:
      return list_by_page(directory, context);
    case Way::Unknown:
      break;
  }
  return find_way(directory, context);
}

HttpListing HttpLister::list_by_webdav(const Url& directory, const RequestContext& context) {
  PendingListing listing(*client_, propfind(directory), is_multistatus, context);
  const HttpResponse response = listing.wait();
  if (is_way_refused(response.head)) return list_by_page(directory, context);
  return read_multistatus(response, directory);
}

HttpListing HttpLister::list_by_page(const Url& directory, const RequestContext& context) {
  PendingListing listing(*client_, page_request(directory), may_be_page, context);
  return read_page(listing.wait(), directory);
}

/// Asks both ways at once, for a mount must be ready within few round trips. A server that begins a
/// WebDAV answer has the page called off; one that sends a page gets little time more for WebDAV.
HttpListing HttpLister::find_way(const Url& directory, const RequestContext& context) {
  PendingListing page(*client_, page_request(directory), may_be_page, context);
  const auto calls_off_page = [stop = page.stop()](const HttpResponseHead& head) mutable {
    if (is_multistatus(head)) stop.request_stop();
    return is_multistatus(head);
  };
  PendingListing dav(*client_, propfind(directory), calls_off_page, context);

  Attempt by_page = attempt([&] { return read_page(page.wait(), directory); });
  if (by_page.listing && !dav.wait_until(std::chrono::steady_clock::now() + kWebDavGrace)) {
    dav.stop().request_stop();
  }
  Attempt by_dav = attempt([&] { return read_multistatus(dav.wait(), directory); });
  if (by_dav.listing) {
    way_ = Way::WebDav;
    return std::move(*by_dav.listing);
  }
  if (!by_page.listing && page.stop().stop_requested()) {
    // Called off in favour of an answer that came to nothing.
    by_page = attempt([&] { return list_by_page(directory, context); });
  }
  if (by_page.listing) {
    way_ = Way::IndexPage;
    return std::move(*by_page.listing);
  }
  throw is_about_rights(*by_dav.error) && !is_about_rights(*by_page.error) ? *by_dav.error
                                                                           : *by_page.error;
}

}  // namespace red
