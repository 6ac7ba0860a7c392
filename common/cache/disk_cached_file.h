#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/cache/disk_cache.h"
#include "common/remote/remote_store.h"

namespace red {

class DiskCachedRead;

/// What one asker sees of a cache. Thread-safe.
class AskersView {
 public:
  AskersView(std::shared_ptr<DiskCache> cache, Asker asker)
      : cache_(std::move(cache)), asker_(std::move(asker)) {}

  DiskCache& cache() const noexcept { return *cache_; }
  bool is_told_etags() const noexcept { return asker_.is_told_etags; }

  /// Slow, once; content() does it if nobody has before.
  void prepare();
  /// Throws Error{Internal}.
  std::shared_ptr<ContentHandle> content(const std::string& location, const Version& version);

 private:
  const std::shared_ptr<DiskCache> cache_;
  const Asker asker_;
  std::once_flag named_;
  std::optional<ContentNaming> naming_;  ///< set once
};

/// A remote file that is read through the cache on disk. Thread-safe; must be held by a shared_ptr.
class DiskCachedFile final : public RemoteFile,
                             public std::enable_shared_from_this<DiskCachedFile> {
 public:
  DiskCachedFile(std::shared_ptr<RemoteFile> remote, std::shared_ptr<AskersView> view,
                 std::string location)
      : remote_(std::move(remote)), view_(std::move(view)), location_(std::move(location)) {}

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override;
  Version version() const override { return remote_->version(); }
  void distrust() override;

  // For its reads.
  RemoteFile& remote() const noexcept { return *remote_; }
  DiskCache& cache() const noexcept { return view_->cache(); }

  enum class Standing {
    Kept,     ///< there is a content for it
    Unknown,  ///< the server has to be asked first which version it has
    NotKept,  ///< nothing of it is kept, now at least
  };
  struct Place {
    Standing standing = Standing::NotKept;
    std::shared_ptr<ContentHandle> content;
  };
  /// Where the file is in the cache. On a disk worker.
  Place place();

  /// Asks the server for the version, once for all reads that need it; then they go on.
  void ask_version(const std::shared_ptr<DiskCachedRead>& read, const RequestContext& context);

  /// An answer of the server has come.
  void answered(const ReadAnswer& answer);
  /// What an answer from the cache tells; the first after one of the server counts as that.
  ReadAnswer answer_from_cache();
  void answer_is_told();

 private:
  class VersionProbe;

  void version_asked(bool has_failed);

  const std::shared_ptr<RemoteFile> remote_;
  const std::shared_ptr<AskersView> view_;
  const std::string location_;

  std::mutex mutex_;
  // guarded by mutex_
  std::shared_ptr<ContentHandle> content_;
  std::optional<ReadAnswer> answer_;                      ///< the server's last
  bool is_told_ = true;                                   ///< to a reader
  std::vector<std::shared_ptr<DiskCachedRead>> waiting_;  ///< for the version
};

}  // namespace red
