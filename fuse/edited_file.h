#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/remote/tree_editor.h"
#include "common/timer.h"

namespace red {

/// A file that is written through the mount. Writes return before the server has them: they are
/// gathered and sent many at a time, those that overlap one after the other. Whatever else is asked
/// of the file comes after the writes that were made before it. A connection that breaks is waited
/// for; a write that cannot be made in time is lost, which flush() tells every time and write() or
/// sync() once.
/// Thread-safe; must be held by a shared_ptr.
class EditedFile : public std::enable_shared_from_this<EditedFile> {
 public:
  using Done = WritableFile::Done;
  using ReadDone = WritableFile::ReadDone;

  struct Environment {
    Timer& timer;
    Duration retry_limit;  ///< how long a write is tried
    std::stop_token stop;
    /// Told of every write that is lost, on any thread.
    std::function<void(const Error&)> on_loss;
    /// Whether the server has set times when it was asked to; shared by all files of a mount.
    std::shared_ptr<std::atomic<bool>> sets_times;
  };

  EditedFile(std::shared_ptr<WritableFile> file, std::uint64_t size, FileTime modified,
             Environment environment);
  /// Everything has been sent by then: what is under way keeps this alive.
  ~EditedFile();
  EditedFile(const EditedFile&) = delete;
  EditedFile& operator=(const EditedFile&) = delete;

  /// Takes the bytes at once; `done` comes when there is room for more.
  void write(std::uint64_t offset, std::span<const std::byte> bytes, Done done);
  void read(ByteRange range, ReadDone done);
  /// Times go behind the bytes that are on their way and are, like these, done when close or fsync
  /// are; provided that this server sets times. All else is done when `done` comes.
  void change(const FileChange& change, Done done);
  /// Until the server has acknowledged all writes; tells what was lost. Every close() of a copy of
  /// a descriptor comes here, and many programs look at but one of them: it is not forgotten by
  /// that.
  void flush(Done done);
  /// The same, and until the server's disk has them. What was lost is told once, as by fsync(2).
  void sync(Done done);

  /// With what has been written, whether the server has it or not.
  std::uint64_t size() const;
  FileTime modified() const;
  /// What was changed by the file's name.
  void adopt(const FileChange& change);
  /// Bytes up to there have been put into the file on the server.
  void filled_to(std::uint64_t end);
  /// See WritableFile::forget_name().
  void forget_name() { file_->forget_name(); }
  /// The mount ends: what has not been sent is told as lost, once.
  void give_up();
  /// Whether the server has not yet acknowledged everything.
  bool has_unsent() const;

 private:
  /// A write, or a change of times among the writes.
  struct Piece {
    std::uint64_t number = 0;  ///< in the order of the writes
    std::optional<FileChange> change;
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
    TimePoint deadline{};  ///< of the try that is made
    int tries = 0;

    std::uint64_t end() const { return offset + bytes.size(); }
  };
  enum class Urge { None, SendAll };  ///< whether a small piece may wait for more bytes
  using Pieces = std::list<std::shared_ptr<Piece>>;

  // With mutex_ held:
  bool may_send(const Piece& piece, Urge urge) const;
  std::uint64_t oldest_open() const;
  void collect_ended(std::vector<Done>& ended);

  // Without it:
  void try_repeatedly(std::function<void(Done)> operation, Done done);
  void attempt(std::function<void(Done)> operation, Done done, TimePoint give_up, int tries);
  bool has_sent_all();
  /// When writes that fail are tried no more: the server has taken nothing for too long.
  TimePoint give_up_at() const;
  void send_more(Urge urge = Urge::None);
  bool send_along(const FileChange& change);
  void send_again(const std::shared_ptr<Piece>& piece);
  void send(const std::shared_ptr<Piece>& piece);
  void sent(const std::shared_ptr<Piece>& piece, const Error* error);
  /// Calls `then` when all writes made so far have ended.
  void after_writes(Done then);
  RequestContext context() const;

  // set once
  const std::shared_ptr<WritableFile> file_;
  const Environment environment_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::uint64_t size_;
  FileTime modified_;
  std::uint64_t next_number_ = 1;
  std::deque<std::shared_ptr<Piece>> queue_;
  Pieces in_flight_;
  std::size_t queued_bytes_ = 0;
  std::size_t in_flight_bytes_ = 0;
  TimePoint last_progress_{};                          ///< of what is in flight
  std::vector<Done> writers_;                          ///< wait for room
  std::list<std::pair<std::uint64_t, Done>> waiting_;  ///< for all pieces up to that number
  std::optional<Error> loss_;                          ///< not told by write() or sync()
  bool is_given_up_ = false;
};

}  // namespace red
