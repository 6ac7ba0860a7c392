#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/remote/remote_store.h"

namespace red::testing {

/// A read as it reached the store.
struct FakeRead {
  RemotePath path;
  std::optional<ByteRange> range;
  int number = 0;  ///< counts the reads of this store from 1
};

/// How one read is answered. The default is what an honest server does.
struct FakeAnswer {
  std::optional<Error> refusal;              ///< instead of an answer
  std::optional<std::uint64_t> break_after;  ///< bytes of this answer, then `break_error`
  Error break_error{ErrorKind::Network, "the connection was closed early"};
  bool ignore_range = false;           ///< the whole file, and no ranges later
  std::optional<Version> version;      ///< told instead of the file's own
  std::optional<std::string> content;  ///< sent instead of the file's own, whatever is announced
};

/// The calls that can be made to fail.
enum class FakeCall {
  Stat,
  List,
  Read,
  Check,
  Examine,
  Upload,
  MakeDirectory,
  FinishDirectory,
  UploadTree
};

/// A tree in memory as a RemoteStore. Answers to reads come in pieces from a thread of its own, the
/// reads in flight taking turns. Thread-safe; what tests set takes effect for later answers.
class FakeStore final : public RemoteStore, private Uploader, private TreeUploader {
 public:
  FakeStore();
  /// The same tree and server, opened at `root`, which need not exist. What tests set and ask still
  /// has its paths from the top of the tree.
  FakeStore(const FakeStore& tree, std::string_view root);
  /// The last one of a tree ends its reads.
  ~FakeStore() override;

  // The tree. Parents are made as needed; a file that is set again gets a new version. The root is
  // a directory until a file is set at RemotePath{}, or uploaded to it while it is empty.
  void set_file(std::string_view path, std::string content);
  void make_directory(std::string_view path);
  /// What listings and answers tell of an existing file from now on.
  void set_modified(std::string_view path, FileTime modified);
  void remove(std::string_view path);
  /// Nothing if there is no such file. Shows what was uploaded, too.
  std::optional<std::string> content_of(std::string_view path) const;
  /// All paths below the root, directories with a trailing '/', in order.
  std::vector<std::string> paths() const;

  // What kind of server this is.
  void serve_ranges(bool yes);
  void tell_sizes(bool yes);                                     ///< in listings and answers
  void tell_list_sizes(bool yes);                                ///< in listings only
  void tell_checksum(std::string_view path, Checksum checksum);  ///< of a file, right or wrong
  void tell_validators(bool yes);
  void take_uploads(bool yes);
  void take_trees(bool yes);  ///< at first it does not
  void deliver_pieces_of(std::size_t bytes);
  void ask_as(std::optional<Asker> asker) { asker_ = std::move(asker); }  ///< at first nobody

  // Failures. A broken upload has read `bytes` of its source.
  void fail_next(FakeCall call, int times, const Error& error);
  void break_next_uploads(std::uint64_t bytes, int times, const Error& error);
  /// `plan` is asked for every read, on the store's thread.
  void answer_reads_with(std::function<FakeAnswer(const FakeRead&)> plan);

  // Order of events.
  void hold_reads();  ///< reads that have no answer yet get none until they are released
  void release_reads();
  void wait_for_reads(int count) const;  ///< until that many have ever been started
  /// From now on answers go on for so many bytes only, in all; more calls allow more.
  void allow_bytes(std::uint64_t more);
  /// Until every read has ended or waits for bytes to be allowed or reads to be released.
  void wait_until_idle() const;

  // What happened.
  std::vector<FakeRead> reads() const;
  int count_of(FakeCall call) const;
  int most_reads_at_once() const;

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override;
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override;
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override;
  bool listings_are_complete() const override { return true; }
  int parallelism() const override { return 8; }
  std::string location(const RemotePath& path) const override;
  std::optional<Asker> asker() const override { return asker_; }
  void check(Purpose purpose, const RequestContext& context) override;
  Examination examination() override;
  Uploader* uploader() override;
  TreeUploader* tree_uploader() override;
  TreeEditor* editor() override { return nullptr; }

  class Core;

 private:
  void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
              const RequestContext& context) override;
  bool make_directory(const RemotePath& path, const LocalAttributes& attributes,
                      const RequestContext& context) override;
  void finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                        const RequestContext& context) override;
  void upload_tree(const std::vector<FileToSend>& files,
                   const std::function<void(std::int64_t)>& on_sent,
                   const RequestContext& context) override;

  RemotePath in_tree(const RemotePath& path) const;
  void check_place(const RemotePath& path, EntryKind kind) const;

  const std::shared_ptr<Core> core_;
  const RemotePath root_;
  std::optional<Asker> asker_;  ///< set before the store is used
};

}  // namespace red::testing
