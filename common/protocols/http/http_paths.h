#pragma once

#include "common/net/url.h"
#include "common/remote/remote_path.h"

namespace red {

/// Where the paths of a store are: below the path of its URL, whose query every one of them keeps.
class HttpPaths {
 public:
  explicit HttpPaths(Url base) : base_(std::move(base)) {}

  /// The root is the URL as it was given.
  Url file(const RemotePath& path) const;
  /// With a trailing '/'.
  Url directory(const RemotePath& path) const;

 private:
  const Url base_;
};

}  // namespace red
