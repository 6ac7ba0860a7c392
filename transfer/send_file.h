#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/remote_store.h"
#include "transfer/content_check.h"
#include "transfer/progress.h"

namespace red {

/// Sends the local file `source` as the store's root, after it has passed the check. Throws
/// Error{Unsupported} if the store cannot take files, Error{LocalIo} before anything is sent if the
/// file cannot be read.
void send_file(RemoteStore& store, const std::filesystem::path& source, const ContentCheck& check,
               Progress& progress, std::stop_token stop);

}  // namespace red
