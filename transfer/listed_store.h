#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/remote/forwarding_store.h"
#include "common/remote/listing.h"

namespace red {

/// A store whose tree is known beforehand: what exists, and with which size and checksum, is what
/// the listing says, without a request. Only a size that it leaves out is asked for, once.
/// Read-only. Files are told to promise the checksum that the listing has; one whose size on the
/// server is another than the listing's fails with Error{Integrity} when it is read. Thread-safe.
class ListedStore final : public ForwardingStore {
 public:
  ListedStore(std::unique_ptr<RemoteStore> store, Listing listing);

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override;
  /// The first listing of the root proves that the server can be reached: it must have the first
  /// file that the listing names; without one, be ready for a mount.
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override;
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override;
  bool listings_are_complete() const override { return true; }
  Uploader* uploader() override { return nullptr; }
  TreeUploader* tree_uploader() override { return nullptr; }
  TreeEditor* editor() override { return nullptr; }

 private:
  const ListingEntry* find(const RemotePath& path) const;
  const Listing& children_of(const RemotePath& directory) const;
  std::optional<std::uint64_t> ask_for_size(const RemotePath& path, const RequestContext& context);
  void prove(const RequestContext& context);

  const std::unique_ptr<RemoteStore> store_;
  const Listing root_;  ///< each directory sorted by name
  std::atomic<bool> is_proved_ = false;

  std::mutex mutex_;
  // guarded by mutex_
  std::map<std::string, std::uint64_t, std::less<>> asked_sizes_;  ///< bytes, by path
};

}  // namespace red
