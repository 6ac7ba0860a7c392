#include "transfer/listed_store.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "common/access/listing_form.h"
#include "tests/fakes/collecting_sink.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/path_of.h"

namespace red {
namespace {

using testing::FakeCall;
using testing::FakeStore;
using testing::path_of;

constexpr std::string_view kSha1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

class ListedStoreTest : public ::testing::Test {
 protected:
  ListedStoreTest() {
    server_->set_file("a", "alpha");
    server_->set_file("sub/b", "beta");
    server_->set_file("unlisted", "x");
  }

  void open(std::string_view json) {
    store_ = std::make_unique<ListedStore>(std::make_unique<FakeStore>(*server_, ""),
                                           parse_listing(json, "test"));
  }
  int requests() const {
    return server_->count_of(FakeCall::Stat) + server_->count_of(FakeCall::List) +
           server_->count_of(FakeCall::Read) + server_->count_of(FakeCall::Check);
  }
  /// Reads and returns what came, or the error.
  std::variant<std::string, Error> read(std::string_view path, std::optional<ByteRange> range,
                                        Version known = {}) {
    const auto file = store_->open(path_of(path), known);
    const auto sink = std::make_shared<testing::CollectingSink>();
    file->read(range, sink, {});
    EXPECT_TRUE(sink->wait());
    if (const auto error = sink->error()) return *error;
    return sink->bytes();
  }

  std::unique_ptr<FakeStore> server_ = std::make_unique<FakeStore>();
  std::unique_ptr<ListedStore> store_;
};

constexpr std::string_view kListing = R"([
  {"class": "File", "basename": "a", "size": 5,
   "checksum": "sha1$2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"},
  {"class": "Directory", "basename": "sub", "listing": [
    {"class": "File", "basename": "b", "size": 4},
    {"class": "Directory", "basename": "empty"}]}])";

TEST_F(ListedStoreTest, TellsTheTreeWithoutARequest) {
  open(kListing);
  const auto a = store_->stat(path_of("a"), {});
  ASSERT_TRUE(a);
  EXPECT_EQ(a->size, 5U);
  EXPECT_EQ(a->checksum->hex, kSha1);
  EXPECT_FALSE(a->modified);
  EXPECT_EQ(store_->stat(path_of("sub"), {})->kind, EntryKind::Directory);
  EXPECT_EQ(store_->stat(path_of("sub/b"), {})->size, 4U);
  EXPECT_EQ(store_->stat({}, {})->kind, EntryKind::Directory);
  const auto sub = store_->list(path_of("sub"), {});
  ASSERT_EQ(sub.size(), 2U);
  EXPECT_EQ(sub[0].name, "b");
  EXPECT_TRUE(store_->list(path_of("sub/empty"), {}).empty());
  EXPECT_TRUE(store_->listings_are_complete());
  EXPECT_EQ(store_->editor(), nullptr);
  EXPECT_EQ(requests(), 0);
}

TEST_F(ListedStoreTest, WhatTheListingDoesNotNameIsMissingWithoutARequest) {
  open(kListing);
  for (const char* name : {"unlisted", "nothing", "a/below", "sub/nothing", "sub/empty/x"}) {
    EXPECT_FALSE(store_->stat(path_of(name), {})) << name;
  }
  EXPECT_THROW(store_->list(path_of("nothing"), {}), Error);
  EXPECT_THROW(store_->list(path_of("a"), {}), Error);
  EXPECT_EQ(requests(), 0);
}

TEST_F(ListedStoreTest, FirstListingOfTheRootProvesOnceThatTheServerHasTheFirstFile) {
  open(kListing);
  EXPECT_EQ(store_->list({}, {}).size(), 2U);
  EXPECT_EQ(store_->list({}, {}).size(), 2U);
  EXPECT_EQ(server_->count_of(FakeCall::Stat), 1);
  EXPECT_EQ(requests(), 1);

  open(R"([{"class": "File", "basename": "missing", "size": 1}])");
  try {
    store_->list({}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_NE(error.message().find("missing"), std::string::npos);
  }
}

TEST_F(ListedStoreTest, ListingWithoutFilesProvesTheServerByACheck) {
  open(R"([{"class": "Directory", "basename": "d"}])");
  EXPECT_EQ(store_->list({}, {}).size(), 1U);
  EXPECT_EQ(server_->count_of(FakeCall::Check), 1);
}

TEST_F(ListedStoreTest, SizeThatIsNotListedIsAskedForOnce) {
  open(R"([{"class": "File", "basename": "a"}, {"class": "File", "basename": "missing"}])");
  EXPECT_EQ(store_->stat(path_of("a"), {})->size, 5U);
  EXPECT_EQ(store_->stat(path_of("a"), {})->size, 5U);
  EXPECT_EQ(requests(), 1);
  try {
    store_->stat(path_of("missing"), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Integrity) << "it is named, so it is not missing";
  }
}

TEST_F(ListedStoreTest, FilesPromiseTheirChecksumAndSize) {
  open(kListing);
  const auto a = store_->open(path_of("a"), {});
  ASSERT_TRUE(a->promised_checksum());
  EXPECT_EQ(a->promised_checksum()->hex, kSha1);
  EXPECT_EQ(a->version().size, 5U);
  EXPECT_FALSE(store_->open(path_of("sub/b"), {})->promised_checksum());
}

TEST_F(ListedStoreTest, ReadsFilesOfTheListedSize) {
  open(kListing);
  EXPECT_EQ(std::get<std::string>(read("a", std::nullopt)), "alpha");
  EXPECT_EQ(std::get<std::string>(read("a", ByteRange{1, 3})), "lp");
}

TEST_F(ListedStoreTest, AnotherSizeOfTheServerIsAnIntegrityErrorHoweverItIsRead) {
  for (const char* content : {"", "alph", "alphabet"}) {
    for (const bool tells_sizes : {true, false}) {
      for (const bool ranges : {true, false}) {
        server_->set_file("a", content);
        server_->tell_sizes(tells_sizes);
        server_->serve_ranges(ranges);
        open(kListing);
        const std::string what = std::string(content) + (tells_sizes ? " told" : " untold") +
                                 (ranges ? " ranges" : " stream");
        const auto whole = read("a", std::nullopt, Version{{}, {}, 5});
        ASSERT_TRUE(std::holds_alternative<Error>(whole)) << what;
        EXPECT_EQ(std::get<Error>(whole).kind(), ErrorKind::Integrity) << what;
      }
    }
  }
  server_->tell_sizes(true);
  server_->serve_ranges(true);
  server_->set_file("a", "alph");
  open(kListing);
  const auto part = read("a", ByteRange{0, 5}, Version{{}, {}, 5});
  ASSERT_TRUE(std::holds_alternative<Error>(part));
  EXPECT_EQ(std::get<Error>(part).kind(), ErrorKind::Integrity);
}

TEST_F(ListedStoreTest, FileThatTheServerDoesNotHaveIsAnIntegrityError) {
  server_->remove("a");
  open(kListing);
  const auto result = read("a", ByteRange{0, 5});
  ASSERT_TRUE(std::holds_alternative<Error>(result));
  EXPECT_EQ(std::get<Error>(result).kind(), ErrorKind::Integrity);
}

}  // namespace
}  // namespace red
