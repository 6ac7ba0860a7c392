#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace red {

struct BoundedResult {
  bool finished = false;  ///< false: it took too long and was killed, or it failed
  std::string output;     ///< as far as it came
};

/// Work that hands over text by its argument, as often as it likes.
using BoundedWork = std::function<void(const std::function<void(std::string_view)>& put)>;

/// Runs `work` in a child process and waits for it, at most `limit`. For calls that may hang in the
/// kernel, where a thread could not be got rid of: a process can be killed. The calling process
/// must have one thread only. Throws Error{LocalIo} if no process can be started.
BoundedResult run_bounded(std::chrono::milliseconds limit, const BoundedWork& work);

/// Appends what comes from `fd` until its end. False if that has not come by the deadline.
bool read_until(int fd, std::chrono::steady_clock::time_point deadline, std::string& output);

}  // namespace red
