#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/remote_store.h"
#include "transfer/progress.h"

namespace red {

/// Receives the store's root into `target`: the target's name appears only when the whole file is
/// there and synced; an existing file is replaced, links are followed. Large files come over up to
/// `max_connections` connections while that makes them faster.
void receive_file(RemoteStore& store, const std::filesystem::path& target, int max_connections,
                  Progress& progress, std::stop_token stop);

}  // namespace red
