#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/listing.h"
#include "common/remote/remote_store.h"
#include "transfer/progress.h"

namespace red {

/// Sends the local directory `source` as the store's root, which is made if missing. With a
/// listing: exactly what it names, after its sizes and checksums have been found right. Symbolic
/// links are followed (a link that leads back to a directory above it is an error).
void send_dir(RemoteStore& store, const std::filesystem::path& source, const Listing* listing,
              Progress& progress, std::stop_token stop);

}  // namespace red
