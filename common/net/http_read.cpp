#include "common/net/http_read.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "common/net/http_answer.h"
#include "common/net/http_error.h"

namespace red {
namespace {

// From here on a range is bulk: a connection of its own keeps it from slowing others down, and
// several of them are faster than several streams of one.
constexpr std::uint64_t kBulkFrom = 1 << 20;

std::string range_text(const ByteRange& range) {
  return "bytes=" + std::to_string(range.begin) + "-" + std::to_string(range.end - 1);
}

/// Whether a redirect's target no longer serves us (a signed URL expires, a mirror goes down).
bool is_refusal(int status) {
  return status == 401 || status == 403 || status == 404 || status == 410 || status >= 500;
}

std::string describe(const Version& version) {
  std::string text = version.size ? std::to_string(*version.size) + " bytes" : "of unknown size";
  if (!version.etag.empty()) text += ", ETag " + version.etag;
  if (version.modified) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(*version.modified);
    text += ", modified at " + std::to_string(seconds.time_since_epoch().count());
  }
  return text;
}

bool announces_ranges(const HttpResponseHead& head) {
  return head.headers.find("Accept-Ranges") == "bytes";
}

}  // namespace

HttpRead::HttpRead(std::shared_ptr<HttpFile> file, std::optional<ByteRange> range,
                   std::shared_ptr<ReadSink> sink, const RequestContext& context)
    : file_(std::move(file)), range_(range), sink_(std::move(sink)), context_(context) {}

void HttpRead::start() { start_at(file_->address_for(range_.has_value())); }

void HttpRead::start_at(HttpFile::Address address) {
  at_remembered_ = address.is_remembered;
  HttpRequest request{.method = range_ ? "GET" : file_->method(), .url = std::move(address.url)};
  if (range_) request.headers.add("Range", range_text(*range_));
  // A whole file may be one of many small ones, which are faster as streams of one connection.
  request.own_connection =
      range_ ? range_->size() >= kBulkFrom : request.url.starts_with("http://");
  request.anonymous = address.is_anonymous;
  file_->client().start(std::move(request), shared_from_this(), context_);
}

bool HttpRead::begin(const HttpResponseHead& head) {
  if (at_remembered_ && is_refusal(head.status)) {
    starts_over_ = true;
    return false;
  }
  try {
    check(head);
    return begin_sink(head);
  } catch (const Error& error) {
    error_ = error;
    return false;
  }
}

/// Throws if this is not the answer to what was asked.
void HttpRead::check(const HttpResponseHead& head) {
  is_partial_ = head.status == 206;
  if (is_behind_the_end(head)) {
    is_complete_ = true;
    offset_ = range_->begin;
  } else if (head.status < 200 || head.status >= 300) {
    throw error_for_status(head, range_ ? "GET" : file_->method(), file_->display_url());
  }
  if (!file_->pin(version_of(head))) {
    throw failure(ErrorKind::ChangedRemotely, "the file became another one on the server (it was " +
                                                  describe(file_->version()) + ", is now " +
                                                  describe(version_of(head)) + ")");
  }
  if (is_complete_) return;
  is_partial_ ? check_range(head) : check_whole(head);
}

/// A file of unknown size ends before the range: that is no error, but what was to be found out.
/// Where it ends need not be told (RFC 9110 section 15.5.17); Apache does not.
bool HttpRead::is_behind_the_end(const HttpResponseHead& head) const {
  if (head.status != 416 || !range_ || file_->version().size) return false;
  const auto told = content_range_of(head);
  return !told || (told->total && *told->total <= range_->begin);
}

void HttpRead::check_range(const HttpResponseHead& head) {
  if (!range_) throw failure(ErrorKind::Protocol, "a part (206) though the whole was asked for");
  const auto told = content_range_of(head);
  if (!told || !told->range || content_type_of(head).starts_with("multipart/byteranges")) {
    throw failure(ErrorKind::Protocol, "206 without a Content-Range that makes sense");
  }
  const auto size = told->total ? told->total : file_->version().size;
  const std::uint64_t end = std::min(range_->end, size.value_or(range_->end));
  if (*told->range != ByteRange{range_->begin, end}) {
    throw failure(ErrorKind::Protocol, "another range than " + range_text(*range_));
  }
  offset_ = range_->begin;
  end_ = end;
}

void HttpRead::check_whole(const HttpResponseHead& head) {
  if (range_ && head.status != 200 && head.status != 203) {
    throw failure(ErrorKind::Protocol, "HTTP " + std::to_string(head.status) + " to a GET");
  }
  end_ = file_->version().size;
}

bool HttpRead::begin_sink(const HttpResponseHead& head) {
  if (!at_remembered_ && file_->method() == "GET") file_->remember_redirect(head.url);
  has_begun_ = true;
  const bool is_range = is_partial_ || is_complete_;
  const bool can_resume = !range_ && file_->method() == "GET" && announces_ranges(head);
  ReadAnswer answer{.offset = offset_,
                    .is_range = is_range,
                    .ranges_supported = is_range || can_resume,
                    .version = version_of(head),
                    .content_type = content_type_of(head)};
  return sink_->begin(answer) && !is_complete_;
}

bool HttpRead::receive(std::span<const std::byte> bytes) {
  if (end_ && bytes.size() > *end_ - offset_) {
    error_ = too_long();
    return false;
  }
  const std::uint64_t offset = std::exchange(offset_, offset_ + bytes.size());
  return sink_->receive(offset, bytes);
}

void HttpRead::finish(const Error* error) noexcept {
  const bool has_failed_there =
      at_remembered_ && !has_begun_ && !error_ && error != nullptr && error->retryable();
  if (starts_over_ || has_failed_there) {
    starts_over_ = false;
    file_->forget_redirect();
    return start_at(file_->own_address());
  }
  if (error_) return end_sink(&*error_);
  if (is_complete_) return end_sink(nullptr);
  end_sink(error);
}

void HttpRead::end_sink(const Error* error) {
  if (error != nullptr) return sink_->finish(error);
  if (end_ && offset_ < *end_) {
    const Error cut = too_short();
    return sink_->finish(&cut);
  }
  // The end of a file of which nobody knew the size tells it.
  if (!is_partial_ && !is_complete_) file_->pin({.etag = {}, .modified = {}, .size = offset_});
  sink_->finish(nullptr);
}

Error HttpRead::too_long() const {
  if (is_partial_) return failure(ErrorKind::Protocol, "more bytes than the range has");
  return failure(ErrorKind::ChangedRemotely,
                 "the file is longer than the " + std::to_string(*end_) + " bytes it had");
}

/// Content-Length is kept by the client; without it (chunks) only the end shows what is missing.
Error HttpRead::too_short() const {
  const std::string why =
      "ended at byte " + std::to_string(offset_) + " instead of " + std::to_string(*end_);
  return failure(is_partial_ ? ErrorKind::Network : ErrorKind::ChangedRemotely, why);
}

Error HttpRead::failure(ErrorKind kind, std::string_view why) const {
  return {kind, file_->method() + " " + file_->display_url() + ": " + std::string(why)};
}

}  // namespace red
