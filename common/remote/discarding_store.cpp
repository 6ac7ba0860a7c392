#include "common/remote/discarding_store.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "common/error.h"

namespace red {
namespace {

constexpr std::size_t kPiece = 1 << 20;
/// No network limits this; it is the local disk that is read.
constexpr int kParallelism = 4;

class DiscardingStore final : public RemoteStore, private Uploader {
 public:
  explicit DiscardingStore(std::string location) : location_(std::move(location)) {}

  std::optional<Entry> stat(const RemotePath&, const RequestContext&) override {
    return std::nullopt;
  }
  std::vector<Entry> list(const RemotePath& directory, const RequestContext&) override {
    throw nothing_here(directory);
  }
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version&) override {
    throw nothing_here(path);
  }
  bool listings_are_complete() const override { return true; }
  int parallelism() const override { return kParallelism; }
  std::string location(const RemotePath& path) const override {
    return path.is_root() ? location_ : location_ + "/" + path.text();
  }
  void check(Purpose, const RequestContext&) override {}
  Uploader* uploader() override { return this; }
  TreeEditor* editor() override { return nullptr; }

 private:
  void upload(const RemotePath&, ByteSource& source, const LocalAttributes&,
              const RequestContext& context) override {
    std::vector<std::byte> buffer(kPiece);
    for (std::uint64_t offset = 0; offset < source.size();) {
      if (context.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
      offset += source.read_at(offset, buffer);
    }
  }
  bool make_directory(const RemotePath&, const LocalAttributes&, const RequestContext&) override {
    return true;
  }
  void finish_directory(const RemotePath&, const LocalAttributes&, const RequestContext&) override {
  }

  Error nothing_here(const RemotePath& path) const {
    return {ErrorKind::NotFound, location(path) + ": what is sent here is not kept"};
  }

  const std::string location_;
};

}  // namespace

std::unique_ptr<RemoteStore> make_discarding_store(std::string location) {
  return std::make_unique<DiscardingStore>(std::move(location));
}

}  // namespace red
