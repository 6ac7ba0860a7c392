#include "common/protocols/http/http_paths.h"

namespace red {

Url HttpPaths::file(const RemotePath& path) const {
  Url url = [this] {
    const std::lock_guard lock(mutex_);
    return base_;
  }();
  for (const std::string_view name : path.components()) {
    if (!url.path.ends_with('/')) url.path += '/';
    url.path += encode_component(name);
  }
  return url;
}

Url HttpPaths::directory(const RemotePath& path) const {
  Url url = file(path);
  if (!url.path.ends_with('/')) url.path += '/';
  return url;
}

void HttpPaths::move_to(const Url& base) {
  const std::lock_guard lock(mutex_);
  base_ = base;
}

}  // namespace red
