#include "common/remote/counting_store.h"

#include <utility>

#include "common/remote/forwarding_store.h"

namespace red {
namespace {

void count(std::atomic<std::uint64_t>& counter, std::uint64_t more = 1) {
  counter.fetch_add(more, std::memory_order_relaxed);
}

class CountingSink final : public ReadSink {
 public:
  CountingSink(std::shared_ptr<ReadSink> sink, RemoteCounters& counters)
      : sink_(std::move(sink)), counters_(counters) {}

  bool begin(const ReadAnswer& answer) override { return sink_->begin(answer); }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    count(counters_.fetched_bytes, bytes.size());
    return sink_->receive(offset, bytes);
  }
  void finish(const Error* error) noexcept override { sink_->finish(error); }

 private:
  const std::shared_ptr<ReadSink> sink_;
  RemoteCounters& counters_;
};

class CountingFile final : public ForwardingFile {
 public:
  CountingFile(std::shared_ptr<RemoteFile> file, RemoteCounters& counters)
      : ForwardingFile(std::move(file)), counters_(counters) {}

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    count(counters_.reads);
    inner()->read(range, std::make_shared<CountingSink>(std::move(sink), counters_), context);
  }

 private:
  RemoteCounters& counters_;
};

class CountingStore final : public ForwardingStore {
 public:
  CountingStore(std::unique_ptr<RemoteStore> store, RemoteCounters& counters)
      : ForwardingStore(*store), store_(std::move(store)), counters_(counters) {}

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override {
    count(counters_.stats);
    return store_->stat(path, context);
  }
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override {
    count(counters_.lists);
    return store_->list(directory, context);
  }
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override {
    return std::make_shared<CountingFile>(store_->open(path, known), counters_);
  }

 private:
  const std::unique_ptr<RemoteStore> store_;
  RemoteCounters& counters_;
};

}  // namespace

std::unique_ptr<RemoteStore> with_counters(std::unique_ptr<RemoteStore> store,
                                           RemoteCounters& counters) {
  return std::make_unique<CountingStore>(std::move(store), counters);
}

}  // namespace red
