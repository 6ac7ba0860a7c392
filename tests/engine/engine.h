#pragma once

#include "tests/engine/experiment.h"

namespace red::testing {

/// Carries out an experiment as the agent of curious-containers does (cc-core, cc_core/agent/blue):
/// the version of every connector's interface; target directories; all validations; all mounts,
/// then all receives, each followed by a check of what came; the command; all sends; and whatever
/// happened, an unmount of everything that was to be mounted. Access data and listings are in
/// files that are gone when a call returns; stdout and stderr are pipes that are read to their end.
///
/// The report is an object:
///   state    "succeeded" or "failed"
///   failure  the first one: what failed, and what the connector said
///   calls    one object for each call of a connector: words, exitCode, milliseconds, stderr
///   left     what is left behind afterwards, a line each (Traces::find)
///   files    what is in the experiment's directory (Traces::files)
Json run_experiment(const Experiment& experiment);

}  // namespace red::testing
