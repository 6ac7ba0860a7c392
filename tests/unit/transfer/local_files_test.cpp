#include "transfer/local_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/error.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using testing::names_in;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::write_file;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777U;
}

void put(const fs::path& path, std::string_view text) {
  const auto target = open_local_target(path);
  target->write_at(0, bytes_of(text));
  target->commit();
}

template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorKind::Internal, ""};
}

TEST(LocalTarget, ShowsNothingBeforeTheCommitAndAllAfterIt) {
  const TemporaryDirectory directory;
  const auto target = open_local_target(directory / "f");
  target->write_at(0, bytes_of("hello"));
  EXPECT_FALSE(fs::exists(directory / "f"));
  target->commit();
  EXPECT_EQ(read_file(directory / "f"), "hello");
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{"f"});
}

TEST(LocalTarget, LeavesNothingWithoutACommit) {
  const TemporaryDirectory directory;
  open_local_target(directory / "f")->write_at(0, bytes_of("hello"));
  EXPECT_TRUE(names_in(directory.path()).empty());
}

TEST(LocalTarget, LeavesTheOldContentWithoutACommit) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "old");
  open_local_target(directory / "f")->write_at(0, bytes_of("new"));
  EXPECT_EQ(read_file(directory / "f"), "old");
}

TEST(LocalTarget, ReplacesAFileAndKeepsItsPermissions) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "old and longer");
  ASSERT_EQ(::chmod((directory / "f").c_str(), 0640), 0);
  put(directory / "f", "new");
  EXPECT_EQ(read_file(directory / "f"), "new");
  EXPECT_EQ(mode_of(directory / "f"), 0640U);
  EXPECT_EQ(names_in(directory.path()).size(), 1U);
}

TEST(LocalTarget, GivesNewFilesWhatTheUmaskLeaves) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(022);
  put(directory / "f", "x");
  EXPECT_EQ(mode_of(directory / "f"), 0644U);
  ::umask(before);
}

TEST(LocalTarget, TakesBytesInAnyOrder) {
  const TemporaryDirectory directory;
  const auto target = open_local_target(directory / "f");
  target->reserve(10);
  target->write_at(5, bytes_of("world"));
  target->write_at(0, bytes_of("hello"));
  target->commit();
  EXPECT_EQ(read_file(directory / "f"), "helloworld");
}

TEST(LocalTarget, BeginsAgainWithoutALongerTail) {
  const TemporaryDirectory directory;
  const auto target = open_local_target(directory / "f");
  target->write_at(0, bytes_of("too long"));
  target->start_over();
  target->write_at(0, bytes_of("ok"));
  target->commit();
  EXPECT_EQ(read_file(directory / "f"), "ok");
}

TEST(LocalTarget, KnowsTheChecksumOfWhatWasWritten) {
  const TemporaryDirectory directory;
  const auto target = open_local_target(directory / "f");
  target->write_at(0, bytes_of("abc"));
  EXPECT_EQ(target->digest(DigestAlgorithm::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(LocalTarget, FollowsLinksToTheirEnd) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "there");
  write_file(directory / "there/f", "old");
  fs::create_symlink("there/f", directory / "relative");
  fs::create_symlink(directory / "relative", directory / "absolute");
  put(directory / "absolute", "new");
  EXPECT_EQ(read_file(directory / "there/f"), "new");
  EXPECT_TRUE(fs::is_symlink(directory / "absolute"));
  EXPECT_TRUE(fs::is_symlink(directory / "relative"));
}

TEST(LocalTarget, MakesTheFileThatADanglingLinkNames) {
  const TemporaryDirectory directory;
  fs::create_symlink("not-yet", directory / "link");
  put(directory / "link", "x");
  EXPECT_EQ(read_file(directory / "not-yet"), "x");
}

TEST(LocalTarget, RefusesALoopOfLinks) {
  const TemporaryDirectory directory;
  fs::create_symlink("b", directory / "a");
  fs::create_symlink("a", directory / "b");
  EXPECT_EQ(error_of([&] { open_local_target(directory / "a"); }).error_number(), ELOOP);
}

TEST(LocalTarget, RefusesADirectory) {
  const TemporaryDirectory directory;
  const Error error = error_of([&] { open_local_target(directory.path()); });
  EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
  EXPECT_EQ(error.error_number(), EISDIR);
}

TEST(LocalTarget, NamesAMissingParent) {
  const TemporaryDirectory directory;
  const Error error = error_of([&] { open_local_target(directory / "missing/f"); });
  EXPECT_EQ(error.error_number(), ENOENT);
  EXPECT_NE(error.message().find("/missing:"), std::string::npos) << error.message();
}

TEST(LocalTarget, WritesIntoAPipeAsItIs) {
  const TemporaryDirectory directory;
  const fs::path pipe = directory / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received;
  std::thread reader([&] { received = read_file(pipe); });
  {
    const auto target = open_local_target(pipe);
    EXPECT_TRUE(target->is_stream());
    target->write_at(0, bytes_of("hello "));
    target->write_at(6, bytes_of("world"));
    target->commit();
  }
  reader.join();
  EXPECT_EQ(received, "hello world");
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST(LocalTarget, TakesNamesOf255Bytes) {
  const TemporaryDirectory directory;
  const std::string name(255, 'n');
  put(directory / name, "one");
  put(directory / name, "two");
  EXPECT_EQ(read_file(directory / name), "two");
  EXPECT_EQ(names_in(directory.path()).size(), 1U);
}

TEST(LocalTarget, ReportsAFullDiskWithItsErrno) {
  struct stat status {};
  if (::stat("/dev/full", &status) != 0) GTEST_SKIP() << "no /dev/full here";
  const auto target = open_local_target("/dev/full");
  EXPECT_EQ(error_of([&] { target->write_at(0, bytes_of("x")); }).error_number(), ENOSPC);
}

TEST(FileSource, ReadsAnyPartAndEndsAtTheEnd) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "hello");
  FileSource source(directory / "f");
  EXPECT_EQ(source.size(), 5U);
  std::array<std::byte, 10> buffer{};
  EXPECT_EQ(source.read_at(1, buffer), 4U);
  EXPECT_EQ(static_cast<char>(buffer[0]), 'e');
  EXPECT_EQ(source.read_at(5, buffer), 0U);
}

TEST(FileSource, NoticesThatTheFileShrank) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "hello");
  FileSource source(directory / "f");
  fs::resize_file(directory / "f", 2);
  std::array<std::byte, 2> buffer{};
  EXPECT_EQ(source.read_at(0, buffer), 2U);
  EXPECT_EQ(error_of([&] { source.read_at(2, buffer); }).kind(), ErrorKind::LocalIo);
}

TEST(FileSource, NoticesThatTheFileGrew) {
  const TemporaryDirectory directory;
  write_file(directory / "f", "hello");
  FileSource source(directory / "f");
  fs::resize_file(directory / "f", 6);
  std::array<std::byte, 5> buffer{};
  EXPECT_EQ(error_of([&] { source.read_at(0, buffer); }).kind(), ErrorKind::LocalIo);
}

TEST(FileSource, RefusesWhatIsNoRegularFile) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { FileSource(directory / "pipe"); }).kind(), ErrorKind::LocalIo);
  EXPECT_EQ(error_of([&] { FileSource(directory.path()); }).error_number(), EISDIR);
  EXPECT_EQ(error_of([&] { FileSource(directory / "none"); }).error_number(), ENOENT);
}

}  // namespace
}  // namespace red
