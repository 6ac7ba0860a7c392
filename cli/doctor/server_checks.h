#pragma once

#include <functional>
#include <span>
#include <stop_token>

#include "cli/doctor/finding_table.h"
#include "common/remote/remote_store.h"

namespace red {

/// What becomes of each row as soon as it is known.
using ShowRow = std::function<void(const FindingRow& row)>;

/// How it is about the thing that the access data names.
struct ServerVerdict {
  bool is_file = false;  ///< it is known to be one
};

/// What a server is to be used for.
struct ServerUse {
  std::span<const Purpose> purposes;  ///< those that the access data is complete for; not empty
  bool is_archive = false;            ///< directories are received from a file
};

/// Examines the way to a server and what it serves, step by step; after one that fails those that
/// need it are skipped. `store` is opened for the first of the purposes and does not repeat what
/// fails. Ends within a minute. Changes nothing. Throws Error{Cancelled} when a stop is asked for,
/// and nothing else.
ServerVerdict check_server(RemoteStore& store, const ServerUse& use, const std::stop_token& stop,
                           const ShowRow& show);

}  // namespace red
