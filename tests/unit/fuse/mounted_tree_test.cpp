#include "fuse/mounted_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cerrno>
#include <functional>
#include <future>
#include <set>
#include <span>
#include <string>
#include <thread>

#include "common/access/listing_form.h"
#include "tests/fakes/fake_store.h"
#include "transfer/listed_store.h"

namespace red {
namespace {

using testing::FakeCall;
using testing::FakeStore;

class MountedTreeTest : public ::testing::Test {
 protected:
  MountedTreeTest() { mount({}); }

  void mount(const MountedTree::Options& options) {
    tree.reset();
    auto owned = std::make_unique<FakeStore>();
    store = owned.get();
    store->set_file("a.txt", "alpha");
    store->set_file("sub/b.txt", "beta");
    store->make_directory("empty");
    tree = std::make_unique<MountedTree>(std::move(owned), timer, options);
  }

  template <typename Value, typename Start>
  static Value wait_for(Start start) {
    auto promise = std::make_shared<std::promise<Value>>();
    auto future = promise->get_future();
    start([promise](const Error* error, Value value) {
      if (error != nullptr) {
        promise->set_exception(std::make_exception_ptr(*error));
      } else {
        promise->set_value(std::move(value));
      }
    });
    return future.get();
  }
  Attributes lookup(NodeId directory, const std::string& name) {
    return wait_for<Attributes>([&](auto reply) { tree->lookup(directory, name, reply); });
  }
  Attributes attributes(NodeId node) {
    return wait_for<Attributes>([&](auto reply) { tree->get_attributes(node, reply); });
  }
  std::shared_ptr<DirectoryListing> list(NodeId directory) {
    return wait_for<std::shared_ptr<DirectoryListing>>(
        [&](auto reply) { tree->open_directory(directory, reply); });
  }
  MountedTree::Opened open(NodeId node) {
    return wait_for<MountedTree::Opened>(
        [&](auto reply) { tree->open(node, MountedTree::Access::Read, reply); });
  }
  static std::string read(OpenFile& file, ByteRange range) {
    return wait_for<std::string>([&](auto reply) {
      file.read(range, [reply](const Error* error, const ReadBytes& bytes) {
        std::string text;
        for (const auto& piece : bytes.pieces) {
          text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        reply(error, std::move(text));
      });
    });
  }
  std::string content(NodeId node) { return read(*open(node).file, {0, 1 << 20}); }

  Timer timer;
  FakeStore* store = nullptr;  // of the tree
  std::unique_ptr<MountedTree> tree;
};

TEST_F(MountedTreeTest, FindsFilesAndDirectoriesAndReadsThem) {
  const Attributes file = lookup(kRootNode, "a.txt");
  EXPECT_EQ(file.kind, EntryKind::File);
  EXPECT_EQ(file.size, 5U);
  EXPECT_EQ(content(file.node), "alpha");
  const Attributes sub = lookup(kRootNode, "sub");
  EXPECT_EQ(sub.kind, EntryKind::Directory);
  EXPECT_EQ(content(lookup(sub.node, "b.txt").node), "beta");
}

TEST_F(MountedTreeTest, MissingNameIsAnAnswerThatIsRemembered) {
  const Attributes absent = lookup(kRootNode, "nothing");
  EXPECT_EQ(absent.node, 0U);
  EXPECT_GT(absent.valid_for, Duration::zero());
  lookup(kRootNode, "nothing");
  EXPECT_EQ(store->count_of(FakeCall::List), 1);
  EXPECT_EQ(store->count_of(FakeCall::Stat), 0);
}

TEST_F(MountedTreeTest, NamesThatCannotExistAreMissing) {
  EXPECT_EQ(lookup(kRootNode, "..").node, 0U);
  EXPECT_EQ(lookup(kRootNode, "").node, 0U);
}

TEST_F(MountedTreeTest, ManyLookupsAtOnceListTheDirectoryOnce) {
  std::vector<std::future<Attributes>> found;
  for (int i = 0; i < 32; ++i) {
    found.push_back(std::async(std::launch::async, [this] { return lookup(kRootNode, "a.txt"); }));
  }
  for (auto& result : found) EXPECT_EQ(result.get().size, 5U);
  EXPECT_EQ(store->count_of(FakeCall::List), 1);
}

TEST_F(MountedTreeTest, SizesThatTheListingDoesNotTellAreAskedForAheadOfTheReader) {
  store->tell_list_sizes(false);
  for (int i = 0; i < 200; ++i) store->set_file("many/" + std::to_string(i), "12345678");
  const NodeId many = lookup(kRootNode, "many").node;
  EXPECT_EQ(store->count_of(FakeCall::Stat), 0);
  const auto listing = list(many);
  ASSERT_EQ(listing->size(), 200U);
  EXPECT_FALSE(tree->enter(many, *listing, 0));  // names need no request
  EXPECT_EQ(store->count_of(FakeCall::Stat), 0);
  for (std::size_t i = 0; i < listing->size(); ++i) {
    EXPECT_EQ(lookup(many, (*listing)[i].name).size, 8U);
  }
  EXPECT_EQ(store->count_of(FakeCall::Stat), 200);
  EXPECT_TRUE(tree->enter(many, *list(many), 0));
}

TEST_F(MountedTreeTest, ReaddirGivesAttributesWithoutARequestWhereTheListingHasThem) {
  const auto listing = list(kRootNode);
  std::set<std::string> names;
  for (std::size_t i = 0; i < listing->size(); ++i) {
    const auto entered = tree->enter(kRootNode, *listing, i);
    ASSERT_TRUE(entered);
    EXPECT_EQ(entered->node, lookup(kRootNode, (*listing)[i].name).node);
    EXPECT_EQ(entered->node, tree->number_of(kRootNode, (*listing)[i].name));
    names.insert((*listing)[i].name);
  }
  EXPECT_EQ(names, (std::set<std::string>{"a.txt", "empty", "sub"}));
  EXPECT_EQ(store->count_of(FakeCall::Stat), 0);
}

TEST_F(MountedTreeTest, OpeningAgainKeepsThePageCacheWhileTheFileIsTheSame) {
  const NodeId node = lookup(kRootNode, "a.txt").node;
  EXPECT_FALSE(open(node).keep_page_cache);
  EXPECT_TRUE(open(node).keep_page_cache);
  EXPECT_EQ(content(node), "alpha");
  EXPECT_TRUE(open(node).keep_page_cache);
}

TEST_F(MountedTreeTest, FileThatChangesWhileItIsOpenIsStaleAndTheNextOpenIsTheNewOne) {
  store->set_file("big", std::string(1 << 20, 'x'));
  tree = nullptr;
  mount({});
  store->set_file("big", std::string(1 << 20, 'x'));
  std::promise<std::string> forgotten;
  tree->set_invalidation([&](NodeId directory, const std::string& name, NodeId) {
    EXPECT_EQ(directory, kRootNode);
    forgotten.set_value(name);
  });
  const NodeId node = lookup(kRootNode, "big").node;
  const auto opened = open(node);
  EXPECT_EQ(read(*opened.file, {0, 10}), std::string(10, 'x'));
  store->set_file("big", std::string(2 << 20, 'y'));
  try {
    read(*opened.file, {900'000, 900'010});
    FAIL() << "two versions were mixed";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), ESTALE);
  }
  EXPECT_EQ(forgotten.get_future().get(), "big");
  const Attributes fresh = lookup(kRootNode, "big");
  EXPECT_EQ(fresh.size, 2U << 20);
  const auto again = open(fresh.node);
  EXPECT_FALSE(again.keep_page_cache);
  EXPECT_EQ(read(*again.file, {0, 3}), "yyy");
}

TEST_F(MountedTreeTest, AttributesAreAskedForAnewWhenTheirTimeIsOver) {
  MountedTree::Options options;
  options.attribute_lifetime = Duration::zero();
  mount(options);
  lookup(kRootNode, "empty");
  lookup(kRootNode, "empty");
  EXPECT_EQ(store->count_of(FakeCall::List), 2);
}

TEST_F(MountedTreeTest, UnknownSizeIsShownAsZeroAndReadWithDirectIo) {
  store->tell_sizes(false);
  const Attributes file = lookup(kRootNode, "a.txt");
  EXPECT_EQ(file.size, 0U);
  const auto opened = open(file.node);
  EXPECT_TRUE(opened.direct_io);
  EXPECT_EQ(read(*opened.file, {0, 4096}), "alpha");
}

TEST_F(MountedTreeTest, FailedListingIsAnErrorAndTheNextOneIsTriedAgain) {
  store->fail_next(FakeCall::List, 1, Error(ErrorKind::Network, "refused"));
  EXPECT_THROW(lookup(kRootNode, "a.txt"), Error);
  EXPECT_EQ(lookup(kRootNode, "a.txt").size, 5U);
}

TEST_F(MountedTreeTest, DirectoryThatMustNotBeListedCanStillBeEnteredByName) {
  store->fail_next(FakeCall::List, 1, Error(ErrorKind::PermissionDenied, "HTTP 403"));
  EXPECT_EQ(lookup(kRootNode, "a.txt").size, 5U);
}

TEST_F(MountedTreeTest, ExtendedAttributesTellWhereAFileComesFrom) {
  const NodeId node = lookup(kRootNode, "a.txt").node;
  const auto value = [&](std::string_view name) {
    return wait_for<std::string>([&](auto reply) {
      tree->get_extended_attribute(
          node, name, [reply](const Error* error, const std::string& text) { reply(error, text); });
    });
  };
  EXPECT_NE(value("user.red.url").find("a.txt"), std::string::npos);
  EXPECT_FALSE(value("user.red.etag").empty());
  EXPECT_THROW(value("user.red.nonsense"), Error);
}

TEST_F(MountedTreeTest, ForgettingEverythingGivesTheMemoryBack) {
  const NodeId sub = lookup(kRootNode, "sub").node;
  const NodeId file = lookup(sub, "b.txt").node;
  tree->forget(file, 1);
  tree->forget(sub, 1);
  EXPECT_THROW(attributes(file), Error);
  EXPECT_EQ(lookup(kRootNode, "sub").node, sub);
}

TEST_F(MountedTreeTest, NothingIsKeptBetweenReadsWhenTheCacheIsOff) {
  MountedTree::Options options;
  options.keep_cache = false;
  mount(options);
  const auto opened = open(lookup(kRootNode, "a.txt").node);
  EXPECT_EQ(read(*opened.file, {0, 5}), "alpha");
  EXPECT_EQ(read(*opened.file, {0, 5}), "alpha");
  EXPECT_EQ(store->count_of(FakeCall::Read), 2);
}

TEST_F(MountedTreeTest, CountsWhatItsReadersDid) {
  store->set_file("big", std::string(300'000, 'x'));
  const auto opened = open(lookup(kRootNode, "big").node);
  read(*opened.file, {0, 100'000});
  read(*opened.file, {0, 50'000});
  read(*opened.file, {290'000, 400'000});
  store->fail_next(FakeCall::Read, 1, Error(ErrorKind::Remote, "HTTP 500"));
  const auto other = open(lookup(kRootNode, "a.txt").node);
  EXPECT_THROW(read(*other.file, {0, 5}), Error);
  const MountStats stats = tree->stats();
  EXPECT_EQ(stats.reads, 4U);
  EXPECT_EQ(stats.read_bytes, 160'000U);
  EXPECT_GE(stats.reads_at_once, 1U);
  EXPECT_EQ(stats.reads_at_once + stats.read_waits.count, stats.reads);
  EXPECT_EQ(stats.opened_files, 2U);
  EXPECT_EQ(stats.open_files, 2U);
  ASSERT_EQ(stats.errors.size(), 1U);
  EXPECT_EQ(stats.errors[0], std::pair(ErrorKind::Remote, std::uint64_t{1}));
  ASSERT_EQ(stats.busiest_files.size(), 2U);
  EXPECT_EQ(stats.busiest_files[0].path, "big");
  EXPECT_EQ(stats.busiest_files[0].bytes, 160'000U);
  EXPECT_EQ(stats.busiest_files[0].reads, 3U);
}

TEST_F(MountedTreeTest, CountsTheTimeThatReadersWait) {
  const auto opened = open(lookup(kRootNode, "a.txt").node);
  store->hold_reads();
  auto waiting = std::async(std::launch::async, [&] { return read(*opened.file, {0, 5}); });
  store->wait_for_reads(1);
  const TimePoint held = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - held < std::chrono::milliseconds(20)) {
    std::this_thread::yield();
  }
  store->release_reads();
  EXPECT_EQ(waiting.get(), "alpha");
  const MountStats stats = tree->stats();
  EXPECT_EQ(stats.read_waits.count, 1U);
  EXPECT_GE(stats.read_waits.max, std::chrono::milliseconds(20));
  EXPECT_GE(stats.busiest_files.at(0).waited, std::chrono::milliseconds(20));
}

/// The tree of a listing over the usual files.
class KnownTreeTest : public MountedTreeTest {
 protected:
  void mount_known(const std::string& listing) {
    tree.reset();
    auto owned = std::make_unique<FakeStore>();
    store = owned.get();
    store->set_file("a.txt", "alpha");
    store->set_file("sub/b.txt", "beta");
    MountedTree::Options options;
    options.is_known_tree = true;
    tree = std::make_unique<MountedTree>(
        std::make_unique<ListedStore>(std::move(owned), parse_listing(listing, "test")), timer,
        options);
  }
  static std::string file(const std::string& name, std::size_t size, const std::string& content) {
    Digest digest(DigestAlgorithm::Sha1);
    digest.update(std::as_bytes(std::span(content)));
    return R"({"class": "File", "basename": ")" + name + R"(", "size": )" + std::to_string(size) +
           R"(, "checksum": "sha1$)" + digest.hex() + "\"}";
  }
  static int error_of(const std::function<void()>& work) {
    try {
      work();
      return 0;
    } catch (const Error& error) {
      return error.error_number();
    }
  }
};

TEST_F(KnownTreeTest, TimesStayWhatTheyWere) {
  mount_known("[" + file("a.txt", 5, "alpha") + "]");
  const Attributes before = lookup(kRootNode, "a.txt");
  EXPECT_EQ(content(before.node), "alpha");
  EXPECT_EQ(attributes(before.node).modified, before.modified);
}

TEST_F(KnownTreeTest, OpensAndReadsFilesAgainWithoutAskingTheServer) {
  mount_known("[" + file("a.txt", 5, "alpha") + "]");
  const NodeId node = lookup(kRootNode, "a.txt").node;
  EXPECT_EQ(content(node), "alpha");
  const auto requests = store->count_of(FakeCall::Stat) + store->count_of(FakeCall::Read);
  const auto opened = open(node);
  EXPECT_TRUE(opened.keep_page_cache);
  EXPECT_EQ(read(*opened.file, {0, 5}), "alpha");
  EXPECT_EQ(store->count_of(FakeCall::Stat) + store->count_of(FakeCall::Read), requests);
  EXPECT_EQ(tree->stats().proved_files, 1U);
}

TEST_F(KnownTreeTest, FileWithAnotherContentIsAnErrorUntilTheServerHasTheRightOne) {
  mount_known("[" + file("a.txt", 5, "ALPHA") + "]");
  const NodeId node = lookup(kRootNode, "a.txt").node;
  EXPECT_EQ(error_of([&] { content(node); }), EIO);
  EXPECT_EQ(error_of([&] { content(node); }), EIO);
  EXPECT_EQ(attributes(node).size, 5U) << "the listing stays the truth";
  EXPECT_EQ(tree->stats().refuted_files, 2U);
  store->set_file("a.txt", "ALPHA");
  const auto opened = open(node);
  EXPECT_FALSE(opened.keep_page_cache) << "the kernel may have pages of the wrong one";
  EXPECT_EQ(read(*opened.file, {0, 5}), "ALPHA");
}

TEST_F(KnownTreeTest, EmptyFileThatShouldHaveSomethingCannotBeOpened) {
  mount_known("[" + file("a.txt", 0, "alpha") + "]");
  const NodeId node = lookup(kRootNode, "a.txt").node;
  EXPECT_EQ(error_of([&] { open(node); }), EIO);
}

TEST_F(KnownTreeTest, AnotherSizeOnTheServerIsAnError) {
  mount_known("[" + file("a.txt", 4, "alph") + "]");
  EXPECT_EQ(error_of([&] { content(lookup(kRootNode, "a.txt").node); }), EIO);
}

TEST_F(KnownTreeTest, ChangeOnTheServerWhileAFileIsOpenIsStale) {
  mount_known(R"([{"class": "File", "basename": "a.txt", "size": 300000}])");
  store->set_file("a.txt", std::string(300'000, 'x'));
  const auto opened = open(lookup(kRootNode, "a.txt").node);
  EXPECT_EQ(read(*opened.file, {0, 10}), std::string(10, 'x'));
  store->set_file("a.txt", std::string(300'000, 'y'));
  EXPECT_EQ(error_of([&] { read(*opened.file, {200'000, 200'010}); }), ESTALE);
  EXPECT_EQ(content(lookup(kRootNode, "a.txt").node), std::string(300'000, 'y'));
}

TEST_F(MountedTreeTest, ShutDownEndsWaitingReads) {
  const auto opened = open(lookup(kRootNode, "a.txt").node);
  store->hold_reads();
  auto waiting = std::async(std::launch::async, [&] {
    try {
      read(*opened.file, {0, 5});
      return false;
    } catch (const Error&) {
      return true;
    }
  });
  store->wait_for_reads(1);
  tree->shut_down();
  store->release_reads();
  EXPECT_TRUE(waiting.get());
}

class FilesAheadTest : public MountedTreeTest {
 protected:
  void make_files(std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count; ++i) {
      store->set_file(path_of(i), std::string(bytes, static_cast<char>('a' + i % 26)));
    }
    many = lookup(kRootNode, "many").node;
  }
  static std::string path_of(std::size_t i) { return "many/f" + std::to_string(1000 + i); }
  std::string read_file(std::size_t i) {
    return content(lookup(many, "f" + std::to_string(1000 + i)).node);
  }
  std::set<std::string> read_paths() const {
    std::set<std::string> paths;
    for (const auto& read : store->reads()) paths.insert(read.path.text());
    return paths;
  }

  NodeId many = 0;
};

TEST_F(FilesAheadTest, SmallFilesThatAreOpenedInOrderAreFetchedBeforeTheyAreAskedFor) {
  make_files(100, 10);
  for (std::size_t i = 0; i < 3; ++i) read_file(i);
  store->wait_for_reads(3 + 8);
  store->wait_until_idle();
  EXPECT_EQ(store->reads().size(), 11U);
  store->hold_reads();
  for (std::size_t i = 3; i < 7; ++i) {
    EXPECT_EQ(read_file(i), std::string(10, static_cast<char>('a' + i)));
  }
  store->release_reads();
  for (std::size_t i = 7; i < 100; ++i) {
    EXPECT_EQ(read_file(i), std::string(10, static_cast<char>('a' + i % 26)));
  }
  EXPECT_EQ(store->reads().size(), 100U);
}

TEST_F(FilesAheadTest, WhoeverReadsHereAndThereFetchesNothingElse) {
  make_files(200, 10);
  const std::set<std::size_t> some{0, 60, 20, 120, 180, 40, 100, 80, 160, 140};
  for (const std::size_t i : {0, 60, 20, 120, 180, 40, 100, 80, 160, 140}) read_file(i);
  store->wait_until_idle();
  EXPECT_EQ(store->reads().size(), some.size());
}

TEST_F(FilesAheadTest, WhatIsFetchedIsCalledOffWhenTheReaderGoesElsewhere) {
  make_files(200, 10);
  read_file(0);
  read_file(1);
  store->hold_reads();
  auto third = std::async(std::launch::async, [this] { return read_file(2); });
  store->wait_for_reads(3 + 8);
  auto elsewhere = std::async(std::launch::async, [this] { return read_file(150); });
  store->wait_for_reads(3 + 8 + 1);
  store->release_reads();
  third.get();
  EXPECT_EQ(elsewhere.get(), std::string(10, static_cast<char>('a' + 150 % 26)));
  store->wait_until_idle();
  // What was called off is not there: it is fetched by whoever asks for it after all.
  EXPECT_EQ(read_file(5), std::string(10, 'f'));
  EXPECT_EQ(store->reads().size(), 13U);
}

TEST_F(FilesAheadTest, LargeFilesAreLeftToTheirReaders) {
  make_files(20, 5 << 20);
  for (std::size_t i = 0; i < 4; ++i)
    read(*open(lookup(many, "f100" + std::to_string(i)).node).file, {0, 10});
  store->wait_until_idle();
  EXPECT_EQ(read_paths().size(), 4U);
}

TEST_F(FilesAheadTest, WhatIsFetchedAndNotOpenedIsBounded) {
  MountedTree::Options options;
  options.cache_bytes = 8 << 20;
  mount(options);
  make_files(100, 1 << 20);
  for (std::size_t i = 0; i < 3; ++i)
    read(*open(lookup(many, "f100" + std::to_string(i)).node).file, {0, 10});
  store->wait_until_idle();
  EXPECT_GE(read_paths().size(), 3U + 2U);
  EXPECT_LE(read_paths().size(), 3U + 4U);
}

TEST_F(FilesAheadTest, WithoutACacheNothingIsFetchedAhead) {
  MountedTree::Options options;
  options.keep_cache = false;
  mount(options);
  make_files(100, 10);
  for (std::size_t i = 0; i < 10; ++i) read_file(i);
  store->wait_until_idle();
  EXPECT_EQ(read_paths().size(), 10U);
}

TEST_F(FilesAheadTest, AFileThatIsGoneWhenItIsFetchedDisturbsNobody) {
  make_files(20, 10);
  store->remove(path_of(4));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(read_file(i).size(), 10U);
  for (std::size_t i = 5; i < 20; ++i) EXPECT_EQ(read_file(i).size(), 10U);
}

}  // namespace
}  // namespace red
