#include "transfer/receive_dir.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "common/remote/retry.h"
#include "tests/fakes/counting_progress.h"
#include "tests/fakes/fake_store.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using testing::CountingProgress;
using testing::FakeAnswer;
using testing::FakeCall;
using testing::FakeRead;
using testing::FakeStore;
using testing::FileTree;
using testing::random_bytes;
using testing::read_file;
using testing::read_tree;
using testing::TemporaryDirectory;
using testing::write_file;

const std::string kSha1OfAbc = "a9993e364706816aba3e25717850c26c9cd0d89d";

ListingEntry listed_file(std::string name) {
  ListingEntry entry;
  entry.basename = std::move(name);
  return entry;
}

ListingEntry listed_directory(std::string name, Listing children) {
  ListingEntry entry;
  entry.kind = ListingEntry::Kind::Directory;
  entry.basename = std::move(name);
  entry.children = std::move(children);
  return entry;
}

class ReceiveDir : public ::testing::Test {
 protected:
  void receive(const Listing* listing = nullptr) {
    receive_dir(store_, target(), listing, progress_, {});
  }

  Error failure(const Listing* listing = nullptr) {
    try {
      receive(listing);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorKind::Internal, ""};
  }

  fs::path target() const { return directory_ / "target"; }

  TemporaryDirectory directory_;
  FakeStore store_;
  CountingProgress progress_;
};

TEST_F(ReceiveDir, BringsATreeWithEmptyDirectoriesAndFiles) {
  FileTree tree{{"a", "1"}, {"sub/b c", ""}, {"sub/deep/ä#?%41", random_bytes(50'000)}};
  for (const auto& [name, content] : tree) store_.set_file(name, content);
  store_.make_directory("empty/inside");
  receive();
  tree.emplace("empty/inside/", "");
  EXPECT_EQ(read_tree(target()), tree);
}

TEST_F(ReceiveDir, BringsManyFilesAtATimeUpToTheLimit) {
  for (int i = 0; i < 200; ++i) store_.set_file("d/" + std::to_string(i), random_bytes(100));
  store_.hold_reads();
  std::thread releaser([this] {
    store_.wait_for_reads(8);
    store_.release_reads();
  });
  receive();
  releaser.join();
  EXPECT_EQ(read_tree(target()).size(), 200U);
  EXPECT_EQ(store_.most_reads_at_once(), 8);
}

TEST_F(ReceiveDir, TellsItsProgress) {
  store_.set_file("a", random_bytes(1000));
  store_.set_file("b/c", random_bytes(500));
  receive();
  EXPECT_EQ(progress_.expected_files, 2U);
  EXPECT_EQ(progress_.expected_bytes, 1500U);
  EXPECT_EQ(progress_.bytes, 1500);
  EXPECT_EQ(progress_.files, 2U);
}

TEST_F(ReceiveDir, TakesSizesFromTheAnswersWhereTheListingHasNone) {
  store_.tell_list_sizes(false);
  store_.set_file("a", random_bytes(1000));
  receive();
  EXPECT_EQ(progress_.expected_bytes, 1000U);
  EXPECT_EQ(read_file(target() / "a"), random_bytes(1000));
}

TEST_F(ReceiveDir, ReplacesFilesOfTheSameNameAndLeavesOthers) {
  fs::create_directories(target() / "sub");
  write_file(target() / "sub/same", "old");
  write_file(target() / "sub/other", "mine");
  store_.set_file("sub/same", "new");
  receive();
  EXPECT_EQ(read_tree(target()), (FileTree{{"sub/other", "mine"}, {"sub/same", "new"}}));
}

TEST_F(ReceiveDir, DoesNotMakeMoreThanTheLastComponentOfTheTarget) {
  try {
    receive_dir(store_, directory_ / "missing/target", nullptr, progress_, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), ENOENT);
  }
}

TEST_F(ReceiveDir, NeverFollowsALinkOutOfTheTarget) {
  fs::create_directory(directory_ / "elsewhere");
  fs::create_directory(target());
  fs::create_directory_symlink("../elsewhere", target() / "sub");
  store_.set_file("sub/f", "x");
  EXPECT_EQ(failure().kind(), ErrorKind::LocalIo);
  EXPECT_TRUE(fs::is_empty(directory_ / "elsewhere"));
}

TEST_F(ReceiveDir, ReplacesALinkInThePlaceOfAFile) {
  write_file(directory_ / "elsewhere", "mine");
  fs::create_directory(target());
  fs::create_symlink("../elsewhere", target() / "f");
  store_.set_file("f", "new");
  receive();
  EXPECT_EQ(read_file(directory_ / "elsewhere"), "mine");
  EXPECT_FALSE(fs::is_symlink(target() / "f"));
}

TEST_F(ReceiveDir, LeavesOnlyWholeFilesAfterAFailure) {
  const std::string content = random_bytes(40'000);
  for (int i = 0; i < 50; ++i) store_.set_file(std::to_string(i), content);
  store_.answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number == 30) answer.break_after = 20'000;
    return answer;
  });
  EXPECT_EQ(failure().kind(), ErrorKind::Network);
  for (const auto& [name, received] : read_tree(target())) {
    EXPECT_NE(name.front(), '.');
    EXPECT_TRUE(received == content) << name;
  }
}

