#pragma once

#include <memory>

#include "common/cache/disk_cache.h"
#include "common/remote/remote_store.h"

namespace red {

/// A store whose files are read from a cache on disk as far as they are there, and fill it where
/// they are not: of any number of readers of one block, in all processes that share the cache, one
/// fetches it. What can be known again later is kept: files of known size, with an ETag or a time
/// that is not too recent. A store without an asker() is returned as it is. A disk that fails is
/// left out, without an error for the reader.
std::unique_ptr<RemoteStore> with_disk_cache(std::unique_ptr<RemoteStore> store,
                                             std::shared_ptr<DiskCache> cache);

}  // namespace red
