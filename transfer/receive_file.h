#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>

#include "common/remote/remote_store.h"
#include "transfer/content_check.h"
#include "transfer/local_files.h"
#include "transfer/progress.h"

namespace red {

/// Receives the store's root into `target`: the target's name appears only when the whole file is
/// there, has passed the check and is synced; an existing file is replaced, links are followed.
/// Into a pipe or device a file with a check goes as a whole, once it has passed. Large files come
/// over up to as many reads as the store serves at a time, while more make them faster.
void receive_file(RemoteStore& store, const std::filesystem::path& target,
                  const ContentCheck& check, Progress& progress, std::stop_token stop);

/// The same without an end: returns the target, to be committed, with all the bytes in it.
std::shared_ptr<LocalTarget> receive_into(std::unique_ptr<LocalTarget> target, RemoteStore& store,
                                          Progress& progress, std::stop_token stop);

}  // namespace red
