#include "common/remote/discarding_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/error.h"
#include "tests/fakes/text_source.h"

namespace red {
namespace {

/// Cannot be read behind a certain byte.
class BrokenSource final : public ByteSource {
 public:
  std::uint64_t size() const override { return 5'000'000; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    if (offset + buffer.size() >= size()) throw Error(ErrorKind::LocalIo, "a bad sector");
    return buffer.size();
  }
};

class DiscardingStore : public ::testing::Test {
 protected:
  std::unique_ptr<RemoteStore> store_ = make_discarding_store("http://h/x");
  RemotePath path_ = RemotePath().child("a");
};

TEST_F(DiscardingStore, TakesWhateverItIsGiven) {
  testing::TextSource source(std::string(3'000'000, 'x'));
  EXPECT_NO_THROW(store_->uploader()->upload(path_, source, {}, {}));
  EXPECT_GT(source.reads(), 1);
  EXPECT_TRUE(store_->uploader()->make_directory(path_, {}, {}));
  EXPECT_NO_THROW(store_->uploader()->finish_directory(path_, {}, {}));
  EXPECT_NO_THROW(store_->check(Purpose::SendDir, {}));
  EXPECT_GE(store_->parallelism(), 1);
}

TEST_F(DiscardingStore, ReadsToTheEnd) {
  BrokenSource source;
  EXPECT_THROW(store_->uploader()->upload(path_, source, {}, {}), Error);
}

TEST_F(DiscardingStore, Stops) {
  testing::TextSource source("content");
  std::stop_source stop;
  stop.request_stop();
  try {
    store_->uploader()->upload(path_, source, {}, {.stop = stop.get_token()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  EXPECT_EQ(source.reads(), 0);
}

TEST_F(DiscardingStore, HoldsNothing) {
  EXPECT_FALSE(store_->stat(path_, {}));
  EXPECT_THROW(store_->list({}, {}), Error);
  EXPECT_THROW(store_->open(path_, {}), Error);
  EXPECT_EQ(store_->location({}), "http://h/x");
  EXPECT_EQ(store_->location(path_), "http://h/x/a");
}

}  // namespace
}  // namespace red
