// What a mounted tree shows and how it reads.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/python_server.h"
#include "tests/servers/scripts.h"
#include "tests/servers/server_kinds.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class MountedFrom : public MountFixture, public ::testing::WithParamInterface<ServerKind> {
 protected:
  std::unique_ptr<ServerProcess> server_ = GetParam().make();
};

TEST_P(MountedFrom, ShowsEveryNameAndByte) {
  FileTree tree = nasty_tree(nasty_names());
  if (GetParam().lists_dot_names) tree.merge(nasty_tree(dot_names()));
  tree["empty file"] = "";
  tree["big.bin"] = random_bytes(5'000'001);
  write_tree(server_->root(), tree);
  ASSERT_THAT(mount(server_->url()), Succeeded()) << server_->log();
  EXPECT_EQ(differences(read_tree(mount_), tree), "");
}

TEST_P(MountedFrom, ShowsSizesExactly) {
  const FileTree tree = {{"a", "x"},
                         {"b", std::string(1023, 'x')},
                         {"c", std::string(1'234'567, 'x')},
                         {"sub/d", std::string(77, 'x')}};
  write_tree(server_->root(), tree);
  ASSERT_THAT(mount(server_->url()), Succeeded()) << server_->log();
  for (const auto& [name, content] : tree) {
    EXPECT_EQ(std::filesystem::file_size(mount_ / name), content.size()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, MountedFrom, ::testing::ValuesIn(server_kinds()),
                         kNameOfServerKind);

struct stat stat_of(const std::filesystem::path& path) {
  struct stat attributes {};
  EXPECT_EQ(::lstat(path.c_str(), &attributes), 0) << path << ": " << std::strerror(errno);
  return attributes;
}

class MountRead : public MountFixture {};

// --- The tree
// -------------------------------------------------------------------------------------

TEST_F(MountRead, ModesAndOwnersAreThoseOfAReadOnlyTreeOfTheCaller) {
  const NginxServer server;
  write_tree(server.root(), {{"file", "content"}, {"sub/file", "content"}});
  ASSERT_THAT(mount(server.url()), Succeeded());
  for (const char* name : {"", "sub"}) {
    const struct stat attributes = stat_of(mount_ / name);
    EXPECT_EQ(attributes.st_mode, static_cast<mode_t>(S_IFDIR | 0555));
    EXPECT_EQ(attributes.st_uid, ::getuid());
    EXPECT_EQ(attributes.st_gid, ::getgid());
  }
  const struct stat attributes = stat_of(mount_ / "sub/file");
  EXPECT_EQ(attributes.st_mode, static_cast<mode_t>(S_IFREG | 0444));
  EXPECT_EQ(attributes.st_uid, ::getuid());
  EXPECT_EQ(attributes.st_size, 7);
}

TEST_F(MountRead, ManySmallFilesAreOpenedReadAndClosedAtOnce) {
  const NginxServer server;
  FileTree tree;
  for (int i = 0; i < 1000; ++i) tree["f" + std::to_string(i)] = random_bytes(4096);
  write_tree(server.root(), tree);
  ASSERT_THAT(mount(server.url()), Succeeded());
  std::vector<std::future<int>> readers;
  for (int reader = 0; reader < 4; ++reader) {
    readers.push_back(std::async(std::launch::async, [&, reader] {
      int wrong = 0;
      for (int i = reader; i < 1000; i += 4) {
        const std::string name = "f" + std::to_string(i);
        if (read_file(mount_ / name) != tree.at(name)) ++wrong;
      }
      return wrong;
    }));
  }
  for (auto& wrong : readers) EXPECT_EQ(wrong.get(), 0);
}

TEST_F(MountRead, TimesAreThoseOfTheServer) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  const timeval then[2] = {{1'500'000'000, 0}, {1'500'000'000, 0}};
  ASSERT_EQ(::utimes((server.root() / "file").c_str(), then), 0);
  ASSERT_THAT(mount(server.url()), Succeeded());
  read_file(mount_ / "file");
  EXPECT_TRUE(eventually([&] { return stat_of(mount_ / "file").st_mtime == 1'500'000'000; }));
}

TEST_F(MountRead, WritesGiveReadOnlyFileSystem) {
  const NginxServer server;
  write_tree(server.root(), {{"file", "content"}, {"sub/file", "content"}});
  ASSERT_THAT(mount(server.url()), Succeeded());
  const std::string file = mount_ / "file";
  const std::string fresh = mount_ / "new";
  const auto expect_read_only = [](int result, const char* what) {
    EXPECT_EQ(result, -1) << what;
    EXPECT_EQ(errno, EROFS) << what << ": " << std::strerror(errno);
  };
  expect_read_only(::open(file.c_str(), O_WRONLY | O_CLOEXEC), "open for writing");
  expect_read_only(::open(file.c_str(), O_RDWR | O_CLOEXEC), "open for both");
  expect_read_only(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644), "create");
  expect_read_only(::truncate(file.c_str(), 0), "truncate");
  expect_read_only(::unlink(file.c_str()), "unlink");
  expect_read_only(::mkdir(fresh.c_str(), 0755), "mkdir");
  expect_read_only(::rmdir((mount_ / "sub").c_str()), "rmdir");
  expect_read_only(::rename(file.c_str(), fresh.c_str()), "rename");
  expect_read_only(::symlink("x", fresh.c_str()), "symlink");
  expect_read_only(::link(file.c_str(), fresh.c_str()), "link");
  expect_read_only(::chmod(file.c_str(), 0644), "chmod");
  expect_read_only(::utimes(file.c_str(), nullptr), "utimes");
  expect_read_only(::setxattr(file.c_str(), "user.x", "y", 1, 0), "setxattr");
  EXPECT_EQ(read_file(mount_ / "file"), "content");
}

TEST_F(MountRead, MissingNamesAreMissingAndRememberedForAWhile) {
  HostileServer server;
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = "content"}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  struct stat attributes {};
  const auto look = [&] {
    EXPECT_EQ(::lstat((mount_ / "missing").c_str(), &attributes), -1);
    EXPECT_EQ(errno, ENOENT);
  };
  look();
  const std::size_t requests = server.requests().size();
  for (int i = 0; i < 20; ++i) look();
  EXPECT_EQ(server.requests().size(), requests);
  EXPECT_EQ(read_at(mount_ / "file/below", 0, 1).error_number, ENOTDIR);
}

TEST_F(MountRead, NamesThatCannotBeThereCostNoHarm) {
  HostileServer server;
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = "content"}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  struct stat attributes {};
  for (const std::string& name : nasty_names()) {
    EXPECT_EQ(::lstat((mount_ / name).c_str(), &attributes), -1);
    EXPECT_EQ(errno, ENOENT) << name;
  }
}

TEST_F(MountRead, FileSystemFiguresNeedNoNetwork) {
  NginxServer server;
  ASSERT_THAT(mount(server.url()), Succeeded());
  server.stop();
  const auto start = std::chrono::steady_clock::now();
  struct statvfs figures {};
  EXPECT_EQ(::statvfs(mount_.c_str(), &figures), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_TRUE(figures.f_flag & ST_RDONLY);
  EXPECT_EQ(figures.f_namemax, 255u);
}

TEST_F(MountRead, ExtendedAttributesTellUrlVersionAndType) {
  HostileServer server;
  server.on("/", page("<title>Index of /</title><a href=\"a%20file\">a file</a>"));
  server.on("/a%20file",
            file({.body = "content", .etag = "\"some-tag\"", .content_type = "image/x-test"}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  const std::string path = mount_ / "a file";
  read_file(path);
  std::string names(4096, '\0');
  const ssize_t length = ::listxattr(path.c_str(), names.data(), names.size());
  ASSERT_GT(length, 0);
  names.resize(static_cast<std::size_t>(length));
  std::vector<std::string> values;
  for (std::size_t at = 0; at < names.size(); at += std::strlen(names.c_str() + at) + 1) {
    std::string value(4096, '\0');
    const ssize_t size = ::getxattr(path.c_str(), names.c_str() + at, value.data(), value.size());
    ASSERT_GE(size, 0) << names.c_str() + at;
    values.push_back(value.substr(0, static_cast<std::size_t>(size)));
  }
  EXPECT_THAT(values, Contains(server.url("/a%20file")));
  EXPECT_THAT(values, Contains("\"some-tag\""));
  EXPECT_THAT(values, Contains("image/x-test"));
}

TEST_F(MountRead, NamespacesOfAttributesThatDoNotExistAreNotSupported) {
  const NginxServer server;
  write_file(server.root() / "file", "content");
  ASSERT_THAT(mount(server.url()), Succeeded());
  char value[64];
  for (const char* name : {"security.selinux", "security.capability", "system.posix_acl_access"}) {
    EXPECT_EQ(::getxattr((mount_ / "file").c_str(), name, value, sizeof value), -1);
    EXPECT_EQ(errno, ENOTSUP) << name;
  }
  EXPECT_EQ(::getxattr((mount_ / "file").c_str(), "user.other", value, sizeof value), -1);
  EXPECT_EQ(errno, ENODATA);
}

TEST_F(MountRead, ShowsNeitherLinksOutOfTheDirectoryNorCycles) {
  HostileServer server;
  server.on("/data/", page(R"html(<title>Index of /data/</title>
      <a href="?C=N;O=D">Name</a> <a href="../">../</a> <a href="/">root</a> <a href="./">.</a>
      <a href="/data/">self</a> <a href="/etc/passwd">x</a> <a href="%2e%2e/up">x</a>
      <a href="..%2fup">x</a> <a href="%2e%2e">x</a> <a href="a%00b">x</a>
      <a href="sub%2fslash">x</a> <a href="http://127.0.0.1:1/data/other">x</a>
      <a href="good">good</a>)html"));
  server.on("/data/good", file({.body = "good"}));
  ASSERT_THAT(mount(server.url("/data/")), Succeeded());
  EXPECT_EQ(differences(read_tree(mount_), {{"good", "good"}}), "");
}

TEST_F(MountRead, ListsThousandsOfEntries) {
  const NginxServer server({.autoindex_format = "json"});
  FileTree tree;
  for (int i = 0; i < 5000; ++i) tree["file number " + std::to_string(i)] = "";
  write_tree(server.root(), tree);
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_EQ(names_in(mount_), names_in(server.root()));
  const std::size_t requests = server.requests().size();
  for (const std::string& name : names_in(mount_)) stat_of(mount_ / name);
  EXPECT_LE(server.requests().size(), requests + 2) << "the listing has the sizes";
}

TEST_F(MountRead, SizesThatTheIndexDoesNotHaveCostOneHeadRequestEach) {
  HostileServer server;
  std::string index = "<title>Index of /</title>";
  for (int i = 0; i < 50; ++i) {
    const std::string name = "f" + std::to_string(i);
    index += "<a href=\"" + name + "\">" + name + "</a>\n";
    server.on("/" + name, file({.body = std::string(static_cast<std::size_t>(i), 'x')}));
  }
  server.on("/", page(index));
  ASSERT_THAT(mount(server.url()), Succeeded());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(stat_of(mount_ / ("f" + std::to_string(i))).st_size, i);
    }
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(server.requests_for("/f" + std::to_string(i)).size(), 1u);
    EXPECT_EQ(server.requests_for("/f" + std::to_string(i), "HEAD").size(), 1u);
  }
}

TEST_F(MountRead, AttributesAreTrustedForAWhile) {
  HostileServer server;
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = "content"}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  read_tree(mount_);
  const std::size_t requests = server.requests().size();
  for (int i = 0; i < 10; ++i) read_tree(mount_);
  EXPECT_EQ(server.requests().size(), requests);
}

// --- Bytes
// ----------------------------------------------------------------------------------------

TEST_F(MountRead, ReadsAnyPartOfAFile) {
  const NginxServer server;
  const std::string content = random_bytes(10'000'000);
  write_file(server.root() / "file", content);
  ASSERT_THAT(mount(server.url()), Succeeded());
  for (const std::size_t offset : {0, 1, 65535, 65536, 1'048'575, 5'000'000, 9'999'999}) {
    for (const std::size_t count : {1, 4096, 131'073, 3'000'000}) {
      EXPECT_TRUE(read_at(mount_ / "file", offset, count).bytes == content.substr(offset, count))
          << count << " at " << offset;
    }
  }
  EXPECT_EQ(read_at(mount_ / "file", 10'000'000, 10).bytes, "");
  EXPECT_EQ(read_at(mount_ / "file", 20'000'000, 10).bytes, "");
}

TEST_F(MountRead, WorksBeyondFourGibibytes) {
  const NginxServer server;
  const std::uint64_t size = (std::uint64_t{1} << 32) + 5'000'000;
  {
    std::ofstream big(server.root() / "big", std::ios::binary);
    big.seekp(static_cast<std::streamoff>(size - 4));
    big << "tail";
  }
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_EQ(std::filesystem::file_size(mount_ / "big"), size);
  EXPECT_EQ(read_at(mount_ / "big", size - 6, 100).bytes, std::string("\0\0tail", 6));
  EXPECT_EQ(read_at(mount_ / "big", std::uint64_t{1} << 32, 2).bytes, std::string(2, '\0'));
}

TEST_F(MountRead, MapsIntoMemory) {
  const NginxServer server;
  const std::string content = random_bytes(3'000'000);
  write_file(server.root() / "file", content);
  ASSERT_THAT(mount(server.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  void* memory = ::mmap(nullptr, content.size(), PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(std::memcmp(memory, content.data(), content.size()), 0);
  ::munmap(memory, content.size());
}

TEST_F(MountRead, ReadsTwiceForThePriceOfOne) {
  HostileServer server;
  const std::string content = random_bytes(4'000'000);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = content}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_TRUE(read_file(mount_ / "file") == content);
  const std::uint64_t sent = server.bytes_sent();
  EXPECT_LT(sent, 4'200'000u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(read_file(mount_ / "file") == content);
  EXPECT_EQ(server.bytes_sent(), sent);
}

TEST_F(MountRead, ConcurrentReadersOfOneBlockCauseOneRequest) {
  HostileServer server;
  const std::string content = random_bytes(60'000);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", for_method("HEAD", file({.body = content}),
                                stall_before_head(file({.body = content}))));
  ASSERT_THAT(mount(server.url()), Succeeded());
  std::vector<std::future<ReadResult>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(
        std::async(std::launch::async, [&] { return read_at(mount_ / "file", 10'000, 20'000); }));
  }
  ASSERT_TRUE(server.wait_for_stalled(1));
  server.release();
  for (auto& reader : readers) EXPECT_TRUE(reader.get().bytes == content.substr(10'000, 20'000));
  EXPECT_EQ(server.requests_for("/file", "GET").size(), 1u);
}

TEST_F(MountRead, ARandomReaderCostsOnlyWhatItTouches) {
  HostileServer server;
  const std::string content = random_bytes(64 << 20);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = content}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  for (const std::size_t megabyte : {50, 3, 27, 61, 14, 39}) {
    const std::uint64_t before = server.bytes_sent();
    const std::size_t offset = (megabyte << 20) + 12'345;
    EXPECT_TRUE(read_at(descriptor.get(), offset, 4096).bytes == content.substr(offset, 4096));
    // The answer's head is no part of the file.
    EXPECT_LE(server.bytes_sent() - before, 4096u + (128 << 10) + 1000) << megabyte;
  }
}

TEST_F(MountRead, ParallelReadersOfOneFileGetTheirOwnBytes) {
  const NginxServer server;
  const std::string content = random_bytes(32 << 20);
  write_file(server.root() / "file", content);
  ASSERT_THAT(mount(server.url()), Succeeded());
  std::vector<std::future<bool>> readers;
  for (std::size_t part = 0; part < 8; ++part) {
    readers.push_back(std::async(std::launch::async, [&, part] {
      const std::size_t size = content.size() / 8;
      return read_at(mount_ / "file", part * size, size).bytes == content.substr(part * size, size);
    }));
  }
  for (auto& reader : readers) EXPECT_TRUE(reader.get());
}

TEST_F(MountRead, MemoryStaysWithinTheBoundWhateverIsRead) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is most of it";
#endif
  const NginxServer server;
  for (int i = 0; i < 4; ++i) {
    const auto file = server.root() / ("file" + std::to_string(i));
    write_file(file, "");
    std::filesystem::resize_file(file, 100 << 20);
  }
  ASSERT_THAT(mount({{"url", server.url()}, {"cache", {{"memory", "32 MiB"}}}}), Succeeded());
  for (int i = 0; i < 4; ++i) {
    const FileDescriptor descriptor(open_for_reading(mount_ / ("file" + std::to_string(i))));
    std::string block(1 << 20, '\0');
    while (::read(descriptor.get(), block.data(), block.size()) > 0) {
    }
  }
  std::ifstream status("/proc/" + std::to_string(daemon()) + "/status");
  long peak_kib = 0;
  for (std::string field; status >> field;) {
    if (field == "VmHWM:") status >> peak_kib;
  }
  EXPECT_GT(peak_kib, 0);
  EXPECT_LT(peak_kib, (32 + 40) * 1024);
}

// --- Files that change
// ----------------------------------------------------------------------------

class ChangingFile : public MountFixture {
 protected:
  ChangingFile() {
    server_.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
    server_.on("/file", file_from([this] { return current(); }));
  }
  ScriptedFile current() const {
    if (!changed_) return {.body = first_, .etag = "\"first\""};
    return {
        .body = second_, .etag = "\"second\"", .last_modified = "Tue, 02 Jan 2024 12:00:00 GMT"};
  }

  HostileServer server_;
  std::atomic<bool> changed_{false};
  const std::string first_ = random_bytes(20'000'000, 1);
  const std::string second_ = random_bytes(20'000'000, 2);
};

TEST_F(ChangingFile, GivesAnErrorToThoseWhoHaveItOpen) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_at(descriptor.get(), 0, 1000).bytes == first_.substr(0, 1000));
  changed_ = true;
  const ReadResult after = read_at(descriptor.get(), 15'000'000, 1000);
  EXPECT_EQ(after.error_number, ESTALE) << std::strerror(after.error_number);
  EXPECT_EQ(after.bytes, "");
}

