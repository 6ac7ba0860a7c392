// Uploader: files and directories that are sent.

#include <algorithm>
#include <cerrno>
#include <future>

#include "tests/conformance/remote_store_conformance.h"
#include "tests/fakes/path_of.h"
#include "tests/fakes/text_source.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::AnyOf;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;
using namespace std::chrono_literals;

/// Fails after some of its bytes.
class BreakingSource final : public ByteSource {
 public:
  static constexpr std::uint64_t kSize = 4 << 20;
  std::uint64_t size() const override { return kSize; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    if (offset >= kSize / 2) throw Error::local_io(EIO, "the disk");
    std::fill(buffer.begin(), buffer.end(), std::byte{'x'});
    return buffer.size();
  }
};

/// Ends before it has given what it promised.
class ShrinkingSource final : public ByteSource {
 public:
  std::uint64_t size() const override { return 100'000; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    if (offset >= 50'000) return 0;
    const auto count = std::min<std::size_t>(buffer.size(), 50'000 - offset);
    std::fill_n(buffer.begin(), count, std::byte{'x'});
    return count;
  }
};

/// Calls for the stop when it is first read.
class StoppingSource final : public ByteSource {
 public:
  std::uint64_t size() const override { return 8 << 20; }
  std::size_t read_at(std::uint64_t, std::span<std::byte> buffer) override {
    stop_.request_stop();
    std::fill(buffer.begin(), buffer.end(), std::byte{'x'});
    return buffer.size();
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
};

// --- Files ---------------------------------------------------------------------------------------

TEST_P(UploaderConformance, FilesOfEverySizeArrive) {
  for (const std::size_t size : {0u, 1u, 4'096u, 65'537u, 1u << 20, 3'000'001u}) {
    const std::string name = "file of " + std::to_string(size);
    const std::string content = random_bytes(size, size);
    send(name, content);
    EXPECT_TRUE(content_of(name) == content) << size;
    const auto entry = store().stat(path(name), soon());
    ASSERT_TRUE(entry) << size;
    if (size > 0 || server().tells_empty_sizes()) {
      EXPECT_EQ(entry->size, size);
    }
    EXPECT_TRUE(read(name) == content) << size;
  }
}

TEST_P(UploaderConformance, AnExistingFileIsReplacedAsAWhole) {
  put("file", std::string(1'000'000, 'x'));
  for (const std::size_t size : {2'000'000u, 10u, 0u, 5u}) {
    const std::string content = random_bytes(size);
    send("file", content);
    EXPECT_TRUE(content_of("file") == content) << size;
    EXPECT_THAT(names_in(), std::vector<std::string>{"file"});
  }
}

TEST_P(UploaderConformance, EveryNameIsKeptByteForByte) {
  std::vector<std::string> sent;
  for (const std::string& name : hard_names()) {
    if (!server().serves(name)) continue;
    send(name, "content of " + name);
    EXPECT_EQ(content_of(name), "content of " + name);
    sent.push_back(name);
  }
  EXPECT_THAT(names_in(), UnorderedElementsAreArray(sent));
}

TEST_P(UploaderConformance, AFileMayBeTheRoot) {
  const auto opened = open("file", Purpose::SendFile);
  for (const char* content : {"first", "second"}) {
    TextSource source(content);
    opened->uploader()->upload({}, source, {}, soon());
    EXPECT_EQ(content_of("file"), content);
  }
}

TEST_P(UploaderConformance, PermissionBitsAndTimesTravelWhereTheProtocolHasThem) {
  TextSource source("content");
  const LocalAttributes attributes{.mode = 0751, .modified = kLongAgo};
  uploader().upload(path("file"), source, attributes, soon());
  uploader().make_directory(path("directory"), {.mode = 0705}, soon());
  EXPECT_EQ(content_of("file"), "content");
  const auto file = store().stat(path("file"), soon());
  const auto directory = store().stat(path("directory"), soon());
  ASSERT_TRUE(file);
  ASSERT_EQ(directory.has_value(), server().keeps_directories());
  if (!server().keeps_attributes()) {
    EXPECT_NE(file->modified, kLongAgo);
    return;
  }
  EXPECT_EQ(file->mode, 0751u);
  EXPECT_EQ(file->modified, kLongAgo);
  EXPECT_EQ(directory->mode, 0705u);
}

TEST_P(UploaderConformance, ManyFilesAreSentTogether) {
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::async(std::launch::async, [this, i] {
      for (int round = 0; round < 4; ++round) {
        const std::string name = std::to_string(i) + "-" + std::to_string(round);
        send(name, random_bytes(100'000, static_cast<std::uint64_t>(i)));
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  EXPECT_EQ(names_in().size(), 32u);
  for (int i = 0; i < 8; ++i) {
    const std::string content = random_bytes(100'000, static_cast<std::uint64_t>(i));
    for (int round = 0; round < 4; ++round) {
      EXPECT_TRUE(content_of(std::to_string(i) + "-" + std::to_string(round)) == content);
    }
  }
}

// --- Directories ---------------------------------------------------------------------------------

TEST_P(UploaderConformance, MakingADirectoryThatExistsIsSuccess) {
  uploader().make_directory(path("directory"), {}, soon());
  send("directory/file", "content");
  uploader().make_directory(path("directory"), {}, soon());
  EXPECT_EQ(content_of("directory/file"), "content");
  EXPECT_EQ(store().stat(path("directory"), soon()).value().kind, EntryKind::Directory);
}

TEST_P(UploaderConformance, TheParentOfADirectoryMustExist) {
  const auto make = [&] { uploader().make_directory(path("missing/directory"), {}, soon()); };
  if (server().keeps_directories()) {
    const Error error = error_of(make);
    EXPECT_EQ(error.kind(), ErrorKind::NotFound) << error.message();
  } else {
    EXPECT_NO_THROW(make());
  }
  EXPECT_THAT(names_in(), IsEmpty());
}

TEST_P(UploaderConformance, TheRootIsMadeWithItsParentsWhereTheProtocolCan) {
  if (!server().opens_any_directory()) {
    EXPECT_NO_THROW(open_another(Purpose::SendDir)->uploader()->make_directory({}, {}, soon()));
    return;
  }
  const auto opened = open("new", Purpose::SendDir);
  opened->uploader()->make_directory({}, {}, soon());
  opened->uploader()->make_directory({}, {}, soon());
  TextSource source("content");
  opened->uploader()->upload(path_of("file"), source, {}, soon());
  EXPECT_EQ(content_of("new/file"), "content");

  const auto deep = open("missing/below", Purpose::SendDir);
  const auto make = [&] { deep->uploader()->make_directory({}, {}, soon()); };
  if (server().makes_parents_of_roots()) {
    make();
    EXPECT_EQ(names_in("missing"), std::vector<std::string>{"below"});
  } else {
    EXPECT_EQ(error_of(make).kind(), ErrorKind::NotFound);
  }
}

TEST_P(UploaderConformance, TheParentOfAFileIsMadeOrMissed) {
  if (server().makes_parents_of_uploads()) {
    send("new/deep/file", "content");
    EXPECT_EQ(content_of("new/deep/file"), "content");
  } else {
    const Error error = error_of([&] { send("new/deep/file", "content"); });
    EXPECT_EQ(error.kind(), ErrorKind::NotFound) << error.message();
    EXPECT_THAT(names_in(), IsEmpty());
  }
}

// --- What is in the way --------------------------------------------------------------------------

TEST_P(UploaderConformance, AFileDoesNotReplaceADirectory) {
  put("directory/file", "content");
  const Error error = error_of([&] { send("directory", "new"); });
  EXPECT_FALSE(error.retryable()) << error.message();
  EXPECT_NE(error.kind(), ErrorKind::Internal) << error.message();
  EXPECT_EQ(names_in(), std::vector<std::string>{"directory"});
  EXPECT_EQ(content_of("directory/file"), "content");
}

TEST_P(UploaderConformance, ADirectoryDoesNotReplaceAFile) {
  put("file", "content");
  const auto make = [&] { uploader().make_directory(path("file"), {}, soon()); };
  if (server().tells_files_in_the_way()) {
    const Error error = error_of(make);
    EXPECT_EQ(error.kind(), ErrorKind::AlreadyExists) << error.message();
  } else {
    EXPECT_NO_THROW(make());
  }
  EXPECT_EQ(content_of("file"), "content");
}

TEST_P(UploaderConformance, NothingIsSentBelowAFile) {
  put("file", "content");
  const Error sent = error_of([&] { send("file/below", "new"); });
  EXPECT_FALSE(sent.retryable()) << sent.message();
  EXPECT_NE(sent.kind(), ErrorKind::Internal) << sent.message();
  const auto make = [&](std::string_view name) {
    uploader().make_directory(path(name), {}, soon());
  };
  if (server().tells_files_in_the_way()) {
    const Error made = error_of([&] { make("file/below"); });
    EXPECT_FALSE(made.retryable()) << made.message();
    EXPECT_NE(made.kind(), ErrorKind::Internal) << made.message();
  } else {
    EXPECT_NO_THROW(make("file/below"));
  }
  // It is about that path alone.
  make("directory");
  send("directory/file", "content");
  EXPECT_EQ(names_in(), (std::vector<std::string>{"directory", "file"}));
  EXPECT_EQ(content_of("file"), "content");
}

// --- What ends early -----------------------------------------------------------------------------

TEST_P(UploaderConformance, ASourceThatFailsLeavesNothing) {
  BreakingSource broken;
  const Error failed = error_of([&] { uploader().upload(path("new"), broken, {}, soon()); });
  EXPECT_EQ(failed.kind(), ErrorKind::LocalIo) << failed.message();
  EXPECT_EQ(failed.error_number(), EIO);
  ShrinkingSource shrinking;
  const Error ended = error_of([&] { uploader().upload(path("new"), shrinking, {}, soon()); });
  EXPECT_THAT(ended.kind(), AnyOf(ErrorKind::LocalIo, ErrorKind::Integrity)) << ended.message();
  EXPECT_TRUE(eventually([&] { return names_in().empty(); }));
}

TEST_P(UploaderConformance, ASourceThatFailsLeavesTheOldFile) {
  put("file", "old");
  BreakingSource broken;
  const Error failed = error_of([&] { uploader().upload(path("file"), broken, {}, soon()); });
  EXPECT_EQ(failed.kind(), ErrorKind::LocalIo) << failed.message();
  EXPECT_TRUE(eventually([&] { return names_in() == std::vector<std::string>{"file"}; }));
  if (server().keeps_the_old_until_the_end()) {
    EXPECT_EQ(content_of("file"), "old");
  }
}

TEST_P(UploaderConformance, AStopLeavesNothing) {
  TextSource source("content");
  const auto send_with = [&](ByteSource& bytes, const RequestContext& context) {
    return error_of([&] { uploader().upload(path("new"), bytes, {}, context); }).kind();
  };
  EXPECT_EQ(send_with(source, stopped()), ErrorKind::Cancelled);
  EXPECT_EQ(send_with(source, too_late()), ErrorKind::TimedOut);
  StoppingSource stopping;
  EXPECT_EQ(send_with(stopping, RequestContext::within(30s, stopping.token())),
            ErrorKind::Cancelled);
  if (server().keeps_directories()) {
    EXPECT_EQ(error_of([&] { uploader().make_directory(path("new"), {}, stopped()); }).kind(),
              ErrorKind::Cancelled);
    EXPECT_EQ(error_of([&] { uploader().make_directory(path("new"), {}, too_late()); }).kind(),
              ErrorKind::TimedOut);
  }
  EXPECT_TRUE(eventually([&] { return names_in().empty(); }))
      << ::testing::PrintToString(names_in()) << content_of("new").value_or("no file").size();
}

}  // namespace
}  // namespace red::testing
