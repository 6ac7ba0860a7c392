#pragma once

#include <filesystem>
#include <stop_token>
#include <string_view>

#include "common/remote/listing.h"
#include "transfer/local_walk.h"

namespace red {

/// Compares a local directory with a listing and returns what the listing names. Symbolic links
/// are followed; what the listing does not name is not looked at. Throws Error{Integrity} with a
/// line for each thing that is missing or has another kind, size or checksum; the first line begins
/// with `what`.
LocalNode compare_with_listing(const std::filesystem::path& directory, const Listing& listing,
                               std::string_view what, std::stop_token stop);

}  // namespace red