TEST_F(ChangingFile, IsNeverAMixture) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  read_at(descriptor.get(), 0, 100'000);
  changed_ = true;
  const ReadResult rest = read_at(descriptor.get(), 0, first_.size());
  EXPECT_TRUE(first_.starts_with(rest.bytes));
}

TEST_F(ChangingFile, IsTheNewOneWhenItIsOpenedAnew) {
  ASSERT_THAT(mount(server_.url()), Succeeded());
  {
    const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
    read_at(descriptor.get(), 0, 1000);
    changed_ = true;
    EXPECT_EQ(read_at(descriptor.get(), 15'000'000, 1000).error_number, ESTALE);
  }
  const FileDescriptor anew(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_at(anew.get(), 15'000'000, 1000).bytes == second_.substr(15'000'000, 1000));
  EXPECT_TRUE(read_at(anew.get(), 0, 1000).bytes == second_.substr(0, 1000));
}

// --- Servers with few abilities
// -------------------------------------------------------------------

TEST_F(MountRead, AServerWithoutRangesWorks) {
  const PythonServer server;
  const std::string content = random_bytes(12'000'000);
  write_file(server.root() / "file", content);
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_TRUE(read_at(mount_ / "file", 9'000'000, 5000).bytes == content.substr(9'000'000, 5000));
  EXPECT_TRUE(read_at(mount_ / "file", 100, 5000).bytes == content.substr(100, 5000));
  EXPECT_TRUE(read_file(mount_ / "file") == content);
}

