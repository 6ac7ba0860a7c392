#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/listing.h"
#include "common/remote/remote_store.h"
#include "transfer/progress.h"

namespace red {

/// Receives the tree below the store's root into the directory `target` (its last component is made
/// if missing). With a listing: exactly what it names, sizes and checksums verified. Existing files
/// of the same name are replaced, others left. After a failure only whole files remain.
void receive_dir(RemoteStore& store, const std::filesystem::path& target, const Listing* listing,
                 Progress& progress, std::stop_token stop);

}  // namespace red
