#include "common/net/http_file.h"

#include <utility>

#include "common/net/http_read.h"
#include "common/net/redirect.h"

namespace red {

HttpFile::HttpFile(std::shared_ptr<HttpClient> client, Url url, std::string method,
                   const Version& known)
    : client_(std::move(client)),
      url_(std::move(url)),
      method_(std::move(method)),
      version_(known) {}

void HttpFile::read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
                    const RequestContext& context) {
  std::make_shared<HttpRead>(shared_from_this(), range, std::move(sink), context)->start();
}

Version HttpFile::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

HttpFile::Address HttpFile::address_for(bool is_range) const {
  const std::lock_guard lock(mutex_);
  if (!is_range || !redirected_to_) return own_address();
  return {.url = redirected_to_->to_string(),
          .is_remembered = true,
          .is_anonymous = !may_share_credentials(url_, *redirected_to_)};
}

void HttpFile::remember_redirect(const std::string& target) {
  if (target == url_.to_string()) return;
  const std::lock_guard lock(mutex_);
  redirected_to_ = Url::parse(target);
}

void HttpFile::forget_redirect() {
  const std::lock_guard lock(mutex_);
  redirected_to_.reset();
}

bool HttpFile::pin(const Version& answered) {
  const std::lock_guard lock(mutex_);
  if (!version_.may_equal(answered)) return false;
  version_.complete_from(answered);
  return true;
}

}  // namespace red
