#include "common/cache/disk_cached_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "tests/fakes/collecting_sink.h"
#include "tests/fakes/fake_store.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/waiting.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::CollectingSink;
using testing::FakeAnswer;
using testing::FakeCall;
using testing::FakeRead;
using testing::FakeStore;
using testing::random_bytes;
using testing::TemporaryDirectory;

const Asker kSomebody{"somebody"};

/// The files of contents. An eviction may go on meanwhile.
std::vector<fs::path> files_below(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code gone;
  const fs::recursive_directory_iterator end;
  for (fs::recursive_directory_iterator at(directory, gone); at != end; at.increment(gone)) {
    const bool is_content = at->path().parent_path().filename().string().size() == 2;
    if (is_content && at->is_regular_file(gone)) files.push_back(at->path());
  }
  return files;
}

/// What several processes do is played by several stores, each with a cache of its own over one
/// directory: the locks are those of open files, not of processes.
class DiskCachedStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<RemoteStore> process(const Asker& asker = kSomebody) {
    auto store = std::make_unique<FakeStore>(server, "");
    store->ask_as(asker);
    return with_disk_cache(std::move(store), DiskCache::open(options));
  }

  std::shared_ptr<CollectingSink> start(RemoteStore& store, const std::string& name,
                                        std::optional<ByteRange> range = std::nullopt,
                                        const RequestContext& context = {}) {
    const RemotePath path = RemotePath{}.child(name);
    const auto entry = server.stat(path, {});
    return start(*store.open(path, entry->version()), range, context);
  }
  std::shared_ptr<CollectingSink> start(RemoteFile& file, std::optional<ByteRange> range,
                                        const RequestContext& context = {}) {
    auto sink = std::make_shared<CollectingSink>();
    file.read(range, sink, context);
    return sink;
  }

  std::string read(RemoteStore& store, const std::string& name,
                   std::optional<ByteRange> range = std::nullopt) {
    const auto sink = start(store, name, range);
    EXPECT_TRUE(sink->wait());
    EXPECT_FALSE(sink->error()) << sink->error()->message();
    EXPECT_FALSE(sink->is_torn());
    return sink->bytes();
  }

  /// By a process that ends, so that all is written.
  void fill(const std::string& name) { read(*process(), name); }

  std::uint64_t bytes_fetched() const {
    std::uint64_t bytes = 0;
    for (const FakeRead& each : server.reads()) {
      if (each.range) bytes += each.range->size();
      if (!each.range) bytes += server.content_of(each.path.text())->size();
    }
    return bytes;
  }

  TemporaryDirectory directory;
  DiskCache::Options options{.directory = directory / "cache", .max_bytes = 1 << 30, .min_free = 0};
  FakeStore server;
};

