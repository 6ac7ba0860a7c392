#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "common/cache/cached_file.h"
#include "common/digest.h"
#include "common/error.h"

namespace red {

/// Holds one content of a file to the checksum that it was promised to have: whoever reads through
/// here never gets all of the content unless it has that checksum.
///
/// A small content is fetched, hashed in order, and delivered only once it is proved; so is one
/// whose size nobody knows. A large one is delivered as it comes, in any order, but for the last of
/// its blocks that nobody has had yet: whoever wants that waits until all of it has been hashed,
/// which for a sequential reader has happened on the way. What was delivered once is recognised, so
/// that what is fetched again, be it from the network or from a disk, must be the same.
///
/// However many readers there are, a content is hashed once, in order. Thread-safe; must be held by
/// a shared_ptr. Outlives the CachedFiles that it reads.
class ContentCheck : public std::enable_shared_from_this<ContentCheck> {
 public:
  using Completion = CachedFile::Completion;

  struct Limits {
    std::uint64_t proved_first = 0;  ///< bytes of the largest content that is proved beforehand
    std::uint64_t max_ahead = 0;     ///< bytes that proving may be ahead of the hash
  };
  enum class State { Unproved, Proved, Refuted };
  /// Told once, when the content is proved (null) or refuted; on any thread, without a lock.
  using Verdict = std::function<void(const Error* error)>;

  /// `size` in bytes, if it is known.
  ContentCheck(Checksum promised, std::optional<std::uint64_t> size, const Limits& limits,
               Verdict on_verdict);
  ~ContentCheck();
  ContentCheck(const ContentCheck&) = delete;
  ContentCheck& operator=(const ContentCheck&) = delete;

  /// As CachedFile::read, from `file`, which must have this content. Also fails with
  /// Error{Integrity}: at once and from then on when the content has been refuted, and for the one
  /// read whose bytes are not those that were there before. A read that waits for the proof waits
  /// as long as the server delivers.
  std::function<void(const Error&)> read(const std::shared_ptr<CachedFile>& file, ByteRange range,
                                         Completion completion);

  /// A reader has gone: gives back the memory that is held for the hash. No more than another read
  /// of it is lost.
  void let_go();

  State state() const;
  /// Why the content is refuted; nothing if it is not.
  std::optional<Error> failure() const;

 private:
  /// A block as it was read, kept alive by all that was read with it.
  struct SeenBlock {
    std::uint64_t index = 0;
    std::uint64_t digest = 0;
    std::vector<std::span<const std::byte>> pieces;
    std::shared_ptr<const ReadBytes> owner;
  };
  struct WaitingRead {
    std::uint64_t ticket;
    std::shared_ptr<CachedFile> file;
    ByteRange range;
    Completion completion;
  };
  enum class Purpose { ForReader, ForProof };
  enum class Finding { Good, MustWait, Altered };

  // With mutex_ held:
  bool must_wait() const;
  ByteRange blocks_around(ByteRange range) const;
  Finding take_note(std::vector<SeenBlock>& blocks, Purpose purpose);
  bool is_hashed() const;
  void conclude();
  std::stop_source call_off_ahead();

  // Without it:
  std::function<void(const Error&)> read_now(const std::shared_ptr<CachedFile>& file,
                                             ByteRange range, Completion completion);
  void answer(const std::shared_ptr<CachedFile>& file, ByteRange range, ByteRange around,
              ReadBytes bytes, Completion completion);
  std::function<void(const Error&)> wait_for_proof(const std::shared_ptr<CachedFile>& file,
                                                   ByteRange range, Completion completion);
  void refuse(const std::shared_ptr<CachedFile>& file, ByteRange around, const Error& why,
              const Completion& completion);
  void abandon(std::uint64_t ticket, const Error& error);
  void advance(const std::shared_ptr<CachedFile>& file);
  bool step(std::unique_lock<std::mutex>& lock, const std::shared_ptr<CachedFile>& file);
  void hash_next(std::unique_lock<std::mutex>& lock);
  void fetch_next(std::unique_lock<std::mutex>& lock, const std::shared_ptr<CachedFile>& file);
  void fetched(const std::shared_ptr<CachedFile>& file, ByteRange asked, const Error* error,
               ReadBytes bytes);
  void fail_waiting(const Error& error);
  void tell_verdict(std::unique_lock<std::mutex>& lock, const std::shared_ptr<CachedFile>& file);
  void refute(const std::shared_ptr<CachedFile>& file, Error error);
  static std::vector<SeenBlock> look_at(std::uint64_t begin,
                                        const std::shared_ptr<const ReadBytes>& bytes);

  // set once
  const Checksum promised_;
  const Limits limits_;
  const bool is_proved_first_;
  const Verdict on_verdict_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::optional<std::uint64_t> size_;
  std::vector<std::uint64_t> digests_;       ///< of the blocks that have been read; 0: not yet
  std::uint64_t unseen_ = 0;                 ///< blocks of which the digest is not known yet
  std::uint64_t next_ = 0;                   ///< the block that is hashed next
  std::map<std::uint64_t, SeenBlock> held_;  ///< read, and to be hashed
  Digest hash_;                ///< of the blocks before next_; whoever advances has it
  bool is_advancing_ = false;  ///< one thread hashes and fetches
  bool is_fetching_ = false;   ///< for the proof
  std::uint64_t ahead_ = 0;    ///< bytes before it have been asked for
  std::stop_source ahead_stop_;
  std::vector<WaitingRead> waiting_;
  std::uint64_t next_ticket_ = 1;
  bool is_proved_ = false;
  std::optional<Error> failure_;
  bool is_verdict_told_ = false;
};

}  // namespace red