TEST_F(ReceiveDir, NamesTheFileThatFailed) {
  store_.set_file("sub/f", "x");
  store_.fail_next(FakeCall::Read, 1, Error(ErrorKind::Remote, "HTTP 500"));
  const Error error = failure();
  EXPECT_EQ(error.message(), "receiving sub/f: HTTP 500");
  EXPECT_EQ(error.kind(), ErrorKind::Remote);
}

TEST_F(ReceiveDir, NamesTheDirectoryThatFailed) {
  store_.make_directory("sub");
  store_.fail_next(FakeCall::List, 1, Error(ErrorKind::PermissionDenied, "HTTP 403"));
  EXPECT_EQ(failure().message(), "receiving fake:/: HTTP 403");
}

TEST_F(ReceiveDir, FailsForAFileThatVanishedAfterItWasListed) {
  store_.set_file("f", "x");
  store_.answer_reads_with([this](const FakeRead&) {
    store_.remove("f");
    return FakeAnswer{};
  });
  EXPECT_EQ(failure().kind(), ErrorKind::NotFound);
}

TEST_F(ReceiveDir, FailsForAFileThatChangedAfterItWasListed) {
  store_.set_file("f", "x");
  store_.answer_reads_with([this](const FakeRead&) {
    store_.set_file("f", "changed");
    return FakeAnswer{};
  });
  EXPECT_EQ(failure().kind(), ErrorKind::ChangedRemotely);
  EXPECT_FALSE(std::filesystem::exists(target())) << "it was made for this";
}

TEST_F(ReceiveDir, RefusesATreeWithoutAnEnd) {
  std::string path = "d";
  for (int i = 0; i < 300; ++i) path += "/d";
  store_.make_directory(path);
  EXPECT_EQ(failure().kind(), ErrorKind::Protocol);
}