TEST_F(DiskCachedStoreTest, WhatOneProcessHasFetchedAnotherReadsFromDisk) {
  const std::string content = random_bytes(1'000'000);
  server.set_file("f", content);
  EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content);
  EXPECT_EQ(server.count_of(FakeCall::Read), 1);
  const auto later = process();
  EXPECT_EQ(read(*later, "f", ByteRange{0, content.size()}), content);
  EXPECT_EQ(read(*later, "f"), content);
  EXPECT_EQ(read(*later, "f", ByteRange{70'000, 70'001}), content.substr(70'000, 1));
  EXPECT_EQ(server.count_of(FakeCall::Read), 1);
}

TEST_F(DiskCachedStoreTest, TellsWhatComesFromTheCacheAsSuch) {
  server.set_file("f", random_bytes(200'000));
  fill("f");
  const auto store = process();
  const auto sink = start(*store, "f", ByteRange{0, 200'000});
  ASSERT_TRUE(sink->wait());
  ASSERT_EQ(sink->answers().size(), 1U);
  EXPECT_TRUE(sink->answers()[0].is_from_cache);
  EXPECT_TRUE(sink->answers()[0].is_range);
  EXPECT_EQ(sink->answers()[0].version.size, 200'000U);
}

TEST_F(DiskCachedStoreTest, FetchesOnlyWhatIsMissing) {
  const std::string content = random_bytes(10 * kBlockSize + 17);
  server.set_file("f", content);
  read(*process(), "f", ByteRange{2 * kBlockSize, 5 * kBlockSize});
  EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content);
  EXPECT_EQ(bytes_fetched(), content.size());
}

TEST_F(DiskCachedStoreTest, WhatEndsInTheMiddleOfABlockIsReadRight) {
  const std::string content = random_bytes(5 * kBlockSize + 4321);
  server.set_file("f", content);
  for (const ByteRange range : {ByteRange{1, 2}, ByteRange{100, kBlockSize + 1},
                                ByteRange{kBlockSize - 1, 3 * kBlockSize + 5},
                                ByteRange{5 * kBlockSize + 1, content.size()}}) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(read(*process(), "f", range), content.substr(range.begin, range.size()));
    }
  }
}

TEST_F(DiskCachedStoreTest, ManyProcessesThatReadAtOnceFetchEachBlockOnce) {
  const std::string content = random_bytes(6'000'000);
  server.set_file("f", content);
  std::vector<std::unique_ptr<RemoteStore>> processes;
  for (int i = 0; i < 8; ++i) processes.push_back(process());
  std::vector<std::jthread> readers;
  for (const auto& store : processes) {
    readers.emplace_back([&] {
      constexpr std::uint64_t kStep = 11 * kBlockSize;
      const std::uint64_t size = content.size();
      for (std::uint64_t at = 0; at < size; at += kStep) {
        const ByteRange range{at, std::min(at + kStep, size)};
        EXPECT_EQ(read(*store, "f", range), content.substr(range.begin, range.size()));
      }
    });
  }
  readers.clear();
  EXPECT_EQ(bytes_fetched(), content.size());
}

TEST_F(DiskCachedStoreTest, ManyProcessesThatReceiveAtOnceFetchEachFileOnce) {
  server.set_file("large", random_bytes(3'000'000));
  server.set_file("small", random_bytes(4000, 2));
  std::vector<std::unique_ptr<RemoteStore>> processes;
  for (int i = 0; i < 8; ++i) processes.push_back(process());
  std::vector<std::jthread> readers;
  for (const auto& store : processes) {
    readers.emplace_back([&] {
      for (const char* name : {"large", "small"}) {
        EXPECT_EQ(read(*store, name), server.content_of(name));
      }
    });
  }
  readers.clear();
  EXPECT_EQ(bytes_fetched(), 3'004'000U);
}

TEST_F(DiskCachedStoreTest, WhoHasOtherCredentialsGetsNothingOfIt) {
  server.set_file("f", random_bytes(100'000));
  const Asker asker{"somebody", "with a password"};
  read(*process(asker), "f");
  int reads = server.count_of(FakeCall::Read);
  for (const Asker& other : {Asker{"somebody", "with another password"}, Asker{"somebody"},
                             Asker{"somebody else", "with a password"}, Asker{}}) {
    read(*process(other), "f");
    EXPECT_EQ(server.count_of(FakeCall::Read), ++reads) << other.name << "/" << other.secret;
  }
  read(*process(asker), "f");
  EXPECT_EQ(server.count_of(FakeCall::Read), reads);
}

TEST_F(DiskCachedStoreTest, AnotherVersionIsFetchedAnew) {
  server.set_file("f", random_bytes(100'000, 1));
  fill("f");
  const std::string changed = random_bytes(100'000, 2);
  server.set_file("f", changed);
  EXPECT_EQ(read(*process(), "f"), changed);
}

TEST_F(DiskCachedStoreTest, AFlippedBitIsNeverDelivered) {
  const std::string content = random_bytes(3 * kBlockSize + 100);
  server.set_file("f", content);
  fill("f");
  ASSERT_EQ(files_below(options.directory).size(), 1U);
  const fs::path file = files_below(options.directory)[0];
  std::mt19937_64 random(1);
  const auto size = static_cast<std::uint64_t>(fs::file_size(file));
  for (int i = 0; i < 60; ++i) {
    // Half of them in the header and the entries.
    const std::uint64_t at = random() % (i % 2 == 0 ? size : 128);
    {
      std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekg(static_cast<std::streamoff>(at));
      const int byte = stream.get();
      stream.seekp(static_cast<std::streamoff>(at));
      stream.put(static_cast<char>(byte ^ (1 << (random() % 8))));
    }
    EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content) << "byte " << at;
  }
}

TEST_F(DiskCachedStoreTest, WhatACrashHasLeftIsFetchedAnew) {
  const std::string content = random_bytes(3 * kBlockSize + 100);
  server.set_file("f", content);
  fill("f");
  const fs::path file = files_below(options.directory)[0];
  const std::string whole = testing::read_file(file);
  std::vector<std::string> remains{"", std::string(whole.size(), '\0'), random_bytes(whole.size())};
  for (const std::size_t size : {1UL, 63UL, 64UL, 100UL, 4096UL, 4097UL, 100'000UL}) {
    remains.push_back(whole.substr(0, size));
    remains.push_back(whole.substr(0, size) + std::string(whole.size() - size, '\0'));
    remains.push_back(std::string(size, '\0') + whole.substr(size));
    remains.push_back(whole.substr(0, size) + random_bytes(whole.size() - size));
  }
  for (std::size_t i = 0; i < remains.size(); ++i) {
    testing::write_file(file, remains[i]);
    EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content) << i;
    const int reads = server.count_of(FakeCall::Read);
    EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content) << i;
    EXPECT_EQ(server.count_of(FakeCall::Read), reads) << "what was fetched anew is kept: " << i;
  }
}

TEST_F(DiskCachedStoreTest, WhatCannotBeKnownAgainIsNotKept) {
  server.set_file("f", random_bytes(100'000));
  server.tell_validators(false);
  const auto store = process();
  EXPECT_EQ(read(*store, "f"), server.content_of("f"));
  EXPECT_EQ(read(*store, "f", ByteRange{0, 100'000}), server.content_of("f"));
  EXPECT_THAT(files_below(options.directory), ::testing::IsEmpty());
}

TEST_F(DiskCachedStoreTest, WhatChangedAMomentAgoIsNotKept) {
  server.set_file("f", random_bytes(100'000));
  server.set_modified("f", wall_clock());
  const auto store = process();
  EXPECT_EQ(read(*store, "f", ByteRange{0, 100'000}), server.content_of("f"));
  EXPECT_THAT(files_below(options.directory), ::testing::IsEmpty());
}

TEST_F(DiskCachedStoreTest, WhatAServerWithoutRangesSendsIsKeptAndThenServedInRanges) {
  const std::string content = random_bytes(300'000);
  server.set_file("f", content);
  server.serve_ranges(false);
  auto store = process();
  const auto whole_for_a_range = start(*store, "f", ByteRange{100'000, 200'000});
  ASSERT_TRUE(whole_for_a_range->wait());
  ASSERT_FALSE(whole_for_a_range->answers().empty());
  EXPECT_FALSE(whole_for_a_range->answers()[0].is_range);
  store.reset();
  EXPECT_EQ(read(*process(), "f"), content);
  const int reads = server.count_of(FakeCall::Read);
  EXPECT_EQ(read(*process(), "f", ByteRange{100'000, 200'000}), content.substr(100'000, 100'000));
  EXPECT_EQ(server.count_of(FakeCall::Read), reads);
}

TEST_F(DiskCachedStoreTest, AVersionThatIsNotToldByTheListIsAskedForFirst) {
  const std::string content = random_bytes(300'000);
  server.set_file("f", content);
  fill("f");
  const auto store = process();
  const auto file =
      store->open(RemotePath{}.child("f"), Version{.etag = "", .modified = {}, .size = 300'000});
  const auto first = start(*file, ByteRange{0, 100'000});
  ASSERT_TRUE(first->wait());
  EXPECT_EQ(first->bytes(), content.substr(0, 100'000));
  EXPECT_FALSE(first->answers().at(0).is_from_cache) << "the server has confirmed it";
  const auto second = start(*file, ByteRange{100'000, 300'000});
  ASSERT_TRUE(second->wait());
  EXPECT_EQ(second->bytes(), content.substr(100'000));
  EXPECT_TRUE(second->answers().at(0).is_from_cache);
  EXPECT_EQ(bytes_fetched(), content.size() + 1);
}

TEST_F(DiskCachedStoreTest, AWholeFileOfUnknownVersionIsTakenFromDiskOnceTheServerHasToldIt) {
  const std::string content = random_bytes(3'000'000);
  server.set_file("f", content);
  fill("f");
  server.deliver_pieces_of(1000);
  const auto store = process();
  const auto file = store->open(RemotePath{}.child("f"), {});
  server.allow_bytes(0);
  const auto sink = start(*file, std::nullopt);
  ASSERT_TRUE(sink->wait()) << "it waits for bytes of the server";
  EXPECT_EQ(sink->bytes(), content);
  EXPECT_FALSE(sink->error());
}

TEST_F(DiskCachedStoreTest, AFailureOfTheServerIsTheReadersFailure) {
  server.set_file("f", random_bytes(100'000));
  server.fail_next(FakeCall::Read, 1, Error(ErrorKind::PermissionDenied, "no"));
  const auto store = process();
  const auto sink = start(*store, "f", ByteRange{0, 100'000});
  ASSERT_TRUE(sink->wait());
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->kind(), ErrorKind::PermissionDenied);
  EXPECT_EQ(read(*store, "f", ByteRange{0, 100'000}), server.content_of("f"));
}

TEST_F(DiskCachedStoreTest, ABreakInTheMiddleKeepsWhatHasCome) {
  const std::string content = random_bytes(10 * kBlockSize);
  server.set_file("f", content);
  server.answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number == 1) answer.break_after = 4 * kBlockSize + 10;
    return answer;
  });
  {
    const auto store = process();
    const auto sink = start(*store, "f", ByteRange{0, content.size()});
    ASSERT_TRUE(sink->wait());
    EXPECT_TRUE(sink->error());
  }
  EXPECT_EQ(read(*process(), "f", ByteRange{0, content.size()}), content);
  ASSERT_EQ(server.reads().size(), 2U);
  EXPECT_EQ(server.reads()[1].range->begin, 4 * kBlockSize);
}

TEST_F(DiskCachedStoreTest, WhoIsStoppedInTheMiddleIsNotWaitedForForEver) {
  const std::string content = random_bytes(10 * kBlockSize);
  server.set_file("f", content);
  options.stall_limit = 200ms;
  const CacheDirectory shared = CacheDirectory::open(options.directory);
  const ContentNaming naming(shared.key(), kSomebody.name, kSomebody.secret);
  const RemotePath path = RemotePath{}.child("f");
  const auto name = naming.name(server.location(path), server.stat(path, {})->version());
  DiskContent stopped(shared, name, content.size());
  ASSERT_EQ(stopped.claim({2, 8}), 6U);
  const auto store = process();
  EXPECT_EQ(read(*store, "f", ByteRange{0, content.size()}), content);
  EXPECT_GE(server.reads().size(), 2U);
}

TEST_F(DiskCachedStoreTest, WhatIsGivenBackIsFetchedByWhoWaits) {
  const std::string content = random_bytes(10 * kBlockSize);
  server.set_file("f", content);
  const CacheDirectory shared = CacheDirectory::open(options.directory);
  const ContentNaming naming(shared.key(), kSomebody.name, kSomebody.secret);
  const RemotePath path = RemotePath{}.child("f");
  const auto name = naming.name(server.location(path), server.stat(path, {})->version());
  auto dying = std::make_unique<DiskContent>(shared, name, content.size());
  ASSERT_EQ(dying->claim({0, 10}), 10U);
  const auto store = process();
  const auto sink = start(*store, "f", ByteRange{0, content.size()});
  EXPECT_FALSE(sink->wait(100ms));
  EXPECT_EQ(server.count_of(FakeCall::Read), 0);
  dying.reset();  // as the kernel does for a process that dies
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->bytes(), content);
}

TEST_F(DiskCachedStoreTest, AReadThatIsCalledOffWhileItWaitsEndsAtOnce) {
  server.set_file("f", random_bytes(kBlockSize));
  const CacheDirectory shared = CacheDirectory::open(options.directory);
  const ContentNaming naming(shared.key(), kSomebody.name, kSomebody.secret);
  const RemotePath path = RemotePath{}.child("f");
  const auto name = naming.name(server.location(path), server.stat(path, {})->version());
  DiskContent other(shared, name, kBlockSize);
  ASSERT_EQ(other.claim({0, 1}), 1U);
  std::stop_source stop;
  auto store = process();
  const auto called_off = start(*store, "f", std::nullopt, {.stop = stop.get_token()});
  const auto at_the_end = start(*store, "f");
  stop.request_stop();
  ASSERT_TRUE(called_off->wait(5s));
  EXPECT_EQ(called_off->error()->kind(), ErrorKind::Cancelled);
  store.reset();
  ASSERT_TRUE(at_the_end->wait(0s));
  EXPECT_EQ(at_the_end->error()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(at_the_end->finishes(), 1);
}

TEST_F(DiskCachedStoreTest, WhatIsDistrustedIsFetchedAnew) {
  server.set_file("f", random_bytes(300'000));
  fill("f");
  const auto store = process();
  const RemotePath path = RemotePath{}.child("f");
  store->open(path, server.stat(path, {})->version())->distrust();
  const int reads = server.count_of(FakeCall::Read);
  EXPECT_EQ(read(*store, "f"), server.content_of("f"));
  EXPECT_EQ(server.count_of(FakeCall::Read), reads + 1);
}

/// Evicts for real from contents that are made for that, each of 100 blocks.
class EvictionTest : public DiskCachedStoreTest {
 protected:
  static constexpr std::uint64_t kSize = 100 * kBlockSize;

  void keep(const std::string& name, unsigned version, time_t used) {
    const auto before =
        fs::exists(options.directory) ? files_below(options.directory) : std::vector<fs::path>{};
    server.set_file(name, random_bytes(kSize, version));
    fill(name);
    for (const fs::path& file : files_below(options.directory)) {
      if (std::ranges::find(before, file) != before.end()) continue;
      files[name + std::to_string(version)] = file;
      set_used(name + std::to_string(version), used);
    }
  }

  void set_used(const std::string& name, time_t used) {
    const timespec times[] = {{used, 0}, {used, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, files.at(name).c_str(), times, 0), 0);
  }

  void evict_down_to(std::uint64_t contents) {
    const auto opened =
        std::make_shared<const CacheDirectory>(CacheDirectory::open(options.directory));
    DiskQuota quota(opened, {.max_bytes = contents * kSize * 5 / 4, .min_free = 0});
    quota.evict();
  }

  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& [name, file] : files) {
      if (fs::exists(file)) names.push_back(name);
    }
    return names;
  }

  std::map<std::string, fs::path> files;
};

TEST_F(EvictionTest, WhatWasUsedLeastRecentlyGoesFirst) {
  keep("a", 1, 3000);
  keep("b", 1, 1000);
  keep("c", 1, 4000);
  keep("d", 1, 2000);
  evict_down_to(2);
  EXPECT_THAT(left(), ::testing::ElementsAre("a1", "c1"));
}

TEST_F(EvictionTest, VersionsThatWereFollowedByAnotherGoBeforeAll) {
  keep("a", 1, 4000);
  keep("a", 2, 5000);
  keep("b", 1, 1000);
  evict_down_to(2);
  EXPECT_THAT(left(), ::testing::ElementsAre("a2", "b1"));
}

TEST_F(EvictionTest, WhatIsInUseIsSparedAndOtherwiseLosesParts) {
  keep("a", 1, 1000);
  keep("b", 1, 2000);
  const auto user = process();
  const RemotePath path = RemotePath{}.child("a");
  const auto open = user->open(path, server.stat(path, {})->version());
  const auto sink = start(*open, ByteRange{0, 1});
  ASSERT_TRUE(sink->wait());
  set_used("a1", 1000);
  evict_down_to(1);
  EXPECT_THAT(left(), ::testing::ElementsAre("a1"));
  evict_down_to(0);
  EXPECT_THAT(left(), ::testing::ElementsAre("a1"));
  struct stat status {};
  ASSERT_EQ(::stat(files.at("a1").c_str(), &status), 0);
  EXPECT_LT(static_cast<std::uint64_t>(status.st_blocks) * 512, 2 * kBlockSize);
  EXPECT_EQ(read(*user, "a"), server.content_of("a"));
}

TEST_F(DiskCachedStoreTest, StaysWithinItsBound) {
  options.max_bytes = 8 << 20;
  std::uint64_t most = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "f" + std::to_string(i);
    server.set_file(name, random_bytes(1'000'000, static_cast<std::uint64_t>(i)));
    EXPECT_EQ(read(*process(), name), server.content_of(name));
    std::uint64_t used = 0;
    for (const fs::path& file : files_below(options.directory)) {
      struct stat status {};
      ASSERT_EQ(::stat(file.c_str(), &status), 0);
      used += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    most = std::max(most, used);
  }
  EXPECT_LE(most, *options.max_bytes * 9 / 8);
  EXPECT_GE(most, *options.max_bytes / 2);
}

TEST_F(DiskCachedStoreTest, OneFileThatIsLargerThanTheCacheGoesThrough) {
  options.max_bytes = 4 << 20;
  const std::string content = random_bytes(24'000'000);
  server.set_file("f", content);
  const auto store = process();
  constexpr std::uint64_t kStep = 16 * kBlockSize;
  for (std::uint64_t at = 0; at < content.size(); at += kStep) {
    const ByteRange range{at, std::min<std::uint64_t>(at + kStep, content.size())};
    ASSERT_EQ(read(*store, "f", range), content.substr(range.begin, range.size()));
  }
  EXPECT_TRUE(testing::eventually([&] {
    struct stat status {};
    return ::stat(files_below(options.directory).at(0).c_str(), &status) == 0 &&
           status.st_blocks * 512 <= 5 << 20;
  }));
  for (std::uint64_t at = 0; at < content.size(); at += kStep) {
    const ByteRange range{at, std::min<std::uint64_t>(at + kStep, content.size())};
    ASSERT_EQ(read(*store, "f", range), content.substr(range.begin, range.size()));
  }
}

TEST_F(DiskCachedStoreTest, LeavesDiskSpaceFree) {
  options.min_free = UINT64_MAX / 4;
  server.set_file("f", random_bytes(20'000'000));
  const auto store = process();
  EXPECT_EQ(read(*store, "f"), server.content_of("f"));
  EXPECT_EQ(read(*store, "f"), server.content_of("f"));
}

/// Random reads by several processes that come and go, of files that change, while what is on disk
/// is damaged at random: whoever reads gets what the server has.
RC_GTEST_FIXTURE_PROP(DiskCachedStoreTest, NobodyEverReadsAnythingElse, ()) {
  const std::vector<std::string> names{"a", "b", "c"};
  std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
  const auto below = [&random](std::uint64_t bound) { return random() % bound; };
  const auto change = [&](const std::string& name) {
    server.set_file(name, random_bytes(1 + below(6 * kBlockSize), random()));
  };
  for (const std::string& name : names) change(name);
  options.max_bytes = 600'000;
  std::vector<std::unique_ptr<RemoteStore>> processes(3);
  for (int step = 0; step < 60; ++step) {
    const std::string& name = names[below(names.size())];
    auto& store = processes[below(processes.size())];
    std::error_code gone;  // by an eviction
    const auto files =
        fs::exists(options.directory) ? files_below(options.directory) : std::vector<fs::path>{};
    switch (below(8)) {
      case 0:
        store.reset();
        break;
      case 1:
        change(name);
        break;
      case 2:
        if (files.empty()) break;
        fs::resize_file(files[below(files.size())], below(100'000), gone);
        break;
      case 3:
        if (files.empty()) break;
        if (std::fstream stream(files[below(files.size())],
                                std::ios::in | std::ios::out | std::ios::binary);
            stream) {
          stream.seekp(static_cast<std::streamoff>(below(2 * kBlockSize)));
          stream << random_bytes(below(5000), random());
        }
        break;
      default: {
        if (!store) store = process();
        const std::string content = *server.content_of(name);
        const std::uint64_t begin = below(content.size());
        const ByteRange range{begin, begin + 1 + below(content.size() - begin)};
        const bool is_whole = below(4) == 0;
        const auto sink = start(*store, name, is_whole ? std::nullopt : std::optional(range));
        RC_ASSERT(sink->wait());
        RC_LOG() << (sink->error() ? sink->error()->message() : "") << std::endl;
        RC_ASSERT(!sink->error());
        RC_ASSERT(sink->bytes() ==
                  (is_whole ? content : content.substr(range.begin, range.size())));
      }
    }
  }
}

}  // namespace
}  // namespace red
