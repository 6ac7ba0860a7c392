#include "common/pause.h"

#include <condition_variable>
#include <mutex>
#include <random>

#include "common/error.h"

namespace red {

std::chrono::milliseconds jittered(std::chrono::milliseconds longest) {
  thread_local std::minstd_rand random(std::random_device{}());
  std::uniform_int_distribution<std::chrono::milliseconds::rep> pick(longest.count() / 2,
                                                                     longest.count());
  return std::chrono::milliseconds(pick(random));
}

void sleep_for(std::chrono::milliseconds pause, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, pause, [] { return false; });
  if (stop.stop_requested()) {
    throw Error(ErrorKind::Cancelled, "stopped while waiting for another try");
  }
}

}  // namespace red
