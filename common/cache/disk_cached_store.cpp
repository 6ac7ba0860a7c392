#include "common/cache/disk_cached_store.h"

#include <utility>

#include "common/cache/disk_cached_file.h"
#include "common/remote/forwarding_store.h"

namespace red {
namespace {

class DiskCachedStore final : public ForwardingStore {
 public:
  DiskCachedStore(std::unique_ptr<RemoteStore> store, std::shared_ptr<DiskCache> cache)
      : ForwardingStore(*store),
        cache_(std::move(cache)),
        view_(std::make_shared<AskersView>(cache_, store->asker().value())),
        store_(std::move(store)) {
    cache_->run(Priority::Background, [view = view_] { view->prepare(); });
  }
  /// What waits ends, so that nobody asks the store any more; what the store still has under way
  /// ends with it; then what has come is written.
  ~DiskCachedStore() override { cache_->stop(); }

  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override {
    return std::make_shared<DiskCachedFile>(store_->open(path, known), view_,
                                            store_->location(path));
  }

 private:
  const std::shared_ptr<DiskCache> cache_;
  const std::shared_ptr<AskersView> view_;
  const std::unique_ptr<RemoteStore> store_;
};

}  // namespace

std::unique_ptr<RemoteStore> with_disk_cache(std::unique_ptr<RemoteStore> store,
                                             std::shared_ptr<DiskCache> cache) {
  if (!store->asker()) return store;
  return std::make_unique<DiskCachedStore>(std::move(store), std::move(cache));
}

}  // namespace red
