#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "common/remote/retry.h"
#include "tests/fakes/counting_progress.h"
#include "tests/fakes/fake_store.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"
#include "transfer/send_dir.h"
#include "transfer/send_file.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using testing::CountingProgress;
using testing::FakeCall;
using testing::FakeStore;
using testing::random_bytes;
using testing::TemporaryDirectory;
using testing::write_file;
using testing::write_tree;

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

class Sending : public ::testing::Test {
 protected:
  fs::path source() const { return directory_.path(); }

  void expect_nothing_sent() {
    EXPECT_EQ(store_.count_of(FakeCall::Upload), 0);
    EXPECT_EQ(store_.count_of(FakeCall::MakeDirectory), 0);
  }

  TemporaryDirectory directory_;
  FakeStore store_;
  CountingProgress progress_;
};

class SendFile : public Sending {
 protected:
  void send() { send_file(store_, source() / "f", {}, progress_, {}); }
};

TEST_F(SendFile, SendsTheFileAsTheRoot) {
  const std::string content = random_bytes(200'000);
  write_file(source() / "f", content);
  send();
  EXPECT_EQ(store_.content_of(""), content);
  EXPECT_EQ(progress_.expected_bytes, 200'000U);
  EXPECT_EQ(progress_.bytes, 200'000);
  EXPECT_EQ(progress_.files, 1U);
}

TEST_F(SendFile, CountsBytesOnceThatWereSentTwice) {
  write_file(source() / "f", random_bytes(200'000));
  Timer timer;
  auto fake = std::make_unique<FakeStore>();
  fake->break_next_uploads(130'000, 1, Error(ErrorKind::Network, "connection reset"));
  const auto store = with_retries(std::move(fake),
                                  {3, std::chrono::seconds(8), std::chrono::seconds(10),
                                   std::chrono::milliseconds(2), std::chrono::milliseconds(2)},
                                  timer);
  send_file(*store, source() / "f", {}, progress_, {});
  EXPECT_EQ(progress_.bytes, 200'000);
}

TEST_F(SendFile, FailsBeforeItSendsWhenTheFileCannotBeRead) {
  try {
    send();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
    EXPECT_EQ(error.error_number(), ENOENT);
  }
  expect_nothing_sent();
}

TEST_F(SendFile, SendsNothingThatDoesNotPassTheCheck) {
  write_file(source() / "f", "abc");
  std::uint64_t seen = 0;
  const ContentCheck check = [&](ByteSource& content) {
    seen = content.size();
    throw Error(ErrorKind::Integrity, "not wanted");
  };
  try {
    send_file(store_, source() / "f", check, progress_, {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Integrity);
    EXPECT_EQ(error.message(), "sending " + (source() / "f").string() + ": not wanted");
  }
  EXPECT_EQ(seen, 3U);
  expect_nothing_sent();
}

TEST_F(SendFile, SaysWhenTheStoreTakesNothing) {
  write_file(source() / "f", "x");
  store_.take_uploads(false);
  try {
    send();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  }
}

TEST_F(SendFile, NamesWhatFailed) {
  write_file(source() / "f", "x");
  store_.fail_next(FakeCall::Upload, 1, Error(ErrorKind::PermissionDenied, "HTTP 403"));
  try {
    send();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "sending " + (source() / "f").string() + ": HTTP 403");
  }
}

class SendDir : public Sending {
 protected:
  void send(const Listing* listing = nullptr) {
    send_dir(store_, source(), listing, progress_, {});
  }

  Error failure(const Listing* listing = nullptr) {
    try {
      send(listing);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return {ErrorKind::Internal, ""};
  }
};

TEST_F(SendDir, SendsATreeWithEmptyDirectoriesAndFiles) {
  const std::string content = random_bytes(100'000);
  write_tree(source(), {{"a", ""}, {"sub/deep/b c", content}, {"empty/", ""}});
  send();
  EXPECT_EQ(store_.paths(),
            (std::vector<std::string>{"a", "empty/", "sub/", "sub/deep/", "sub/deep/b c"}));
  EXPECT_EQ(store_.content_of("sub/deep/b c"), content);
  EXPECT_EQ(store_.content_of("a"), "");
  EXPECT_EQ(store_.count_of(FakeCall::MakeDirectory), 4) << "the root is made, too";
}

TEST_F(SendDir, SendsManyFilesAndTellsItsProgress) {
  for (int i = 0; i < 300; ++i) write_file(source() / std::to_string(i), "12345");
  send();
  EXPECT_EQ(store_.paths().size(), 300U);
  EXPECT_EQ(progress_.expected_files, 300U);
  EXPECT_EQ(progress_.expected_bytes, 1500U);
  EXPECT_EQ(progress_.bytes, 1500);
  EXPECT_EQ(progress_.files, 300U);
}

TEST_F(SendDir, SendsATreeAsOneWhereTheStoreTakesTrees) {
  store_.take_trees(true);
  write_tree(source(),
             {{"a", "1"}, {"sub/deep/b", random_bytes(5000)}, {"sub/empty", ""}, {"d/", ""}});
  send();
  EXPECT_EQ(store_.content_of("a"), "1");
  EXPECT_EQ(store_.content_of("sub/deep/b"), random_bytes(5000));
  EXPECT_EQ(store_.content_of("sub/empty"), "");
  EXPECT_EQ(store_.count_of(FakeCall::UploadTree), 1);
  expect_nothing_sent();
  EXPECT_EQ(progress_.expected_files, 3U);
  EXPECT_EQ(progress_.expected_bytes, 5001U);
  EXPECT_EQ(progress_.bytes, 5001);
  EXPECT_EQ(progress_.files, 3U);
}

TEST_F(SendDir, SendsOfATreeWhatAListingNames) {
  store_.take_trees(true);
  write_tree(source(), {{"a", "1"}, {"b", "2"}});
  const Listing listing{listed_file("b")};
  send(&listing);
  EXPECT_EQ(store_.content_of("a"), std::nullopt);
  EXPECT_EQ(store_.content_of("b"), "2");
}

TEST_F(SendDir, NamesTheDirectoryWhenTheTreeFails) {
  store_.take_trees(true);
  store_.fail_next(FakeCall::UploadTree, 1, Error(ErrorKind::AlreadyExists, "there"));
  EXPECT_EQ(failure().message(), "sending " + source().string() + ": there");
}

TEST_F(SendDir, FollowsLinks) {
  write_tree(source(), {{"real/f", "x"}});
  fs::create_directory_symlink("real", source() / "linked");
  fs::create_symlink("real/f", source() / "g");
  send();
  EXPECT_EQ(store_.content_of("linked/f"), "x");
  EXPECT_EQ(store_.content_of("g"), "x");
}

TEST_F(SendDir, RefusesALinkBackToADirectoryThatHoldsIt) {
  fs::create_directory(source() / "sub");
  fs::create_directory_symlink("..", source() / "sub/up");
  EXPECT_NE(failure().message().find("sub/up"), std::string::npos);
  expect_nothing_sent();
}

TEST_F(SendDir, RefusesALinkToNothing) {
  write_file(source() / "a", "x");
  fs::create_symlink("nowhere", source() / "z");
  const Error error = failure();
  EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
  EXPECT_NE(error.message().find("/z: "), std::string::npos) << error.message();
  expect_nothing_sent();
}

TEST_F(SendDir, RefusesAPipe) {
  ASSERT_EQ(::mkfifo((source() / "pipe").c_str(), 0600), 0);
  EXPECT_NE(failure().message().find("pipe"), std::string::npos);
  expect_nothing_sent();
}

TEST_F(SendDir, RefusesAFileInThePlaceOfADirectory) {
  write_file(source() / "f", "x");
  EXPECT_THROW(send_dir(store_, source() / "f", nullptr, progress_, {}), Error);
  expect_nothing_sent();
}

TEST_F(SendDir, SaysWhenTheStoreTakesNothing) {
  store_.take_uploads(false);
  EXPECT_EQ(failure().kind(), ErrorKind::Unsupported);
}

TEST_F(SendDir, StopsAtTheFirstErrorAndNamesTheFile) {
  for (int i = 0; i < 300; ++i) write_file(source() / std::to_string(i), "x");
  store_.fail_next(FakeCall::Upload, 1, Error(ErrorKind::Remote, "HTTP 507"));
  const Error error = failure();
  EXPECT_EQ(error.kind(), ErrorKind::Remote);
  EXPECT_TRUE(error.message().starts_with("sending " + source().string() + "/"));
  EXPECT_LT(store_.count_of(FakeCall::Upload), 300);
}

TEST_F(SendDir, EndsWhenItIsStopped) {
  write_file(source() / "f", "x");
  std::stop_source stop;
  stop.request_stop();
  try {
    send_dir(store_, source(), nullptr, progress_, stop.get_token());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  expect_nothing_sent();
}

TEST_F(SendDir, SendsExactlyWhatAListingNames) {
  write_tree(source(), {{"a", "abc"}, {"b", "x"}, {"sub/c", "x"}, {"empty/not listed", "x"}});
  Listing listing{listed_file("a"), listed_directory("sub", {listed_file("c")}),
                  listed_directory("empty", {})};
  listing[0].size = 3;
  listing[0].sha1 = kSha1OfAbc;
  send(&listing);
  EXPECT_EQ(store_.paths(), (std::vector<std::string>{"a", "empty/", "sub/", "sub/c"}));
}

TEST_F(SendDir, ReportsAllThatDiffersFromTheListingBeforeItSends) {
  write_tree(source(), {{"a", "abd"}, {"b", "x"}, {"d/", ""}, {"ok", "x"}});
  Listing listing{listed_file("a"), listed_file("b"), listed_file("c"), listed_file("d"),
                  listed_file("ok")};
  listing[0].sha1 = kSha1OfAbc;
  listing[1].size = 2;
  const Error error = failure(&listing);
  EXPECT_EQ(error.kind(), ErrorKind::Integrity);
  for (const char* part : {"a: its SHA-1 is ", "b: its size is 1 bytes, expected are 2",
                           "\n  c: No such file", "d: is a directory"}) {
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
  EXPECT_EQ(error.message().find("ok"), std::string::npos) << error.message();
  expect_nothing_sent();
}

}  // namespace
}  // namespace red
