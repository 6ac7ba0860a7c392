#pragma once

#include <cstddef>

#include "common/remote/listing.h"
#include "common/remote/remote_store.h"

namespace red {

/// A validation looks at that many files of a listing.
inline constexpr std::size_t kMaxCheckedFiles = 64;

/// Looks whether the first files that the listing names exist below the store's root, many at a
/// time. Throws Error{NotFound} with a line for each that is missing, or the first other error.
/// Returns how many were looked at.
std::size_t check_listed_files(RemoteStore& store, const Listing& listing,
                               const RequestContext& context);

}  // namespace red
