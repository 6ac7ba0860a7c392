#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/listing.h"
#include "common/remote/remote_store.h"
#include "transfer/archive_format.h"
#include "transfer/progress.h"

namespace red {

/// Receives the store's root, which is an archive, and unpacks it into `target`, whose last
/// component is made if missing. Nothing appears there before the archive has been read to its end
/// and all of it is right; existing files of the same names are then replaced, others stay. The
/// archive is unpacked while it comes, but for zip, which is understood from its end. A listing
/// verifies the members that it names: Error{Integrity}. An archive with a member that could get
/// out of the target, that is damaged, or that becomes far larger than its own size is
/// Error{Protocol}.
void receive_archive(RemoteStore& store, ArchiveFormat format, const std::filesystem::path& target,
                     const Listing* listing, Progress& progress, std::stop_token stop);

}  // namespace red
