// Writable mounts over SFTP: what programs do to files arrives on the server, or they are told.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <future>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/ssh_mount_fixture.h"
#include "tests/servers/async_ssh_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/server_kinds.h"
#include "tests/servers/ssh_server_kinds.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A change made elsewhere shows after a second; this is for a busy machine.
constexpr seconds kUntilSeen{4};

// --- System calls without exceptions
// --------------------------------------------------------------

FileDescriptor open_file(const fs::path& file, int flags, mode_t mode = 0644) {
  return FileDescriptor(::open(file.c_str(), flags | O_CLOEXEC, mode));
}

/// 0 or the error number. Without an offset: where the descriptor stands.
int write_all(int descriptor, std::string_view bytes, std::optional<std::uint64_t> offset = {}) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t left = std::min<std::size_t>(bytes.size() - done, 1 << 20);
    const ssize_t count =
        offset ? ::pwrite(descriptor, bytes.data() + done, left, static_cast<off_t>(*offset + done))
               : ::write(descriptor, bytes.data() + done, left);
    if (count <= 0) return count < 0 ? errno : EIO;
    done += static_cast<std::size_t>(count);
  }
  return 0;
}

/// Closes and tells what that told.
int close_of(FileDescriptor& descriptor) {
  const int copy = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0);
  descriptor.close();
  return error_of(::close(copy));
}

/// The first error of opening, writing, fsync and close; 0 if the bytes are where they belong.
int put(const fs::path& file, std::string_view bytes, int flags = O_WRONLY | O_CREAT | O_TRUNC,
        mode_t mode = 0644) {
  FileDescriptor descriptor = open_file(file, flags, mode);
  if (!descriptor) return errno;
  const int written = write_all(descriptor.get(), bytes);
  const int synchronized = error_of(::fsync(descriptor.get()));
  const int closed = close_of(descriptor);
  return written != 0 ? written : synchronized != 0 ? synchronized : closed;
}

