#include "transfer/receive_file.h"

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "transfer/file_reception.h"

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

constexpr std::size_t kCopyPiece = 1 << 20;

void copy(ByteSource& content, LocalTarget& target, const std::stop_token& stop) {
  std::vector<std::byte> buffer(kCopyPiece);
  for (std::uint64_t offset = 0;;) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
    const std::size_t count = content.read_at(offset, buffer);
    if (count == 0) return;
    target.write_at(offset, std::span(buffer).first(count));
    offset += count;
  }
}

/// What has gone into a pipe cannot be taken back: it waits on the disk until it has been checked.
void receive_into_stream(LocalTarget& target, RemoteStore& store, const ContentCheck& check,
                         Progress& progress, const std::stop_token& stop) {
  const auto directory = open_directory(std::filesystem::temp_directory_path());
  const auto received =
      receive_into(std::make_unique<SpoolFile>(*directory), store, progress, stop);
  const auto content = received->content();
  check_content(check, *content, stop);
  copy(*content, target, stop);
}

void receive_and_commit(std::unique_ptr<LocalTarget> target, RemoteStore& store,
                        const ContentCheck& check, Progress& progress,
                        const std::stop_token& stop) {
  const auto received = receive_into(std::move(target), store, progress, stop);
  if (check) check_content(check, *received->content(), stop);
  received->commit();
}

}  // namespace

void receive_file(RemoteStore& store, const std::filesystem::path& target_path,
                  const ContentCheck& check, Progress& progress, std::stop_token stop) {
  auto target = open_local_target(target_path);
  progress.expect(1, 0);
  try {
    if (check && target->is_stream()) {
      receive_into_stream(*target, store, check, progress, stop);
    } else {
      receive_and_commit(std::move(target), store, check, progress, stop);
    }
  } catch (const Error& error) {
    throw error.within("receiving " + store.location({}));
  }
  progress.file_done();
}

std::shared_ptr<LocalTarget> receive_into(std::unique_ptr<LocalTarget> target, RemoteStore& store,
                                          Progress& progress, std::stop_token stop) {
  const SteadyClock clock;
  const int max_reads = store.parallelism();
  // The reception may end a moment after it has rung for the last time.
  const auto doorbell = std::make_shared<Doorbell>();
  const auto reception = std::make_shared<FileReception>(
      store.open({}, {}), std::move(target), std::nullopt, std::nullopt, max_reads, progress, clock,
      std::move(stop),
      FileReception::Callbacks{.on_read_ended = [doorbell] { doorbell->ring(false); },
                               .on_done = [doorbell] { doorbell->ring(true); }});
  reception->start();
  while (!doorbell->wait()) reception->tick(max_reads);
  auto received = reception->take_target();
  if (reception->result()) throw Error(*reception->result());
  return received;
}

}  // namespace red
