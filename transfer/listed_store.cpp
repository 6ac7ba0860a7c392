#include "transfer/listed_store.h"

#include <algorithm>
#include <utility>

namespace red {
namespace {

Listing sorted(Listing listing) {
  std::ranges::sort(listing, {}, &ListingEntry::basename);
  for (ListingEntry& entry : listing) entry.children = sorted(std::move(entry.children));
  return listing;
}

const ListingEntry* find_in(const Listing& directory, std::string_view name) {
  const auto found = std::ranges::lower_bound(directory, name, {}, [](const ListingEntry& entry) {
    return std::string_view(entry.basename);
  });
  return found != directory.end() && found->basename == name ? &*found : nullptr;
}

/// The first file in the order of the tree; nothing if there is none.
std::optional<RemotePath> first_file(const Listing& listing, const RemotePath& directory) {
  for (const ListingEntry& entry : listing) {
    const RemotePath path = directory.child(entry.basename);
    if (entry.kind == ListingEntry::Kind::File) return path;
    if (auto found = first_file(entry.children, path)) return found;
  }
  return std::nullopt;
}

Entry to_entry(const ListingEntry& listed) {
  Entry entry;
  entry.name = listed.basename;
  entry.kind = listed.kind == ListingEntry::Kind::File ? EntryKind::File : EntryKind::Directory;
  entry.size = listed.size;
  if (listed.sha1) entry.checksum = Checksum{DigestAlgorithm::Sha1, *listed.sha1};
  return entry;
}

Error no_such_file(const std::string& path) {
  return Error(ErrorKind::Integrity,
               path + ": the listing names this file, the server does not have it");
}

/// Lets nothing pass of a file that turns out to have another size than is listed, if that is
/// known.
class ListedSink final : public ReadSink {
 public:
  ListedSink(std::shared_ptr<ReadSink> sink, std::string path, std::optional<std::uint64_t> size,
             std::optional<ByteRange> range)
      : sink_(std::move(sink)), path_(std::move(path)), size_(size), range_(range) {}

  bool begin(const ReadAnswer& answer) override {
    if (size_ && answer.version.size && *answer.version.size != *size_) {
      return refuse(std::to_string(*answer.version.size) + " bytes");
    }
    is_range_ = answer.is_range;
    end_ = answer.offset;
    return sink_->begin(answer);
  }

  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    end_ = offset + bytes.size();
    if (size_ && end_ > *size_) return refuse("more bytes");
    return sink_->receive(offset, bytes);
  }

  void finish(const Error* error) noexcept override {
    if (error == nullptr && size_ && end_ < wanted_end()) refuse(std::to_string(end_) + " bytes");
    if (error != nullptr && error->kind() == ErrorKind::NotFound) fault_ = no_such_file(path_);
    sink_->finish(fault_ ? &*fault_ : error);
  }

 private:
  std::uint64_t wanted_end() const {
    return range_ && is_range_ ? std::min(range_->end, *size_) : *size_;
  }
  bool refuse(const std::string& found) {
    fault_ = Error(ErrorKind::Integrity, path_ + ": the server has " + found +
                                             ", the listing says " + std::to_string(*size_));
    return false;
  }

  const std::shared_ptr<ReadSink> sink_;
  const std::string path_;
  const std::optional<std::uint64_t> size_;
  const std::optional<ByteRange> range_;
  bool is_range_ = false;
  std::uint64_t end_ = 0;  ///< of the bytes that have come
  std::optional<Error> fault_;
};

class ListedFile final : public ForwardingFile {
 public:
  ListedFile(std::shared_ptr<RemoteFile> file, std::string path, const ListingEntry& listed)
      : ForwardingFile(std::move(file)), path_(std::move(path)), listed_(to_entry(listed)) {}

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    auto watched = std::make_shared<ListedSink>(std::move(sink), path_, listed_.size, range);
    inner()->read(range, std::move(watched), context);
  }

  Version version() const override {
    Version version = inner()->version();
    if (listed_.size) version.size = listed_.size;
    return version;
  }

  std::optional<Checksum> promised_checksum() const override { return listed_.checksum; }

 private:
  const std::string path_;
  const Entry listed_;
};

}  // namespace

ListedStore::ListedStore(std::unique_ptr<RemoteStore> store, Listing listing)
    : ForwardingStore(*store), store_(std::move(store)), root_(sorted(std::move(listing))) {}

/// Null for the root, and for what the listing does not name.
const ListingEntry* ListedStore::find(const RemotePath& path) const {
  const Listing* directory = &root_;
  const ListingEntry* found = nullptr;
  for (const std::string_view name : path.components()) {
    found = directory == nullptr ? nullptr : find_in(*directory, name);
    if (found == nullptr) return nullptr;
    directory = found->kind == ListingEntry::Kind::Directory ? &found->children : nullptr;
  }
  return found;
}

const Listing& ListedStore::children_of(const RemotePath& directory) const {
  if (directory.is_root()) return root_;
  const ListingEntry* found = find(directory);
  if (found == nullptr || found->kind != ListingEntry::Kind::Directory) {
    throw Error(ErrorKind::NotFound, directory.text() + ": the listing has no such directory");
  }
  return found->children;
}

std::optional<Entry> ListedStore::stat(const RemotePath& path, const RequestContext& context) {
  if (path.is_root()) {
    Entry root;
    root.kind = EntryKind::Directory;
    return root;
  }
  const ListingEntry* found = find(path);
  if (found == nullptr) return std::nullopt;
  Entry entry = to_entry(*found);
  if (entry.kind == EntryKind::File && !entry.size) entry.size = ask_for_size(path, context);
  return entry;
}

/// Nothing if the server does not tell it.
std::optional<std::uint64_t> ListedStore::ask_for_size(const RemotePath& path,
                                                       const RequestContext& context) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = asked_sizes_.find(path.text());
    if (known != asked_sizes_.end()) return known->second;
  }
  const auto found = store_->stat(path, context);
  if (!found || found->kind != EntryKind::File) {
    throw no_such_file(path.text());
  }
  if (found->size) {
    const std::lock_guard lock(mutex_);
    asked_sizes_[path.text()] = *found->size;
  }
  return found->size;
}

void ListedStore::prove(const RequestContext& context) {
  if (is_proved_) return;
  const auto file = first_file(root_, {});
  if (!file) {
    store_->check(Purpose::MountDir, context);
  } else if (const auto found = store_->stat(*file, context);
             !found || found->kind != EntryKind::File) {
    throw Error(ErrorKind::NotFound,
                store_->location(*file) + ": no such file on the server, but in the listing");
  }
  is_proved_ = true;
}

std::vector<Entry> ListedStore::list(const RemotePath& directory, const RequestContext& context) {
  if (directory.is_root()) prove(context);
  const Listing& children = children_of(directory);
  std::vector<Entry> entries;
  entries.reserve(children.size());
  for (const ListingEntry& child : children) entries.push_back(to_entry(child));
  return entries;
}

std::shared_ptr<RemoteFile> ListedStore::open(const RemotePath& path, const Version& known) {
  const ListingEntry* listed = find(path);
  if (listed == nullptr) return store_->open(path, known);
  Version told = known;
  // Another size is no change of the file but a listing that is not kept: the two are told apart.
  if (listed->size) told.size.reset();
  return std::make_shared<ListedFile>(store_->open(path, told), path.text(), *listed);
}

}  // namespace red
