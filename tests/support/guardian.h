#pragma once

namespace red::testing {

/// Starts a process that outlives this one just long enough to clear up behind it, however it ends:
/// kills what it started, detaches its mounts, removes its temporary directories. To be called
/// once, before there are threads.
void start_guardian();

}  // namespace red::testing
