#pragma once

#include <filesystem>
#include <stop_token>

#include "common/remote/remote_store.h"
#include "transfer/progress.h"

namespace red {

/// Receives the store's root into `target`: the target's name appears only when the whole file is
/// there and synced; an existing file is replaced, links are followed. Large files come over up to
/// as many reads as the store serves at a time, while more make them faster.
void receive_file(RemoteStore& store, const std::filesystem::path& target, Progress& progress,
                  std::stop_token stop);

}  // namespace red
