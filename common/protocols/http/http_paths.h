#pragma once

#include <mutex>

#include "common/net/url.h"
#include "common/remote/remote_path.h"

namespace red {

/// Where the paths of a store are: below the path of its URL, whose query every one of them keeps.
/// Thread-safe.
class HttpPaths {
 public:
  explicit HttpPaths(Url base) : base_(std::move(base)) {}

  /// The root is the URL as it was given.
  Url file(const RemotePath& path) const;
  /// With a trailing '/'.
  Url directory(const RemotePath& path) const;

  /// The root is somewhere else on the same server: what is below it is there, too.
  void move_to(const Url& base);

 private:
  mutable std::mutex mutex_;
  Url base_;  // guarded by mutex_
};

}  // namespace red