TEST_F(MountRead, AFileWithoutRangesLargerThanTheCacheStreamsOnce) {
  HostileServer server;
  const std::string content = random_bytes(48 << 20);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", file({.body = content, .ranges = false}));
  ASSERT_THAT(mount({{"url", server.url()}, {"cache", {{"memory", "16 MiB"}}}}), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_at(descriptor.get(), 0, content.size()).bytes == content);
  EXPECT_TRUE(read_at(descriptor.get(), 1000, 1000).bytes == content.substr(1000, 1000));
  EXPECT_LT(server.bytes_sent(), content.size() * 3 / 2);
}

TEST_F(MountRead, ReadersGetBytesAsTheyArriveFromAServerWithoutRanges) {
  HostileServer server;
  const std::string content = random_bytes(6'000'000);
  const ScriptedFile whole{.body = content, .ranges = false};
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", for_method("HEAD", file(whole), stall_after(whole, 2'000'000)));
  ASSERT_THAT(mount(server.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  auto first =
      std::async(std::launch::async, [&] { return read_at(descriptor.get(), 0, 500'000).bytes; });
  ASSERT_EQ(first.wait_for(std::chrono::seconds(10)), std::future_status::ready)
      << "the rest is not needed for the beginning";
  EXPECT_TRUE(first.get() == content.substr(0, 500'000));
  server.release();
  EXPECT_TRUE(read_at(descriptor.get(), 5'000'000, 1000).bytes == content.substr(5'000'000, 1000));
}

class UnknownSize : public MountFixture, public ::testing::WithParamInterface<bool> {};

TEST_P(UnknownSize, IsShownAsZeroAndReadToTheEndAllTheSame) {
  HostileServer server;
  const std::string content = random_bytes(3'000'000);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", GetParam() ? chunked(content) : close_delimited(content));
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_EQ(std::filesystem::file_size(mount_ / "file"), 0u);
  EXPECT_TRUE(read_file(mount_ / "file") == content);
  const Outcome cat = run({.arguments = {"/bin/cat", mount_ / "file"}});
  EXPECT_TRUE(cat.output == content);
}

INSTANTIATE_TEST_SUITE_P(Both, UnknownSize, ::testing::Bool(), [](const auto& test) {
  return test.param ? "Chunked" : "CloseDelimited";
});

TEST_F(MountRead, FollowsRedirectsOfFiles) {
  HostileServer server;
  HostileServer store;
  const std::string content = random_bytes(2'000'000);
  server.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"));
  server.on("/file", redirect(store.url("/4711?signature=x")));
  store.on("/4711", file({.body = content}));
  ASSERT_THAT(mount(server.url()), Succeeded());
  EXPECT_TRUE(read_file(mount_ / "file") == content);
}

TEST_F(MountRead, WorksOverTlsWithHttp2AndCredentials) {
  const NginxServer server({.tls = true, .http2 = true, .username = "user", .password = "secret"});
  const FileTree tree = {{"a", random_bytes(3'000'000)}, {"sub/b", "b"}};
  write_tree(server.root(), tree);
  ASSERT_THAT(mount({{"url", server.url()},
                     {"caCertificate", server.authority()},
                     {"auth", {{"username", "user"}, {"password", "secret"}}}}),
              Succeeded());
  EXPECT_EQ(differences(read_tree(mount_), tree), "");
}

TEST_F(MountRead, WorksWithoutACache) {
  const NginxServer server;
  const FileTree tree = {{"a", random_bytes(3'000'000)}, {"sub/b", "b"}};
  write_tree(server.root(), tree);
  ASSERT_THAT(mount({{"url", server.url()}, {"cache", false}}), Succeeded());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(differences(read_tree(mount_), tree), "");
}

}  // namespace
}  // namespace red::testing