TEST_F(ReceiveDir, EndsWhenItIsStopped) {
  for (int i = 0; i < 100; ++i) store_.set_file(std::to_string(i), "x");
  store_.hold_reads();
  std::stop_source stop;
  std::thread stopper([&] {
    store_.wait_for_reads(4);
    stop.request_stop();
  });
  try {
    receive_dir(store_, target(), nullptr, progress_, stop.get_token());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  stopper.join();
  EXPECT_FALSE(std::filesystem::exists(target())) << "it was made for this";
}

TEST_F(ReceiveDir, BringsExactlyWhatAListingNamesWithoutAskingForDirectories) {
  store_.set_file("a", "1");
  store_.set_file("not listed", "2");
  store_.set_file("sub/b", "3");
  const Listing listing{listed_file("a"), listed_directory("sub", {listed_file("b")}),
                        listed_directory("empty", {})};
  receive(&listing);
  EXPECT_EQ(read_tree(target()), (FileTree{{"a", "1"}, {"sub/b", "3"}, {"empty/", ""}}));
  EXPECT_EQ(store_.count_of(FakeCall::List), 0);
}

TEST_F(ReceiveDir, AcceptsTheSizesAndChecksumsOfAListing) {
  store_.set_file("a", "abc");
  Listing listing{listed_file("a")};
  listing[0].size = 3;
  listing[0].sha1 = kSha1OfAbc;
  receive(&listing);
  EXPECT_EQ(read_file(target() / "a"), "abc");
}

TEST_F(ReceiveDir, RefusesAnotherChecksumThanListed) {
  store_.set_file("sub/a", "abd");
  Listing listing{listed_directory("sub", {listed_file("a")})};
  listing[0].children[0].sha1 = kSha1OfAbc;
  const Error error = failure(&listing);
  EXPECT_EQ(error.kind(), ErrorKind::Integrity);
  EXPECT_TRUE(error.message().starts_with("receiving sub/a: ")) << error.message();
  EXPECT_NE(error.message().find(kSha1OfAbc), std::string::npos);
  EXPECT_FALSE(fs::exists(target() / "sub/a"));
}

TEST_F(ReceiveDir, ChecksWhatTheServersListingPromises) {
  store_.set_file("a", "message digest");
  store_.tell_checksum("a", {DigestAlgorithm::Md5, "f96b697d7cb7938d525a2f31aaf161d0"});
  receive();
  EXPECT_EQ(read_file(target() / "a"), "message digest");
  store_.tell_checksum("a", {DigestAlgorithm::Md5, std::string(32, '0')});
  const Error error = failure();
  EXPECT_EQ(error.kind(), ErrorKind::Integrity);
  EXPECT_EQ(error.message(),
            "receiving a: its MD5 is f96b697d7cb7938d525a2f31aaf161d0, expected is "
            "00000000000000000000000000000000");
}

TEST_F(ReceiveDir, RefusesAnotherSizeThanListed) {
  store_.set_file("a", "abc");
  Listing listing{listed_file("a")};
  listing[0].size = 4;
  EXPECT_EQ(failure(&listing).message(), "receiving a: its size is 3 bytes, expected are 4");
}

TEST_F(ReceiveDir, RefusesAnotherSizeThanListedWhenTheServerTellsNone) {
  store_.set_file("a", "abc");
  store_.tell_sizes(false);
  Listing listing{listed_file("a")};
  listing[0].size = 4;
  EXPECT_EQ(failure(&listing).kind(), ErrorKind::Integrity);
  EXPECT_FALSE(fs::exists(target() / "a"));
}

TEST_F(ReceiveDir, SharesLargeFilesToo) {
  const std::string content = random_bytes(20 << 20);
  store_.deliver_pieces_of(256 << 10);
  store_.set_file("large", content);
  store_.set_file("small", "x");
  receive();
  EXPECT_TRUE(read_file(target() / "large") == content);
}

TEST(ReceiveDirWithRetries, OutlivesPassingFailures) {
  const TemporaryDirectory directory;
  CountingProgress progress;
  Timer timer;
  auto fake = std::make_unique<FakeStore>();
  FileTree tree;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "d" + std::to_string(i % 7) + "/" + std::to_string(i);
    tree.emplace(name, random_bytes(30'000, static_cast<std::uint64_t>(i)));
    fake->set_file(name, tree[name]);
  }
  fake->fail_next(FakeCall::List, 2, Error(ErrorKind::Unavailable, "HTTP 503"));
  fake->answer_reads_with([](const FakeRead& read) {
    FakeAnswer answer;
    if (read.number % 5 == 0) answer.break_after = 10'000;
    return answer;
  });
  const auto store = with_retries(std::move(fake),
                                  {3, std::chrono::seconds(8), std::chrono::seconds(10),
                                   std::chrono::milliseconds(2), std::chrono::milliseconds(2)},
                                  timer);
  receive_dir(*store, directory / "t", nullptr, progress, {});
  EXPECT_EQ(read_tree(directory / "t"), tree);
  EXPECT_EQ(progress.bytes, 60 * 30'000);
}

}  // namespace
}  // namespace red
