#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/request_context.h"

namespace red {

/// How good or bad it is what an examination has found.
enum class FindingStatus {
  Ok,
  Note,     ///< works, and is worth knowing
  Missing,  ///< something that is needed is not there
  Failed,   ///< something that is there does not work
  Skipped,  ///< not tried, because something before it did not work
};

/// What one step has found; for a person. Never holds a secret.
struct Finding {
  FindingStatus status = FindingStatus::Ok;
  std::string text = {};
};

/// One question to a server.
struct ExaminationStep {
  std::string what;                 ///< "name resolution"
  std::chrono::milliseconds limit;  ///< how long the answer may take
  /// Blocks. Nothing: there is nothing to tell. Throws Error: the step has failed.
  std::function<std::optional<Finding>(const RequestContext&)> run;
};

/// How a protocol's access to its server is examined, without side effect. All of it can be used as
/// long as its store lives, by one thread at a time.
struct Examination {
  /// From the server's name to the login; each needs those before it.
  std::vector<ExaminationStep> steps = {};
  /// The least that the server answers; to measure round trips. Blocks, throws Error.
  std::function<void(const RequestContext&)> small_request = {};
  /// What the server's lists of a directory are; known after RemoteStore::list().
  std::function<std::string()> listing_format = {};
  /// False: the access data is for sending alone, so that nothing need be there yet.
  bool reads = true;
};

}  // namespace red
