#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/keyed_hash.h"
#include "common/remote/entry.h"

namespace red {

/// What stands for one content in a cache on disk. Made with the cache's key, so that it tells
/// nothing to those who do not have that.
struct ContentName {
  std::array<std::byte, 16> path{};    ///< of all versions of one file, as one asker sees it
  std::array<std::byte, 8> version{};  ///< of one of them
  std::uint64_t seed = 0;              ///< of the checksums inside

  /// Where it is, relative to the cache's directory: "3f/...-...".
  std::string file_name() const;
  bool operator==(const ContentName&) const = default;
};

/// Names the contents that one asker gets from one server. Immutable, hence thread-safe.
class ContentNaming {
 public:
  /// `asker` says who asks and how the server is told from an impostor, without secrets; `secret`
  /// is what it proves itself with, may be empty, and is slow to take in (slow_hash()).
  ContentNaming(const HashValue& cache_key, std::string_view asker, std::string_view secret);

  /// `location` is where the file is, server included. The version must have its size and an ETag
  /// or a time.
  ContentName name(std::string_view location, const Version& version) const;

 private:
  HashValue key_;
};

/// Whether a version says enough, for a content that is fetched from now on, to be known again
/// later. Not if it changed less than two seconds ago: it might once more within the same second,
/// and look the same.
bool is_durable(const Version& version, FileTime now);

}  // namespace red