int rename_flags(const fs::path& from, const fs::path& to, unsigned flags) {
  return error_of(::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

off_t size_of(int descriptor) {
  struct stat status {};
  EXPECT_EQ(error_of(::fstat(descriptor, &status)), 0);
  return status.st_size;
}

/// A number that this process and its children see.
class SharedNumber {
 public:
  SharedNumber()
      : number_(static_cast<std::atomic<std::size_t>*>(::mmap(
            nullptr, sizeof *number_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
  }
  ~SharedNumber() { ::munmap(number_, sizeof *number_); }
  SharedNumber(const SharedNumber&) = delete;
  SharedNumber& operator=(const SharedNumber&) = delete;

  void set(std::size_t value) { *number_ = value; }
  bool reaches(std::size_t value, milliseconds limit = seconds(40)) const {
    return eventually([&] { return *number_ >= value; }, limit);
  }

 private:
  std::atomic<std::size_t>* number_;
};

/// A process of its own that uses the mount while this one stops and starts servers: whatever this
/// one starts closes a copy of every descriptor that is open here, and closing waits for the
/// server.
class Child {
 public:
  /// What `work` returns is the exit code.
  explicit Child(const std::function<int()>& work) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(work());
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Nothing if it has not ended at the limit.
  std::optional<int> wait(milliseconds limit) {
    int status = 0;
    const auto has_ended = [&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; };
    if (pid_ == 0 || !eventually(has_ended, limit)) return {};
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    EXPECT_TRUE(wait(seconds(5))) << "it cannot be killed";
  }

 private:
  pid_t pid_;
};

// --- Fixtures ------------------------------------------------------------------------------------

std::vector<SshServerKind> writable_kinds() {
  std::vector<SshServerKind> kinds = ssh_server_kinds();
  kinds.push_back({"AsyncSshWithoutExtensions", [] {
                     return std::make_unique<AsyncSshServer>(AsyncSshOptions{.extensions = false});
                   }});
  return kinds;
}

/// The home of the server's account, mounted writable.
class SshWriteTo : public SshMountFixture, public ::testing::WithParamInterface<SshServerKind> {
 protected:
  /// The mount begins with these files.
  Outcome mount_with(const FileTree& tree = {}) {
    serve(tree);
    return mount_writable(*server_);
  }
  const fs::path& root() const { return server_->root(); }
  void serve(const FileTree& tree) { testing::serve(*server_, tree); }
  std::string on_server(const std::string& name) const { return read_file(root() / name); }

  std::unique_ptr<SshServer> server_ = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(Every, SshWriteTo, ::testing::ValuesIn(writable_kinds()),
                         kNameOfServerKind);

/// The same on OpenSSH alone: what does not depend on the server, or needs its extensions.
class SshWrite : public SshMountFixture {
 protected:
  /// The mount begins with these files.
  Outcome mount_with(const FileTree& tree = {}) {
    serve(tree);
    return mount_writable(server_);
  }
  /// Access data of the same by way of the relay.
  Json through(const Relay& relay) const {
    Json access = writable(access_to(server_, "dirPath", server_.path_of("")));
    access["port"] = relay.port();
    return access;
  }
  const fs::path& root() const { return server_.root(); }
  void serve(const FileTree& tree) { testing::serve(server_, tree); }
  std::string on_server(const std::string& name) const { return read_file(root() / name); }

  OpenSshServer server_;
};

// --- Bytes ---------------------------------------------------------------------------------------

TEST_P(SshWriteTo, FilesOfEverySizeArriveByTheTimeTheyAreClosed) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  for (const std::size_t size : {0, 1, 4096, 32'768, 32'769, 1'000'001, 5'000'000}) {
    const std::string name = "file of " + std::to_string(size);
    const std::string content = random_bytes(size, size);
    FileDescriptor file = open_file(mount_ / name, O_WRONLY | O_CREAT | O_EXCL);
    ASSERT_TRUE(file) << std::strerror(errno);
    EXPECT_EQ(write_all(file.get(), content), 0);
    EXPECT_EQ(size_of(file.get()), static_cast<off_t>(size));
    EXPECT_EQ(close_of(file), 0);
    EXPECT_TRUE(on_server(name) == content) << size;
    EXPECT_EQ(status_of(mount_ / name).st_size, static_cast<off_t>(size));
    EXPECT_TRUE(read_file(mount_ / name) == content) << size;
  }
}

TEST_P(SshWriteTo, EveryNameCanBeMade) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const FileTree tree = nasty_tree(hard_names());
  write_tree(mount_, tree);
  EXPECT_EQ(differences(read_tree(root()), tree), "");
  EXPECT_EQ(differences(read_tree(mount_), tree), "");
  EXPECT_GT(fs::remove_all(mount_ / "in directories"), 0u);
  EXPECT_FALSE(fs::exists(root() / "in directories"));
}

TEST_P(SshWriteTo, AppendingAddsToTheEnd) {
  ASSERT_THAT(mount_with({{"log", "on the server;"}}), Succeeded()) << server_->log();
  {
    const FileDescriptor first = open_file(mount_ / "log", O_WRONLY | O_APPEND);
    const FileDescriptor second = open_file(mount_ / "log", O_RDWR | O_APPEND);
    ASSERT_TRUE(first && second);
    EXPECT_EQ(write_all(first.get(), "first;"), 0);
    EXPECT_EQ(write_all(second.get(), "second;"), 0);
    EXPECT_EQ(::lseek(first.get(), 0, SEEK_SET), 0);
    EXPECT_EQ(write_all(first.get(), "third;"), 0);
    EXPECT_EQ(read_at(second.get(), 0, 1000).bytes, "on the server;first;second;third;");
  }
  EXPECT_EQ(put(mount_ / "log", "fourth", O_WRONLY | O_APPEND), 0);
  EXPECT_EQ(on_server("log"), "on the server;first;second;third;fourth");
}

TEST_P(SshWriteTo, WritesInTheMiddleChangeNothingElse) {
  std::string content = random_bytes(3'000'000);
  ASSERT_THAT(mount_with({{"file", content}}), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  ASSERT_TRUE(file);
  std::mt19937_64 random(4711);
  for (int i = 0; i < 200; ++i) {
    const std::size_t offset = random() % content.size();
    const std::string piece =
        random_bytes(std::min(1 + random() % 40'000, content.size() - offset), random());
    ASSERT_EQ(write_all(file.get(), piece, offset), 0);
    content.replace(offset, piece.size(), piece);
    const std::size_t from = random() % content.size();
    ASSERT_TRUE(read_at(file.get(), from, 50'000).bytes == content.substr(from, 50'000)) << i;
  }
  EXPECT_TRUE(read_at(file.get(), 0, 4'000'000).bytes == content);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_TRUE(on_server("file") == content);
}

TEST_P(SshWriteTo, TruncationCutsAndFillsWithZeros) {
  ASSERT_THAT(mount_with({{"file", "0123456789"}}), Succeeded()) << server_->log();
  const std::string path = mount_ / "file";
  EXPECT_EQ(error_of(::truncate(path.c_str(), 4)), 0);
  EXPECT_EQ(on_server("file"), "0123");
  EXPECT_EQ(error_of(::truncate(path.c_str(), 6)), 0);
  EXPECT_EQ(read_file(path), std::string("0123\0\0", 6));
  FileDescriptor file = open_file(path, O_RDWR);
  EXPECT_EQ(write_all(file.get(), "abc", 8), 0);
  EXPECT_EQ(size_of(file.get()), 11);
  EXPECT_EQ(error_of(::ftruncate(file.get(), 9)), 0);
  EXPECT_EQ(read_at(file.get(), 0, 100).bytes, std::string("0123\0\0\0\0a", 9));
  EXPECT_EQ(error_of(::ftruncate(file.get(), 1)), 0);
  EXPECT_EQ(error_of(::ftruncate(file.get(), 100'000)), 0);
  EXPECT_EQ(write_all(file.get(), "z", 99'999), 0);
  const std::string content = "0" + std::string(99'998, '\0') + "z";
  EXPECT_TRUE(read_at(file.get(), 0, 200'000).bytes == content);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_TRUE(on_server("file") == content);
  file = open_file(path, O_WRONLY | O_TRUNC);
  EXPECT_EQ(size_of(file.get()), 0);
  EXPECT_EQ(write_all(file.get(), "new"), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(on_server("file"), "new");
}

TEST_P(SshWriteTo, ExclusiveCreationNeverTakesAFileThatIsThere) {
  ASSERT_THAT(mount_with({{"old", "old"}}), Succeeded()) << server_->log();
  EXPECT_EQ(put(mount_ / "old", "new", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
  EXPECT_EQ(put(mount_ / "new", "new", O_WRONLY | O_CREAT | O_EXCL), 0);
  // Known as missing here, made by somebody else meanwhile.
  EXPECT_FALSE(fs::exists(mount_ / "lock"));
  serve({{"lock", "theirs"}});
  EXPECT_EQ(put(mount_ / "lock", "mine", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
  EXPECT_EQ(differences(read_tree(root()), {{"old", "old"}, {"new", "new"}, {"lock", "theirs"}}),
            "");
}

TEST_P(SshWriteTo, WhatIsWrittenIsReadAtOnceByEveryDescriptor) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  FileDescriptor first = open_file(mount_ / "file", O_RDWR | O_CREAT);
  FileDescriptor second = open_file(mount_ / "file", O_RDWR);
  FileDescriptor reader = open_file(mount_ / "file", O_RDONLY);
  ASSERT_TRUE(first && second && reader);
  std::string content;
  for (int i = 0; i < 50; ++i) {
    const std::string piece = random_bytes(10'000, static_cast<std::uint64_t>(i));
    ASSERT_EQ(write_all(i % 2 == 0 ? first.get() : second.get(), piece, content.size()), 0);
    content += piece;
    ASSERT_EQ(size_of(reader.get()), static_cast<off_t>(content.size()));
    ASSERT_EQ(status_of(mount_ / "file").st_size, static_cast<off_t>(content.size()));
    ASSERT_TRUE(read_at(reader.get(), 0, 1'000'000).bytes == content) << i;
  }
  EXPECT_EQ(error_of(::ftruncate(first.get(), 5)), 0);
  EXPECT_EQ(read_at(second.get(), 0, 100).bytes, content.substr(0, 5));
  EXPECT_EQ(read_at(mount_ / "file", 0, 100).bytes, content.substr(0, 5));
  EXPECT_EQ(close_of(first), 0);
  EXPECT_EQ(write_all(second.get(), "more", 5), 0);
  EXPECT_EQ(read_at(reader.get(), 0, 100).bytes, content.substr(0, 5) + "more");
}

TEST_P(SshWriteTo, FsyncBringsEverythingToTheServer) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(3'000'000);
  const FileDescriptor file = open_file(mount_ / "file", O_WRONLY | O_CREAT);
  for (std::size_t at = 0; at < content.size(); at += 1'000'000) {
    ASSERT_EQ(write_all(file.get(), content.substr(at, 1'000'000)), 0);
    ASSERT_EQ(error_of(at == 0 ? ::fdatasync(file.get()) : ::fsync(file.get())), 0);
    EXPECT_TRUE(on_server("file") == content.substr(0, at + 1'000'000)) << at;
  }
}

TEST_P(SshWriteTo, SharedMappingsAreWrittenBack) {
  std::string content = random_bytes(1'000'000);
  ASSERT_THAT(mount_with({{"file", content}}), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  void* const memory =
      ::mmap(nullptr, content.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno);
  char* const bytes = static_cast<char*>(memory);
  EXPECT_EQ(std::memcmp(bytes, content.data(), content.size()), 0);
  const std::string piece = random_bytes(10'000, 2);
  for (const std::size_t offset : {0, 4095, 500'000, 990'000}) {
    std::memcpy(bytes + offset, piece.data(), piece.size());
    content.replace(offset, piece.size(), piece);
  }
  EXPECT_EQ(error_of(::msync(memory, content.size(), MS_SYNC)), 0);
  EXPECT_TRUE(on_server("file") == content);
  std::memcpy(bytes + 700'000, piece.data(), piece.size());
  content.replace(700'000, piece.size(), piece);
  EXPECT_EQ(error_of(::munmap(memory, content.size())), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_TRUE(on_server("file") == content);
}

TEST_P(SshWriteTo, SixtyFourMebibytesArrive) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(64 << 20);
  EXPECT_EQ(put(mount_ / "big", content), 0);
  EXPECT_TRUE(on_server("big") == content);
  EXPECT_TRUE(read_file(mount_ / "big") == content);
}

TEST_F(SshWrite, WritesBeyondFourGibibytesLandThere) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  const std::uint64_t far = (std::uint64_t{5} << 30) + 77;
  FileDescriptor file = open_file(mount_ / "sparse", O_RDWR | O_CREAT);
  EXPECT_EQ(write_all(file.get(), "far away", far), 0);
  EXPECT_EQ(write_all(file.get(), "begin", 0), 0);
  EXPECT_EQ(read_at(file.get(), far - 2, 100).bytes, std::string("\0\0far away", 10));
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(fs::file_size(root() / "sparse"), far + 8);
  EXPECT_EQ(read_at(root() / "sparse", far - 2, 100).bytes, std::string("\0\0far away", 10));
  EXPECT_EQ(read_at(root() / "sparse", 0, 6).bytes, std::string("begin\0", 6));
}

TEST_F(SshWrite, ManyWritersOfOneFileLeaveEachTheirOwn) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  constexpr std::size_t kPiece = 10'000;
  constexpr std::size_t kPieces = 400;
  std::string content(kPiece * kPieces, '\0');
  std::vector<std::future<int>> writers;
  for (std::size_t writer = 0; writer < 4; ++writer) {
    writers.push_back(std::async(std::launch::async, [&, writer] {
      const FileDescriptor file = open_file(mount_ / "file", O_WRONLY | O_CREAT);
      int error = 0;
      for (std::size_t piece = writer; piece < kPieces && error == 0; piece += 4) {
        error = write_all(file.get(), random_bytes(kPiece, piece), piece * kPiece);
      }
      return error;
    }));
  }
  for (auto& writer : writers) EXPECT_EQ(writer.get(), 0);
  for (std::size_t piece = 0; piece < kPieces; ++piece) {
    content.replace(piece * kPiece, kPiece, random_bytes(kPiece, piece));
  }
  EXPECT_TRUE(on_server("file") == content);
  EXPECT_TRUE(read_file(mount_ / "file") == content);
}

TEST_F(SshWrite, FilesThatAreMadeReadOnlyAreWrittenAllTheSame) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  FileDescriptor file = open_file(mount_ / "born so", O_RDWR | O_CREAT | O_EXCL, 0444);
  ASSERT_TRUE(file) << std::strerror(errno);
  EXPECT_EQ(write_all(file.get(), random_bytes(200'000)), 0);
  EXPECT_EQ(error_of(::fsync(file.get())), 0);
  EXPECT_EQ(write_all(file.get(), "more"), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(on_server("born so"), random_bytes(200'000) + "more");
  EXPECT_EQ(mode_of(root() / "born so"), 0444u);

  file = open_file(mount_ / "made so", O_RDWR | O_CREAT);
  EXPECT_EQ(write_all(file.get(), "some"), 0);
  EXPECT_EQ(error_of(::fchmod(file.get(), 0400)), 0);
  EXPECT_EQ(write_all(file.get(), " more"), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(on_server("made so"), "some more");
  EXPECT_EQ(mode_of(root() / "made so"), 0400u);
}

// --- Names ---------------------------------------------------------------------------------------

TEST_P(SshWriteTo, RenamingReplacesFilesAndMovesDirectories) {
  ASSERT_THAT(
      mount_with(
          {{"a", "a"}, {"b", "b"}, {"dir/file", "inner"}, {"empty/", ""}, {"full/file", "x"}}),
      Succeeded())
      << server_->log();
  const auto rename = [this](const std::string& from, const std::string& to) {
    return error_of(::rename((mount_ / from).c_str(), (mount_ / to).c_str()));
  };
  EXPECT_EQ(rename("a", "new name"), 0);
  EXPECT_EQ(on_server("new name"), "a");
  EXPECT_EQ(rename("new name", "b"), 0) << "over an existing file";
  EXPECT_EQ(on_server("b"), "a");
  EXPECT_EQ(rename("b", "dir/moved"), 0) << "into another directory";
  EXPECT_EQ(rename("dir", "full/sub"), 0) << "a directory, into another one";
  EXPECT_EQ(read_file(mount_ / "full/sub/file"), "inner");
  EXPECT_EQ(rename("full", "empty"), 0) << "over an empty directory";
  EXPECT_EQ(
      differences(read_tree(root()),
                  {{"empty/file", "x"}, {"empty/sub/file", "inner"}, {"empty/sub/moved", "a"}}),
      "");
  EXPECT_EQ(differences(read_tree(mount_), read_tree(root())), "");
  EXPECT_EQ(rename("missing", "other"), ENOENT);
  EXPECT_EQ(rename("empty/file", "empty/sub"), EISDIR);
  EXPECT_EQ(rename("empty/sub", "empty/file"), ENOTDIR);
  write_tree(mount_, {{"one/file", "x"}, {"two/file", "y"}});
  EXPECT_THAT(rename("one", "two"), ::testing::AnyOf(ENOTEMPTY, EEXIST));
  EXPECT_EQ(on_server("two/file"), "y");
}

TEST_P(SshWriteTo, RenamingWithoutReplacingReplacesNothing) {
  ASSERT_THAT(mount_with({{"a", "a"}, {"b", "b"}}), Succeeded()) << server_->log();
  EXPECT_EQ(rename_flags(mount_ / "a", mount_ / "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename_flags(mount_ / "a", mount_ / "c", RENAME_NOREPLACE), 0);
  EXPECT_EQ(differences(read_tree(root()), {{"c", "a"}, {"b", "b"}}), "");
  // Made by somebody else after we have seen it missing.
  EXPECT_FALSE(fs::exists(mount_ / "d"));
  serve({{"d", "theirs"}});
  EXPECT_EQ(rename_flags(mount_ / "c", mount_ / "d", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(on_server("d"), "theirs");
  EXPECT_EQ(rename_flags(mount_ / "b", mount_ / "c", RENAME_EXCHANGE), EINVAL);
}

TEST_P(SshWriteTo, SavingByRenamingNeverLosesTheBytes) {
  ASSERT_THAT(mount_with({{"document", "old"}}), Succeeded()) << server_->log();
  for (int i = 0; i < 20; ++i) {
    const std::string content = random_bytes(100'000, static_cast<std::uint64_t>(i));
    FileDescriptor file = open_file(mount_ / "document.new", O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_EQ(write_all(file.get(), content), 0);
    // Still open, nothing synchronized.
    ASSERT_EQ(error_of(::rename((mount_ / "document.new").c_str(), (mount_ / "document").c_str())),
              0);
    ASSERT_EQ(write_all(file.get(), "end"), 0);
    ASSERT_EQ(close_of(file), 0);
    ASSERT_TRUE(on_server("document") == content + "end") << i;
    ASSERT_TRUE(read_file(mount_ / "document") == content + "end") << i;
  }
  EXPECT_THAT(names_in(root()), ElementsAre("document"));
}

TEST_P(SshWriteTo, OpenFilesFollowTheirDirectory) {
  ASSERT_THAT(mount_with({{"before/file", "1"}}), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "before/file", O_RDWR | O_APPEND);
  EXPECT_EQ(write_all(file.get(), "2"), 0);
  EXPECT_EQ(error_of(::rename((mount_ / "before").c_str(), (mount_ / "after").c_str())), 0);
  EXPECT_EQ(write_all(file.get(), "3"), 0);
  EXPECT_EQ(read_at(file.get(), 0, 10).bytes, "123");
  EXPECT_EQ(error_of(::fsync(file.get())), 0);
  EXPECT_EQ(on_server("after/file"), "123");
  EXPECT_EQ(close_of(file), 0);
  EXPECT_FALSE(fs::exists(root() / "before"));
}

TEST_P(SshWriteTo, RemovedFilesAreGone) {
  ASSERT_THAT(mount_with({{"a", "a"}, {"dir/b", "b"}, {"empty/", ""}}), Succeeded())
      << server_->log();
  EXPECT_EQ(error_of(::unlink((mount_ / "a").c_str())), 0);
  EXPECT_EQ(error_of(::unlink((mount_ / "a").c_str())), ENOENT);
  EXPECT_EQ(error_of(::unlink((mount_ / "dir").c_str())), EISDIR);
  EXPECT_EQ(error_of(::rmdir((mount_ / "dir/b").c_str())), ENOTDIR);
  EXPECT_EQ(error_of(::rmdir((mount_ / "dir").c_str())), ENOTEMPTY);
  EXPECT_EQ(error_of(::rmdir((mount_ / "empty").c_str())), 0);
  EXPECT_EQ(error_of(::rmdir((mount_ / "empty").c_str())), ENOENT);
  EXPECT_EQ(differences(read_tree(root()), {{"dir/b", "b"}}), "");
  EXPECT_EQ(error_of(::unlink((mount_ / "dir/b").c_str())), 0);
  EXPECT_EQ(error_of(::rmdir((mount_ / "dir").c_str())), 0);
  EXPECT_THAT(names_in(root()), IsEmpty());
  EXPECT_THAT(names_in(mount_), IsEmpty());
}

TEST_P(SshWriteTo, ARemovedFileLivesOnForThoseWhoHaveItOpen) {
  const std::string content = random_bytes(2'000'000);
  ASSERT_THAT(mount_with({{"file", content}}), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  ASSERT_EQ(write_all(file.get(), "begin", 0), 0);
  ASSERT_EQ(error_of(::unlink((mount_ / "file").c_str())), 0);
  EXPECT_FALSE(fs::exists(mount_ / "file"));
  EXPECT_THAT(names_in(mount_), IsEmpty());
  EXPECT_TRUE(read_at(file.get(), 0, 3'000'000).bytes == "begin" + content.substr(5));
  EXPECT_EQ(write_all(file.get(), "end", 2'000'000), 0);
  EXPECT_EQ(size_of(file.get()), 2'000'003);
  EXPECT_EQ(error_of(::ftruncate(file.get(), 2'000'002)), 0);
  EXPECT_EQ(read_at(file.get(), 1'999'999, 10).bytes, content.substr(1'999'999) + "en");
  EXPECT_EQ(error_of(::fsync(file.get())), 0);
  // A new one of the same name is another file.
  EXPECT_EQ(put(mount_ / "file", "new"), 0);
  EXPECT_EQ(read_at(file.get(), 0, 5).bytes, "begin");
  EXPECT_EQ(close_of(file), 0);
  EXPECT_TRUE(eventually([&] { return names_in(root()).size() == 1; })) << "something is left";
  EXPECT_EQ(on_server("file"), "new");
  EXPECT_EQ(read_file(mount_ / "file"), "new");
}

TEST_P(SshWriteTo, ANewFileCanBeRemovedWhileItIsWritten) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "scratch", O_RDWR | O_CREAT | O_EXCL, 0600);
  ASSERT_EQ(error_of(::unlink((mount_ / "scratch").c_str())), 0);
  const std::string content = random_bytes(3'000'000);
  EXPECT_EQ(write_all(file.get(), content), 0);
  EXPECT_TRUE(read_at(file.get(), 0, 4'000'000).bytes == content);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_TRUE(eventually([&] { return names_in(root()).empty(); })) << "something is left";
  EXPECT_THAT(umount(), Succeeded());
}

TEST_P(SshWriteTo, AReplacedFileLivesOnForThoseWhoHaveItOpen) {
  ASSERT_THAT(mount_with({{"file", "old content"}, {"new", "new content"}}), Succeeded())
      << server_->log();
  FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  EXPECT_EQ(read_at(file.get(), 0, 100).bytes, "old content");
  ASSERT_EQ(error_of(::rename((mount_ / "new").c_str(), (mount_ / "file").c_str())), 0);
  EXPECT_EQ(read_file(mount_ / "file"), "new content");
  EXPECT_EQ(write_all(file.get(), "OLD", 0), 0);
  EXPECT_EQ(read_at(file.get(), 0, 100).bytes, "OLD content");
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(on_server("file"), "new content");
  EXPECT_TRUE(eventually([&] { return names_in(root()).size() == 1; })) << "something is left";
}

TEST_P(SshWriteTo, ARemovedFileKeepsItsAttributesForThoseWhoHaveItOpen) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  set_mode(mount_ / "file", 0640);
  set_time(mount_ / "file", kLongAgo);
  const FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  ASSERT_EQ(error_of(::unlink((mount_ / "file").c_str())), 0);
  struct stat status {};
  const auto look = [&] { ASSERT_EQ(error_of(::fstat(file.get(), &status)), 0); };
  look();
  EXPECT_EQ(status.st_mode & 07777u, 0640u);
  EXPECT_EQ(status.st_mtime, kLongAgo);
  EXPECT_EQ(status.st_size, 7);
  EXPECT_EQ(error_of(::fchmod(file.get(), 0600)), 0);
  EXPECT_EQ(write_all(file.get(), "more", 7), 0);
  look();
  EXPECT_EQ(status.st_mode & 07777u, 0600u);
  EXPECT_EQ(status.st_size, 11);
}

TEST_P(SshWriteTo, ReadersOfAFileThatIsRemovedRenamedOrReplacedReadOn) {
  const std::string content = random_bytes(3'000'000);
  ASSERT_THAT(mount_with({{"removed", content},
                          {"renamed", content},
                          {"replaced", content},
                          {"turned", content},
                          {"new", "another file"}}),
              Succeeded())
      << server_->log();
  std::vector<std::pair<std::string, FileDescriptor>> readers;
  for (const char* name : {"removed", "renamed", "replaced", "turned"}) {
    readers.emplace_back(name, open_file(mount_ / name, O_RDONLY));
    ASSERT_TRUE(readers.back().second);
  }
  EXPECT_EQ(error_of(::unlink((mount_ / "removed").c_str())), 0);
  EXPECT_EQ(error_of(::rename((mount_ / "renamed").c_str(), (mount_ / "name").c_str())), 0);
  EXPECT_EQ(error_of(::rename((mount_ / "new").c_str(), (mount_ / "replaced").c_str())), 0);
  EXPECT_EQ(error_of(::unlink((mount_ / "turned").c_str())), 0);
  EXPECT_EQ(error_of(::mkdir((mount_ / "turned").c_str(), 0755)), 0);
  for (const auto& [name, reader] : readers) {
    const ReadResult result = read_at(reader.get(), 0, 4'000'000);
    EXPECT_EQ(result.error_number, 0) << name << ": " << std::strerror(result.error_number);
    EXPECT_TRUE(result.bytes == content) << name;
  }
}

TEST_P(SshWriteTo, WhatWasListedWhileAFileWasWrittenIsForgottenThen) {
  ASSERT_THAT(mount_with({{"dir/other", "x"}}), Succeeded()) << server_->log();
  for (int i = 0; i < 60; ++i) {
    const fs::path name = mount_ / "dir" / ("file " + std::to_string(i));
    const std::string content = random_bytes(260'000 + static_cast<std::size_t>(i));
    const fs::path sibling = mount_ / "dir" / std::to_string(i);
    ASSERT_EQ(put(sibling, "x"), 0);
    FileDescriptor file = open_file(name, O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_EQ(write_all(file.get(), content), 0);
    // One of what may have a directory listed anew.
    if (i % 3 == 0) names_in(mount_ / "dir");
    if (i % 3 == 1) {
      ASSERT_EQ(error_of(::unlink(sibling.c_str())), 0);
    }
    if (i % 3 == 2) {
      EXPECT_FALSE(fs::exists(mount_ / "dir" / ("no " + std::to_string(i))));
    }
    const std::string rest = random_bytes(5'000);
    ASSERT_EQ(write_all(file.get(), rest), 0);
    ASSERT_EQ(close_of(file), 0);
    const auto expect_all = [&](const char* when) {
      ASSERT_EQ(status_of(name).st_size, static_cast<off_t>(content.size() + 5'000)) << i << when;
      ASSERT_TRUE(read_file(name) == content + rest) << i << when;
    };
    expect_all(" after closing");
    EXPECT_EQ(put(name, "", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
    expect_all(" after an attempt to create it");
    EXPECT_EQ(rename_flags(mount_ / "dir/other", name, RENAME_NOREPLACE), EEXIST);
    EXPECT_EQ(error_of(::mkdir(name.c_str(), 0755)), EEXIST);
    expect_all(" after an attempt to replace it");
    if (HasFailure()) return;
  }
}

TEST_P(SshWriteTo, DirectoriesAreMade) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  EXPECT_EQ(error_of(::mkdir((mount_ / "new").c_str(), 0750)), 0);
  EXPECT_EQ(error_of(::mkdir((mount_ / "new").c_str(), 0750)), EEXIST);
  EXPECT_EQ(error_of(::mkdir((mount_ / "missing/new").c_str(), 0750)), ENOENT);
  EXPECT_EQ(put(mount_ / "file", "x"), 0);
  EXPECT_EQ(error_of(::mkdir((mount_ / "file").c_str(), 0750)), EEXIST);
  EXPECT_EQ(error_of(::mkdir((mount_ / "file/new").c_str(), 0750)), ENOTDIR);
  EXPECT_EQ(mode_of(root() / "new"), 0750u);
  EXPECT_EQ(mode_of(mount_ / "new"), 0750u);
  EXPECT_TRUE(fs::create_directories(mount_ / "new/deep/er/and/deep/er"));
  EXPECT_TRUE(fs::is_directory(root() / "new/deep/er/and/deep/er"));
  // As missing as it was known to be.
  EXPECT_EQ(error_of(::mkdir((mount_ / "new/again").c_str(), 0700)), 0);
  EXPECT_THAT(names_in(mount_ / "new"), ElementsAre("again", "deep"));
}

// --- Attributes ----------------------------------------------------------------------------------

TEST_P(SshWriteTo, ModesAndTimesAreSet) {
  ASSERT_THAT(mount_with({{"file", "content"}, {"dir/file", "x"}}), Succeeded()) << server_->log();
  for (const char* name : {"file", "dir"}) {
    for (const mode_t mode : {0700, 0755, 0750, 0777}) {
      EXPECT_EQ(error_of(::chmod((mount_ / name).c_str(), mode)), 0) << name;
      EXPECT_EQ(mode_of(root() / name), mode) << name;
      EXPECT_EQ(mode_of(mount_ / name), mode) << name;
    }
    set_time(mount_ / name, kLongAgo);
    EXPECT_EQ(time_of(root() / name), kLongAgo) << name;
    EXPECT_EQ(time_of(mount_ / name), kLongAgo) << name;
  }
  EXPECT_EQ(error_of(::chmod((mount_ / "file").c_str(), 0444)), 0);
  EXPECT_EQ(mode_of(root() / "file"), 0444u);
  // One of the two times, and the present.
  const timespec only_modified[] = {{0, UTIME_OMIT}, {kLongAgo + 5, 0}};
  EXPECT_EQ(error_of(::utimensat(AT_FDCWD, (mount_ / "file").c_str(), only_modified, 0)), 0);
  EXPECT_EQ(status_of(root() / "file").st_atime, kLongAgo);
  EXPECT_EQ(time_of(root() / "file"), kLongAgo + 5);
  const timespec only_accessed[] = {{kLongAgo - 5, 0}, {0, UTIME_OMIT}};
  EXPECT_EQ(error_of(::utimensat(AT_FDCWD, (mount_ / "file").c_str(), only_accessed, 0)), 0);
  EXPECT_EQ(status_of(root() / "file").st_atime, kLongAgo - 5);
  EXPECT_EQ(time_of(root() / "file"), kLongAgo + 5);
  EXPECT_EQ(error_of(::utimensat(AT_FDCWD, (mount_ / "file").c_str(), nullptr, 0)), 0);
  EXPECT_NEAR(static_cast<double>(time_of(root() / "file")), static_cast<double>(::time(nullptr)),
              60);
}

TEST_P(SshWriteTo, TheTimeOfAWrittenFileStaysAsItIsSet) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  FileDescriptor file = open_file(mount_ / "file", O_WRONLY | O_CREAT);
  ASSERT_EQ(write_all(file.get(), random_bytes(500'000)), 0);
  const timespec times[] = {{kLongAgo, 0}, {kLongAgo, 0}};
  EXPECT_EQ(error_of(::futimens(file.get(), times)), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(time_of(root() / "file"), kLongAgo) << "what was written before came later";
  EXPECT_EQ(time_of(mount_ / "file"), kLongAgo);
}

TEST_P(SshWriteTo, WhatWasMadeElsewhereCanBeOpenedAtOnce) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  EXPECT_THAT(names_in(mount_), ::testing::ElementsAre("file"));
  EXPECT_EQ(error_of(::access((mount_ / "new").c_str(), F_OK)), ENOENT);
  write_file(root() / "new", "from elsewhere");
  server_->own_root();
  EXPECT_EQ(read_file(mount_ / "new"), "from elsewhere");
}

TEST_P(SshWriteTo, ADirectoryInWhichNamesAreMadeShowsThatAtOnce) {
  ASSERT_THAT(mount_with({{"dir/file", "content"}}), Succeeded()) << server_->log();
  set_time(mount_ / "dir", kLongAgo);
  EXPECT_EQ(time_of(mount_ / "dir"), kLongAgo);
  EXPECT_EQ(put(mount_ / "dir/new", "x"), 0);
  EXPECT_GT(time_of(mount_ / "dir"), kLongAgo);
  set_time(mount_ / "dir", kLongAgo);
  EXPECT_EQ(error_of(::unlink((mount_ / "dir/new").c_str())), 0);
  EXPECT_GT(time_of(mount_ / "dir"), kLongAgo);
}

TEST_P(SshWriteTo, WhatIsAddedByTruncatingReadsAsZeros) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  const FileDescriptor file = open_file(mount_ / "file", O_RDWR);
  ASSERT_EQ(error_of(::ftruncate(file.get(), 100'000)), 0);
  const ReadResult added = read_at(file.get(), 50'000, 1000);
  EXPECT_TRUE(added.bytes == std::string(1000, '\0'));
}

TEST_F(SshWrite, CopiesAreMadeOnTheServer) {
  const std::string content = random_bytes(20'000'000);
  serve({{"file", content}});
  Relay relay(server_.port());
  ASSERT_THAT(mount(through(relay)), Succeeded()) << server_.log();
  const FileDescriptor source = open_file(mount_ / "file", O_RDONLY);
  const FileDescriptor target = open_file(mount_ / "copy", O_RDWR | O_CREAT);
  EXPECT_EQ(write_all(target.get(), "head"), 0);
  off_t from = 0;
  off_t to = 4;
  ssize_t copied = 0;
  do {
    copied = ::copy_file_range(source.get(), &from, target.get(), &to, content.size(), 0);
  } while (copied > 0);
  EXPECT_EQ(copied, 0) << std::strerror(errno);
  EXPECT_EQ(size_of(target.get()), static_cast<off_t>(content.size() + 4));
  EXPECT_LT(relay.bytes_to_client() + relay.bytes_to_server(), 1'000'000u);
  EXPECT_TRUE(on_server("copy") == "head" + content);
  EXPECT_TRUE(read_file(mount_ / "copy") == "head" + content);
}

TEST_P(SshWriteTo, CopiesAreMadeBesideWritesAndOfWhatWasJustWritten) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(300'000);
  const FileDescriptor source = open_file(mount_ / "file", O_RDWR | O_CREAT);
  EXPECT_EQ(write_all(source.get(), content), 0);
  const FileDescriptor target = open_file(mount_ / "copy", O_RDWR | O_CREAT);
  EXPECT_EQ(write_all(target.get(), "to be replaced"), 0);
  off_t from = 100'000;
  off_t to = 0;
  while (::copy_file_range(source.get(), &from, target.get(), &to, 300'000, 0) > 0) {
  }
  EXPECT_EQ(write_all(target.get(), "end", 200'000), 0);
  EXPECT_TRUE(read_file(mount_ / "copy") == content.substr(100'000) + "end");
}

TEST_F(SshWrite, ALongNameIsToldToBeOne) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  const std::string name = mount_ / std::string(256, 'x');
  EXPECT_EQ(error_of(::mkdir(name.c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(error_of(::access(name.c_str(), F_OK)), ENAMETOOLONG);
}

TEST_P(SshWriteTo, TheTimesOfALinkAreNotThoseOfWhatItLeadsTo) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  set_time(mount_ / "file", kLongAgo);
  ASSERT_EQ(error_of(::symlink("file", (mount_ / "link").c_str())), 0);
  const timespec times[] = {{kLongAgo + 5, 0}, {kLongAgo + 5, 0}};
  // Whether a link has times of its own is the server's business.
  ::utimensat(AT_FDCWD, (mount_ / "link").c_str(), times, AT_SYMLINK_NOFOLLOW);
  EXPECT_EQ(time_of(root() / "file"), kLongAgo);
  EXPECT_EQ(time_of(mount_ / "file"), kLongAgo);
}

TEST_P(SshWriteTo, FilesHaveTheModeThatTheirMakerChose) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  for (const mode_t mode : {0600, 0640, 0644, 0755, 0444}) {
    const std::string name = std::to_string(mode);
    EXPECT_EQ(put(mount_ / name, "x", O_WRONLY | O_CREAT, mode), 0);
    EXPECT_EQ(mode_of(root() / name), mode);
    EXPECT_EQ(mode_of(mount_ / name), mode);
    EXPECT_EQ(status_of(mount_ / name).st_uid, ::getuid());
  }
}

TEST_P(SshWriteTo, GivingFilesToTheirOwnerIsNoError) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  const std::string file = mount_ / "file";
  EXPECT_EQ(error_of(::chown(file.c_str(), ::getuid(), ::getgid())), 0);
  EXPECT_EQ(error_of(::chown(file.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(-1))), 0);
  EXPECT_EQ(status_of(root() / "file").st_uid, server_->owner());
}

TEST_P(SshWriteTo, SymbolicLinksAreMade) {
  ASSERT_THAT(mount_with({{"file", "content"}, {"dir/inner", "inner"}}), Succeeded())
      << server_->log();
  const auto make = [this](const char* target, const char* name) {
    return error_of(::symlink(target, (mount_ / name).c_str()));
  };
  EXPECT_EQ(make("file", "to file"), 0);
  EXPECT_EQ(make("dir", "to directory"), 0);
  EXPECT_EQ(make("nowhere", "dangling"), 0);
  EXPECT_EQ(make("../file", "dir/up"), 0);
  EXPECT_EQ(make("new\nline \xFF", "hard"), 0);
  EXPECT_EQ(make("file", "file"), EEXIST);
  const std::pair<const char*, const char*> expected[] = {{"to file", "file"},
                                                          {"to directory", "dir"},
                                                          {"dangling", "nowhere"},
                                                          {"dir/up", "../file"},
                                                          {"hard", "new\nline \xFF"}};
  for (const auto& [name, target] : expected) {
    EXPECT_EQ(fs::read_symlink(mount_ / name), target) << name;
    EXPECT_EQ(fs::read_symlink(root() / name), target) << name;
    EXPECT_EQ(status_of(mount_ / name).st_size, static_cast<off_t>(std::strlen(target))) << name;
  }
  EXPECT_EQ(read_file(mount_ / "to directory/up"), "content");
  EXPECT_EQ(put(mount_ / "to file", "by the link"), 0);
  EXPECT_EQ(put(mount_ / "dangling", "made by the link", O_WRONLY | O_CREAT), 0);
  EXPECT_EQ(on_server("file"), "by the link");
  EXPECT_EQ(on_server("nowhere"), "made by the link");
  EXPECT_EQ(error_of(::unlink((mount_ / "to file").c_str())), 0);
  EXPECT_EQ(error_of(::rename((mount_ / "dangling").c_str(), (mount_ / "moved").c_str())), 0);
  EXPECT_EQ(fs::read_symlink(root() / "moved"), "nowhere");
  EXPECT_EQ(on_server("file"), "by the link");
}

TEST_P(SshWriteTo, ALinkThatIsMadeToLeadOutNeverLeadsToLocalFiles) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  write_tree(directory_.path(), {{"secret", "LOCAL FILE"}});
  for (const std::string& target : {std::string("../secret"), (directory_ / "secret").string()}) {
    const int made = error_of(::symlink(target.c_str(), (mount_ / "link").c_str()));
    if (made != 0) continue;  // a clear refusal will do
    const bool servers_own = target[0] == '/' && GetParam().name != "OpenSshChroot";
    if (!servers_own) {
      EXPECT_TRUE(eventually([&] { return read_at(mount_ / "link", 0, 100).bytes != "LOCAL FILE"; },
                             kUntilSeen));
    }
    EXPECT_EQ(error_of(::unlink((mount_ / "link").c_str())), 0);
  }
}

TEST_F(SshWrite, HardLinksAreMade) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_.log();
  EXPECT_EQ(error_of(::link((mount_ / "file").c_str(), (mount_ / "second").c_str())), 0);
  // Programs make sure that the link is one.
  EXPECT_EQ(status_of(mount_ / "file").st_ino, status_of(mount_ / "second").st_ino);
  EXPECT_EQ(read_file(mount_ / "second"), "content");
  EXPECT_EQ(status_of(root() / "file").st_ino, status_of(root() / "second").st_ino);
  EXPECT_EQ(error_of(::link((mount_ / "file").c_str(), (mount_ / "second").c_str())), EEXIST);
  EXPECT_EQ(error_of(::unlink((mount_ / "file").c_str())), 0);
  EXPECT_EQ(read_file(mount_ / "second"), "content");
  // What was written and not yet sent belongs to it.
  FileDescriptor file = open_file(mount_ / "fresh", O_WRONLY | O_CREAT);
  EXPECT_EQ(write_all(file.get(), "fresh"), 0);
  EXPECT_EQ(error_of(::link((mount_ / "fresh").c_str(), (mount_ / "third").c_str())), 0);
  EXPECT_EQ(close_of(file), 0);
  EXPECT_EQ(on_server("third"), "fresh");
}

TEST_P(SshWriteTo, HardLinksAreMadeOrRefused) {
  ASSERT_THAT(mount_with({{"file", "content"}}), Succeeded()) << server_->log();
  const int error = error_of(::link((mount_ / "file").c_str(), (mount_ / "second").c_str()));
  EXPECT_THAT(error, ::testing::AnyOf(0, ENOTSUP, EPERM, ENOSYS));
  EXPECT_EQ(fs::exists(root() / "second"), error == 0);
}

TEST_F(SshWrite, FileSystemFiguresAreTheServers) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  struct statvfs shown {};
  struct statvfs real {};
  ASSERT_EQ(error_of(::statvfs(mount_.c_str(), &shown)), 0);
  ASSERT_EQ(error_of(::statvfs(root().c_str(), &real)), 0);
  EXPECT_EQ(shown.f_blocks * shown.f_frsize, real.f_blocks * real.f_frsize);
  const auto free_bytes = static_cast<double>(real.f_bavail * real.f_frsize);
  EXPECT_NEAR(static_cast<double>(shown.f_bavail * shown.f_frsize), free_bytes, 4e9);
  EXPECT_EQ(shown.f_namemax, 255u);
  EXPECT_FALSE(shown.f_flag & ST_RDONLY);
}

TEST_P(SshWriteTo, FileSystemFiguresLeaveRoomToWrite) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  struct statvfs shown {};
  ASSERT_EQ(error_of(::statvfs(mount_.c_str(), &shown)), 0);
  EXPECT_FALSE(shown.f_flag & ST_RDONLY);
}

// --- Programs ------------------------------------------------------------------------------------

FileTree small_files() {
  FileTree tree;
  for (int i = 0; i < 1000; ++i) {
    tree["dir-" + std::to_string(i % 20) + "/sub/file-" + std::to_string(i)] =
        random_bytes(static_cast<std::size_t>(i * 7), static_cast<std::uint64_t>(i));
  }
  tree["empty/"] = "";
  return tree;
}

TEST_P(SshWriteTo, AnArchiveOfManySmallFilesIsUnpacked) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const FileTree tree = small_files();
  write_tree(directory_ / "local", tree);
  set_time(directory_ / "local/dir-3/sub/file-3", kLongAgo);
  set_mode(directory_ / "local/dir-4/sub/file-4", 0750);
  set_time(directory_ / "local/dir-5/sub", kLongAgo);
  fs::create_symlink("dir-3/sub/file-3", directory_ / "local/link");
  const std::string archive = directory_ / "archive.tar";
  ASSERT_EQ(
      run({.arguments = {"/bin/tar", "-cf", archive, "-C", directory_ / "local", "."}}).exit_code,
      0);
  const Outcome unpacked = run({.arguments = {"/bin/tar", "-xf", archive, "-C", mount_}});
  EXPECT_THAT(unpacked, Succeeded()) << unpacked.errors;
  FileTree expected = tree;
  expected["link"] = tree.at("dir-3/sub/file-3");
  EXPECT_EQ(differences(read_tree(root()), expected), "");
  EXPECT_EQ(differences(read_tree(mount_), expected), "");
  EXPECT_EQ(time_of(root() / "dir-3/sub/file-3"), kLongAgo);
  EXPECT_EQ(time_of(root() / "dir-5/sub"), kLongAgo);
  EXPECT_EQ(mode_of(root() / "dir-4/sub/file-4"), 0750u);
  EXPECT_EQ(fs::read_symlink(root() / "link"), "dir-3/sub/file-3");
}

TEST_P(SshWriteTo, TreesAreCopiedMovedAndRemoved) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const FileTree tree = small_files();
  write_tree(directory_ / "local", tree);
  const auto expect_to_work = [](std::vector<std::string> arguments) {
    const Outcome outcome = run({.arguments = std::move(arguments)});
    EXPECT_THAT(outcome, Succeeded()) << outcome.errors;
    EXPECT_EQ(outcome.errors, "");
  };
  expect_to_work({"/bin/cp", "-r", directory_ / "local", mount_ / "copy"});
  EXPECT_EQ(differences(read_tree(root() / "copy"), tree), "");
  expect_to_work({"/bin/cp", "-a", mount_ / "copy", mount_ / "second"});
  expect_to_work({"/bin/mv", mount_ / "second", mount_ / "copy/inside"});
  EXPECT_EQ(differences(read_tree(root() / "copy/inside"), tree), "");
  expect_to_work({"/bin/rm", "-r", mount_ / "copy"});
  EXPECT_THAT(names_in(root()), IsEmpty());
  expect_to_work({"/bin/mv", directory_ / "local", mount_ / "moved"});
  EXPECT_EQ(differences(read_tree(root() / "moved"), tree), "");
  EXPECT_FALSE(fs::exists(directory_ / "local"));
}

TEST_P(SshWriteTo, ShellsRedirectInAndOut) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const Outcome outcome =
      run({.arguments = {"/bin/sh", "-ec",
                         "cd \"$0\"\n"
                         "echo one > file\n"
                         "echo two >> file\n"
                         "(echo three; cat file) > both\n"
                         "sed -i s/two/TWO/ both\n"
                         "dd if=both of=part bs=1 skip=6 conv=fsync status=none\n"
                         "sort both -o both\n"
                         "ln -s both link; cat link; mkdir -p a/b; touch a/b/c\n"
                         "mv file a/b/; find a | sort; test ! -e file",
                         mount_}});
  EXPECT_THAT(outcome, Succeeded()) << outcome.errors;
  EXPECT_EQ(outcome.output, "TWO\none\nthree\na\na/b\na/b/c\na/b/file\n");
  EXPECT_EQ(on_server("part"), "one\nTWO\n");
}

// --- The mounted directory -----------------------------------------------------------------------

TEST_P(SshWriteTo, UmountDirLeavesNothingButTheFiles) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  EXPECT_EQ(put(mount_ / "file", "content"), 0);
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.output + outcome.errors, "");
  EXPECT_THAT(connector_.processes(), IsEmpty());
  EXPECT_FALSE(fs::exists(mount_));
  EXPECT_EQ(differences(read_tree(root()), {{"file", "content"}}), "");
}

TEST_P(SshWriteTo, ADirectoryThatDoesNotExistIsMade) {
  for (const char* directory : {"new", "very/new and/deep"}) {
    ASSERT_THAT(mount_writable(*server_, directory), Succeeded()) << server_->log();
    EXPECT_THAT(names_in(mount_), IsEmpty());
    EXPECT_EQ(put(mount_ / "file", "content"), 0);
    ASSERT_THAT(umount(), Succeeded());
    EXPECT_EQ(on_server(std::string(directory) + "/file"), "content");
  }
  serve({{"file", "x"}});
  EXPECT_THAT(mount_writable(*server_, "file"), Failed());
  EXPECT_EQ(on_server("file"), "x");
}

TEST_P(SshWriteTo, AMountThatIsWritableReadsLikeAnyOther) {
  FileTree tree = nasty_tree(hard_names());
  tree["big"] = random_bytes(10'000'000);
  ASSERT_THAT(mount_with(tree), Succeeded()) << server_->log();
  EXPECT_TRUE(eventually([&] { return differences(read_tree(mount_), tree).empty(); }, kUntilSeen))
      << differences(read_tree(mount_), tree);
}

// --- Two clients ---------------------------------------------------------------------------------

TEST_P(SshWriteTo, ChangesMadeElsewhereShowWithinASecondOrSoAndAtOpenAtOnce) {
  ASSERT_THAT(mount_with({{"file", "first"}, {"gone", "x"}, {"dir/inner", "x"}}), Succeeded())
      << server_->log();
  EXPECT_EQ(read_file(mount_ / "file"), "first");
  EXPECT_EQ(names_in(mount_).size(), 3u);
  EXPECT_FALSE(fs::exists(mount_ / "new"));
  serve({{"file", "second, longer"}});
  EXPECT_EQ(read_file(mount_ / "file"), "second, longer") << "at open";
  serve({{"file", "third"}, {"new", "new"}, {"dir/more", "x"}});
  fs::remove(root() / "gone");
  EXPECT_TRUE(eventually([&] { return status_of(mount_ / "file").st_size == 5; }, kUntilSeen));
  EXPECT_TRUE(eventually([&] { return fs::exists(mount_ / "new"); }, kUntilSeen));
  EXPECT_TRUE(eventually([&] { return !fs::exists(mount_ / "gone"); }, kUntilSeen));
  EXPECT_TRUE(eventually([&] { return names_in(mount_ / "dir").size() == 2; }, kUntilSeen));
  EXPECT_TRUE(eventually([&] { return names_in(mount_) == names_in(root()); }, kUntilSeen));
  EXPECT_EQ(read_file(mount_ / "file"), "third");
  EXPECT_EQ(read_file(mount_ / "new"), "new");
}

TEST_P(SshWriteTo, AFileThatWasWrittenHereAndReplacedElsewhereIsTheNewOne) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  EXPECT_EQ(put(mount_ / "file", "mine, written through the mount"), 0);
  EXPECT_EQ(read_file(mount_ / "file"), "mine, written through the mount");
  serve({{"file.new", "theirs"}});
  fs::rename(root() / "file.new", root() / "file");
  EXPECT_EQ(read_file(mount_ / "file"), "theirs");
}

// --- Failures ------------------------------------------------------------------------------------

TEST_F(SshWrite, WhatTheServerForbidsIsReported) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs another account on the server";
  ASSERT_THAT(mount_with({{"closed/file", "old"}, {"read only", "old"}}), Succeeded())
      << server_.log();
  set_mode(root() / "closed", 0555);
  set_mode(root() / "read only", 0444);
  EXPECT_EQ(put(mount_ / "closed/new", "x"), EACCES);
  EXPECT_EQ(put(mount_ / "read only", "x", O_WRONLY), EACCES);
  EXPECT_EQ(error_of(::unlink((mount_ / "closed/file").c_str())), EACCES);
  EXPECT_EQ(error_of(::mkdir((mount_ / "closed/new").c_str(), 0755)), EACCES);
  EXPECT_EQ(error_of(::rename((mount_ / "closed/file").c_str(), (mount_ / "moved").c_str())),
            EACCES);
  EXPECT_EQ(error_of(::symlink("x", (mount_ / "closed/link").c_str())), EACCES);
  EXPECT_EQ(differences(read_tree(root()), {{"closed/file", "old"}, {"read only", "old"}}), "");
  EXPECT_THAT(umount(), Succeeded()) << "all has been told";
}

/// A server whose directory "small" is a file system of 2 MiB.
class SshWriteToAFullServer : public SshMountFixture {
 protected:
  void SetUp() override {
    SshMountFixture::SetUp();
    if (IsSkipped()) return;
    small_ = server_.root() / "small";
    fs::create_directory(small_);
    const std::string options = "size=2m,mode=0777";
    if (::mount("tmpfs", small_.c_str(), "tmpfs", 0, options.c_str()) != 0) {
      GTEST_SKIP() << "no file system can be mounted here";
    }
    // It sees what was mounted before it started.
    server_.stop();
    server_.start();
    ASSERT_THAT(mount_writable(server_, "small"), Succeeded()) << server_.log();
  }
  void TearDown() override {
    SshMountFixture::TearDown();
    server_.stop();
    if (!small_.empty()) ::umount2(small_.c_str(), MNT_DETACH);
  }

  OpenSshServer server_;
  fs::path small_;
};

TEST_F(SshWriteToAFullServer, AFullDiskIsReportedByWriteFsyncOrClose) {
  EXPECT_EQ(put(mount_ / "fits", random_bytes(500'000)), 0);
  EXPECT_EQ(put(mount_ / "too big", random_bytes(8'000'000)), ENOSPC);
  // Without fsync it is close that tells.
  FileDescriptor file = open_file(mount_ / "again", O_WRONLY | O_CREAT);
  if (file) {
    const int written = write_all(file.get(), random_bytes(4'000'000));
    const int closed = close_of(file);
    EXPECT_TRUE(written != 0 || closed != 0);
  }
  EXPECT_TRUE(read_file(mount_ / "fits") == random_bytes(500'000));
  EXPECT_EQ(error_of(::unlink((mount_ / "too big").c_str())), 0);
  EXPECT_EQ(error_of(::unlink((mount_ / "again").c_str())), 0);
  EXPECT_TRUE(eventually([&] { return put(mount_ / "fits too", random_bytes(500'000)) == 0; }));
  EXPECT_TRUE(read_file(small_ / "fits too") == random_bytes(500'000));
}

TEST_P(SshWriteTo, AWriterDoesNotNoticeThatTheServerIsRestarted) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(32 << 20);
  SharedNumber written;
  Child writer([&] {
    FileDescriptor file = open_file(mount_ / "file", O_RDWR | O_CREAT);
    for (std::size_t done = 0; done < content.size(); done += 1 << 20) {
      const int error = write_all(file.get(), content.substr(done, 1 << 20));
      if (error != 0) return error;
      written.set((done >> 20) + 1);
    }
    if (!(read_at(file.get(), 0, content.size()).bytes == content)) return -1;
    if (const int error = write_all(file.get(), "end"); error != 0) return error;
    if (const int error = error_of(::fsync(file.get())); error != 0) return error;
    return close_of(file);
  });
  for (const std::size_t megabytes : {8, 16}) {
    ASSERT_TRUE(written.reaches(megabytes));
    server_->stop();
    std::this_thread::sleep_for(milliseconds(300));  // so that writes fail meanwhile
    server_->start();
  }
  EXPECT_EQ(writer.wait(seconds(60)), 0);
  EXPECT_TRUE(on_server("file") == content + "end");
  EXPECT_TRUE(read_file(mount_ / "file") == content + "end");
  EXPECT_THAT(umount(), Succeeded());
}

TEST_P(SshWriteTo, AppendersDoNotNoticeThatTheServerIsRestarted) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  SharedNumber written;
  SharedNumber restarts;
  const auto line = [](std::size_t i) { return "line " + std::to_string(i) + "\n"; };
  Child writer([&] {
    FileDescriptor file = open_file(mount_ / "log", O_WRONLY | O_CREAT | O_APPEND);
    for (std::size_t i = 0; i < 60; ++i) {
      if (const int error = write_all(file.get(), line(i)); error != 0) return error;
      written.set(i + 1);
      if (i % 20 == 7) restarts.reaches(i / 20 + 1);
      if (i % 10 != 5) continue;
      if (const int error = error_of(::fsync(file.get())); error != 0) return error;
    }
    return close_of(file);
  });
  for (std::size_t restart = 0; restart < 3; ++restart) {
    ASSERT_TRUE(written.reaches(20 * restart + 8));
    server_->stop();
    server_->start();
    restarts.set(restart + 1);
  }
  EXPECT_EQ(writer.wait(seconds(60)), 0);
  std::string content;
  for (std::size_t i = 0; i < 60; ++i) content += line(i);
  EXPECT_EQ(on_server("log"), content);
}

TEST_P(SshWriteTo, NamesAreMadeAndRemovedExactlyOnceOverRestarts) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  for (int i = 0; i < 3; ++i) {
    const std::string name = std::to_string(i);
    server_->stop();
    server_->start();
    EXPECT_EQ(error_of(::mkdir((mount_ / name).c_str(), 0755)), 0);
    server_->stop();
    server_->start();
    EXPECT_EQ(put(mount_ / name / "file", "x", O_WRONLY | O_CREAT | O_EXCL), 0);
    server_->stop();
    server_->start();
    EXPECT_EQ(
        error_of(::rename((mount_ / name / "file").c_str(), (mount_ / name / "moved").c_str())), 0);
    server_->stop();
    server_->start();
    EXPECT_EQ(error_of(::unlink((mount_ / name / "moved").c_str())), 0);
    EXPECT_EQ(error_of(::rmdir((mount_ / name).c_str())), 0);
  }
  EXPECT_THAT(names_in(root()), IsEmpty());
}

TEST_P(SshWriteTo, KillingTheDaemonLosesNothingThatFsyncConfirmed) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(5'000'000);
  const FileDescriptor file = open_file(mount_ / "file", O_WRONLY | O_CREAT);
  ASSERT_EQ(write_all(file.get(), content), 0);
  ASSERT_EQ(error_of(::fsync(file.get())), 0);
  ASSERT_NE(daemon(), 0);
  ::kill(daemon(), SIGKILL);
  ASSERT_TRUE(daemon_ends());
  EXPECT_TRUE(on_server("file") == content);
  umount();
}

/// Writes `source` to a file of the mount and keeps it open.
class Writer {
 public:
  Writer(const fs::path& source, const fs::path& file, const fs::path& log)
      : log_(log),
        process_({.arguments = {"/bin/sh", "-ec",
                                "exec 3> \"$1\"; cat \"$0\" >&3; echo written; exec sleep 1000",
                                source, file}},
                 log) {}
  bool has_written() const {
    return eventually([this] { return read_file(log_) == "written\n"; }, seconds(20));
  }
  void kill() {
    process_.signal(SIGKILL);
    EXPECT_TRUE(process_.wait(seconds(5)));
  }

 private:
  fs::path log_;
  Process process_;
};

TEST_P(SshWriteTo, UmountDirBringsHomeWhatAKilledWriterHasWritten) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_->log();
  const std::string content = random_bytes(8'000'000);
  write_file(directory_ / "source", content);
  Writer writer(directory_ / "source", mount_ / "file", directory_ / "log");
  ASSERT_TRUE(writer.has_written());
  writer.kill();
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.errors, "");
  EXPECT_TRUE(on_server("file") == content);
}

TEST_F(SshWrite, UmountDirBringsHomeWhatIsOnItsWayOverALongLink) {
  Relay relay(server_.port(), milliseconds(50));
  ASSERT_THAT(mount(through(relay)), Succeeded());
  const std::string content = random_bytes(8'000'000);
  write_file(directory_ / "source", content);
  Writer writer(directory_ / "source", mount_ / "file", directory_ / "log");
  ASSERT_TRUE(writer.has_written());
  writer.kill();
  EXPECT_THAT(umount(), Succeeded());
  EXPECT_TRUE(on_server("file") == content);
}

TEST_F(SshWrite, UmountDirBringsHomeWhatAHolderHasWrittenAndNamesTheHolder) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  const std::string content = random_bytes(1'000'000);
  write_file(directory_ / "source", content);
  Writer writer(directory_ / "source", mount_ / "file", directory_ / "log");
  ASSERT_TRUE(writer.has_written());
  const Outcome outcome = umount();
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_TRUE(on_server("file") == content);
  writer.kill();
}

TEST_F(SshWrite, UmountDirNamesTheFilesThatCouldNotBeWritten) {
  serve({});
  Relay relay(server_.port());
  ASSERT_THAT(mount(through(relay)), Succeeded());
  EXPECT_EQ(put(mount_ / "was written", "x"), 0);
  SharedNumber opened;
  SharedNumber gone;
  SharedNumber tried;
  SharedNumber accepted;
  Child writer([&] {
    const FileDescriptor file = open_file(mount_ / "lost file", O_WRONLY | O_CREAT);
    opened.set(1);
    gone.reaches(1);
    if (write_all(file.get(), random_bytes(100'000)) == 0) accepted.set(1);
    tried.set(1);
    ::pause();
    return 0;
  });
  ASSERT_TRUE(opened.reaches(1));
  relay.refuse();
  gone.set(1);
  ASSERT_TRUE(tried.reaches(1, seconds(60)));
  writer.kill();
  const Outcome outcome = connector_.run({"umount-dir", mount_}, seconds(90));
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_FALSE(is_mounted(mount_));
  if (!accepted.reaches(1, milliseconds(0))) GTEST_SKIP() << "the writer has been told";
  EXPECT_GT(outcome.exit_code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr("lost file"));
  EXPECT_THAT(outcome.errors, Not(HasSubstr("was written")));
}

TEST_F(SshWrite, WhatCannotBeWrittenIsToldByFsyncAndCloseInTime) {
  ASSERT_THAT(mount_with(), Succeeded()) << server_.log();
  FileDescriptor file = open_file(mount_ / "file", O_WRONLY | O_CREAT);
  EXPECT_EQ(write_all(file.get(), "before"), 0);
  EXPECT_EQ(error_of(::fsync(file.get())), 0);
  server_.stop();
  const auto start = std::chrono::steady_clock::now();
  const int written = write_all(file.get(), random_bytes(100'000));
  const int synchronized = error_of(::fsync(file.get()));
  EXPECT_TRUE(written != 0 || synchronized != 0);
  close_of(file);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(75));
  EXPECT_EQ(on_server("file"), "before");
  const Outcome outcome = connector_.run({"umount-dir", mount_}, seconds(40));
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_FALSE(is_mounted(mount_));
}

TEST_F(SshWrite, AKilledWriterDiesAtOnceWhateverTheServerDoes) {
  Relay relay(server_.port());
  ASSERT_THAT(mount(through(relay)), Succeeded());
  Process writer({.arguments = {"/bin/sh", "-c", "exec cat /dev/zero > \"$0\"", mount_ / "file"}},
                 directory_ / "log");
  ASSERT_TRUE(eventually([&] {
    std::error_code ignored;
    return fs::file_size(root() / "file", ignored) > 1'000'000 && !ignored;
  }));
  relay.freeze();
  EXPECT_FALSE(writer.wait(milliseconds(1500)));
  const auto start = std::chrono::steady_clock::now();
  writer.signal(SIGKILL);
  EXPECT_TRUE(writer.wait(seconds(5)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
  relay.recover();
}

class SshWriteWithoutRename : public SshMountFixture {};

TEST_F(SshWriteWithoutRename, LeavesEverythingElseWorking) {
  const AsyncSshServer server({.rename = false});
  serve(server, {{"a", "a"}, {"b", "b"}});
  ASSERT_THAT(mount_writable(server), Succeeded()) << server.log();
  EXPECT_NE(error_of(::rename((mount_ / "a").c_str(), (mount_ / "c").c_str())), 0);
  EXPECT_NE(error_of(::rename((mount_ / "a").c_str(), (mount_ / "b").c_str())), 0);
  EXPECT_EQ(put(mount_ / "new", "new"), 0);
  EXPECT_EQ(differences(read_tree(server.root()), {{"a", "a"}, {"b", "b"}, {"new", "new"}}), "");
}

}  // namespace
}  // namespace red::testing
