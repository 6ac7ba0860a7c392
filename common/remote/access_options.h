#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "common/remote/listing.h"

namespace red {

struct CacheOptions {
  bool enabled = true;                             ///< false: nothing is kept between reads
  std::optional<std::filesystem::path> directory;  ///< absolute; a cache on disk
  std::optional<std::uint64_t> size;               ///< bound of the cache on disk, bytes
  std::optional<std::uint64_t> memory;             ///< bound of the cache in memory, bytes
};

/// What the access data of every protocol may say, checked, with the site's defaults and bounds
/// applied. Plain data.
struct AccessOptions {
  int connections = 1;  ///< upper bound of connections to the server
  std::chrono::milliseconds connect_timeout{10'000};
  CacheOptions cache;
  std::optional<Listing> listing;               ///< of a mount
  bool allow_other = false;                     ///< other users may read the mount
  std::optional<std::filesystem::path> report;  ///< absolute; where a mount's report goes
};

}  // namespace red
