#include "transfer/receive_file.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "transfer/file_reception.h"
#include "transfer/local_files.h"

namespace red {
namespace {

constexpr std::chrono::milliseconds kTick{250};

/// What the transport's threads tell the one that waits.
class Doorbell {
 public:
  void ring(bool is_done) {
    const std::lock_guard lock(mutex_);
    has_rung_ = true;
    is_done_ = is_done_ || is_done;
    rung_.notify_all();
  }

  /// Until somebody rings, or for one tick. True once done.
  bool wait() {
    std::unique_lock lock(mutex_);
    rung_.wait_for(lock, kTick, [this] { return has_rung_; });
    has_rung_ = false;
    return is_done_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  bool has_rung_ = false;
  bool is_done_ = false;
};

}  // namespace

void receive_file(RemoteStore& store, const std::filesystem::path& target, Progress& progress,
                  std::stop_token stop) {
  const SteadyClock clock;
  const int max_reads = store.parallelism();
  // The reception may end a moment after it has rung for the last time.
  const auto doorbell = std::make_shared<Doorbell>();
  const auto reception = std::make_shared<FileReception>(
      store.open({}, {}), open_local_target(target), std::nullopt, std::nullopt, max_reads,
      progress, clock, std::move(stop),
      FileReception::Callbacks{.on_read_ended = [doorbell] { doorbell->ring(false); },
                               .on_done = [doorbell] { doorbell->ring(true); }});
  progress.expect(1, 0);
  reception->start();
  while (!doorbell->wait()) reception->tick(max_reads);
  const auto received = reception->take_target();
  if (reception->result()) throw reception->result()->within("receiving " + store.location({}));
  received->commit();
  progress.file_done();
}

}  // namespace red
