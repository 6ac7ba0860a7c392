// The cache on disk: what several mounts and transfers of one host share.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <future>
#include <string>
#include <thread>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/ssh_access.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A time that no file of a test gets by itself.
constexpr time_t kLongAgo = 987'654'321;

void make_old(const fs::path& root, time_t time = kLongAgo) {
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const timespec times[] = {{time, 0}, {time, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, entry.path().c_str(), times, 0), 0) << entry.path();
  }
}

std::size_t bytes_of(const FileTree& tree) {
  std::size_t bytes = 0;
  for (const auto& [name, content] : tree) bytes += content.size();
  return bytes;
}

/// The bytes of files that the requests have asked for.
std::size_t bytes_asked(const NginxServer& server) {
  std::size_t bytes = 0;
  for (const LoggedRequest& request : server.requests()) {
    if (request.method != "GET" || request.target.ends_with('/')) continue;
    std::size_t first = 0;
    std::size_t last = 0;
    const std::string& range = request.range;
    const auto dash = range.find('-', 1);
    if (range == "-") {
      bytes += static_cast<std::size_t>(request.bytes_sent);
    } else {
      std::from_chars(range.data() + std::string("bytes=").size(), range.data() + dash, first);
      std::from_chars(range.data() + dash + 1, range.data() + range.size(), last);
      bytes += last - first + 1;
    }
  }
  return bytes;
}

/// Any number of mounts that share a cache directory.
class DiskCacheTest : public MountFixture {
 protected:
  explicit DiskCacheTest(const std::string& connector = "red-connector-http")
      : MountFixture(connector) {}

  void TearDown() override {
    for (const fs::path& mounted : mounts_) connector_.run({"umount-dir", mounted});
    MountFixture::TearDown();
  }

  Json cached(Json access) const {
    access["cache"]["dir"] = cache_.string();
    return access;
  }

  /// Mounts that are made at the same time.
  std::vector<fs::path> mount_many(const Json& access, std::size_t count) {
    const std::string file = connector_.keep_json(cached(access));
    std::vector<std::future<Outcome>> outcomes;
    const std::size_t before = mounts_.size();
    for (std::size_t i = 0; i < count; ++i) {
      mounts_.push_back(directory_ / ("mount" + std::to_string(before + i)));
      outcomes.push_back(std::async(std::launch::async, [this, file, place = mounts_.back()] {
        return connector_.run({"mount-dir", file, place});
      }));
    }
    for (auto& outcome : outcomes) EXPECT_THAT(outcome.get(), Succeeded());
    return {mounts_.begin() + static_cast<std::ptrdiff_t>(before), mounts_.end()};
  }
  fs::path mount_one(const Json& access) { return mount_many(access, 1).at(0); }

  /// The daemon of the mount that was made last.
  pid_t newest_daemon() const {
    const auto processes = connector_.processes();
    return processes.empty() ? 0 : *std::ranges::max_element(processes);
  }

  const fs::path cache_ = directory_ / "cache";
  std::vector<fs::path> mounts_;
};

class SshDiskCacheTest : public DiskCacheTest {
 protected:
  SshDiskCacheTest() : DiskCacheTest("red-connector-ssh") {}
};

FileTree data_set() {
  FileTree tree = {{"large.bin", random_bytes(12'345'678)},
                   {"sub/medium", random_bytes(1'000'001)}};
  for (int i = 0; i < 100; ++i) {
    tree["many/" + std::to_string(i)] = random_bytes(4096, static_cast<std::uint64_t>(i));
  }
  return tree;
}

void expect_all_read(const std::vector<fs::path>& mounts, const FileTree& tree) {
  std::vector<std::jthread> readers;
  for (const fs::path& mounted : mounts) {
    readers.emplace_back([&, mounted] {
      for (const auto& [name, content] : tree) {
        EXPECT_TRUE(read_at(mounted / name, 0, content.size() + 1).bytes == content)
            << mounted / name;
      }
    });
  }
}

TEST_F(DiskCacheTest, SixteenMountsAtOnceFetchEachByteOnce) {
  const NginxServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  const auto mounts = mount_many({{"url", server.url()}}, 16);
  expect_all_read(mounts, tree);
  const std::size_t asked = bytes_asked(server);
  RecordProperty("bytes", static_cast<int>(asked));
  EXPECT_LE(asked, bytes_of(tree) * 102 / 100) << bytes_of(tree);
  EXPECT_GE(asked, bytes_of(tree));
}

TEST_F(DiskCacheTest, AMountAfterAnotherFetchesNothing) {
  const NginxServer server({.autoindex_format = "json"});
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  const Json access{{"url", server.url()}};
  expect_all_read({mount_one(access)}, tree);
  ASSERT_THAT(connector_.run({"umount-dir", mounts_.at(0)}), Succeeded());
  const std::size_t asked = bytes_asked(server);
  expect_all_read({mount_one(access)}, tree);
  EXPECT_LE(bytes_asked(server) - asked, tree.size()) << "a byte of each file asks for its version";
}

TEST_F(SshDiskCacheTest, ManyMountsAtOnceFetchEachByteOnce) {
  const OpenSshServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  server.own_root();
  const Relay relay(server.port());
  Json access = access_to(server, "dirPath", server.path_of(""));
  access["port"] = relay.port();
  access["connections"] = 1;
  const auto mounts = mount_many(access, 6);
  const std::uint64_t before = relay.bytes_to_client();
  expect_all_read(mounts, tree);
  // Packets, listings and the versions of open files are in it.
  EXPECT_LE(relay.bytes_to_client() - before, bytes_of(tree) * 108 / 100);
}

TEST_F(SshDiskCacheTest, AMountAfterAnotherNeedsNothingButNames) {
  const OpenSshServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  server.own_root();
  const Json access = access_to(server, "dirPath", server.path_of(""));
  expect_all_read({mount_one(access)}, tree);
  ASSERT_THAT(connector_.run({"umount-dir", mounts_.at(0)}), Succeeded());
  // Names and attributes stay, the bytes are wiped out: what is read now is what was kept.
  for (const auto& [name, content] : tree) {
    write_file(server.root() / name, std::string(content.size(), 'x'));
  }
  make_old(server.root());
  expect_all_read({mount_one(access)}, tree);
}

TEST_F(SshDiskCacheTest, AFileThatHasChangedIsReadAnew) {
  const OpenSshServer server;
  write_file(server.root() / "f", random_bytes(300'000, 1));
  make_old(server.root());
  server.own_root();
  const Json access = access_to(server, "dirPath", server.path_of(""));
  EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000, 1));
  write_file(server.root() / "f", random_bytes(300'000, 2));
  make_old(server.root(), kLongAgo + 1);
  EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000, 2));
}

TEST_F(DiskCacheTest, AFileThatHasChangedIsReadAnew) {
  const NginxServer server;
  write_file(server.root() / "f", random_bytes(300'000, 1));
  make_old(server.root());
  const Json access{{"url", server.url()}};
  EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000, 1));
  write_file(server.root() / "f", random_bytes(300'000, 2));
  make_old(server.root(), kLongAgo + 1);
  EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000, 2));
}

TEST_F(DiskCacheTest, WhoAsksAsSomebodyElseAsksTheServer) {
  const NginxServer server;
  write_file(server.root() / "f", random_bytes(300'000));
  make_old(server.root());
  std::size_t asked = 0;
  for (const Json& auth : {Json{{"username", "ann"}, {"password", "one"}},
                           Json{{"username", "ann"}, {"password", "two"}},
                           Json{{"username", "bob"}, {"password", "one"}}, Json(nullptr)}) {
    Json access{{"url", server.url()}};
    if (!auth.is_null()) access["auth"] = auth;
    EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000));
    EXPECT_GE(bytes_asked(server), asked + 300'000) << auth;
    asked = bytes_asked(server);
  }
  Json access{{"url", server.url()}};
  access["disableSSLVerification"] = true;
  EXPECT_EQ(read_file(mount_one(access) / "f"), random_bytes(300'000));
  EXPECT_GE(bytes_asked(server), asked + 300'000);
}

TEST_F(DiskCacheTest, NoSecretIsInTheDirectory) {
  const NginxServer server;
  write_file(server.root() / "named-file", random_bytes(300'000));
  make_old(server.root());
  Json access{{"url", server.url()}};
  access["auth"] = {{"username", "planted-user"}, {"password", "planted-secret"}};
  read_file(mount_one(access) / "named-file");
  ASSERT_THAT(connector_.run({"umount-dir", mounts_.at(0)}), Succeeded());
  for (const auto& [name, content] : read_tree(cache_)) {
    for (const char* planted : {"planted-user", "planted-secret", "named-file"}) {
      EXPECT_EQ(name.find(planted), std::string::npos) << name;
      EXPECT_EQ(content.find(planted), std::string::npos) << name;
    }
  }
}

TEST_F(DiskCacheTest, WhoIsKilledWhileItFetchesIsSucceededByTheOthers) {
  const NginxServer server({.bytes_per_second = 1'000'000});
  const std::string content = random_bytes(6'000'000);
  write_file(server.root() / "f", content);
  make_old(server.root());
  const Json access{{"url", server.url()}};
  const fs::path dying = mount_one(access);
  const pid_t daemon = newest_daemon();
  std::jthread reader([&] { read_at(dying / "f", 0, content.size()); });
  ASSERT_TRUE(eventually([&] { return server.requests().size() > 1; }));
  const fs::path other = mount_one(access);
  ASSERT_EQ(::kill(daemon, SIGKILL), 0);
  EXPECT_EQ(read_file(other / "f"), content);
}

TEST_F(DiskCacheTest, WhoIsStoppedWhileItFetchesIsNotWaitedForLong) {
  const NginxServer server({.bytes_per_second = 500'000});
  const std::string content = random_bytes(3'000'000);
  write_file(server.root() / "f", content);
  make_old(server.root());
  const Json access{{"url", server.url()}};
  const fs::path stopped = mount_one(access);
  const pid_t daemon = newest_daemon();
  std::jthread reader([&] { read_at(stopped / "f", 0, content.size()); });
  ASSERT_TRUE(eventually([&] { return server.requests().size() > 1; }));
  const fs::path other = mount_one(access);
  ASSERT_EQ(::kill(daemon, SIGSTOP), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read_file(other / "f"), content);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 25s);
  ::kill(daemon, SIGCONT);
}

TEST_F(DiskCacheTest, AFlippedBitOnDiskIsNeverDelivered) {
  const NginxServer server;
  const std::string content = random_bytes(3'000'000);
  write_file(server.root() / "f", content);
  make_old(server.root());
  const Json access{{"url", server.url()}};
  EXPECT_EQ(read_file(mount_one(access) / "f"), content);
  ASSERT_THAT(connector_.run({"umount-dir", mounts_.at(0)}), Succeeded());
  for (const auto& entry : fs::recursive_directory_iterator(cache_)) {
    if (!entry.is_regular_file() || entry.file_size() < content.size()) continue;
    std::string kept = read_file(entry.path());
    for (std::size_t at = 10'000; at < kept.size(); at += 300'000) kept[at] ^= 1;
    write_file(entry.path(), kept);
  }
  const std::size_t asked = bytes_asked(server);
  EXPECT_EQ(read_file(mount_one(access) / "f"), content);
  EXPECT_GT(bytes_asked(server), asked + 9 * 65536);
  EXPECT_LT(bytes_asked(server), asked + content.size());
}

TEST_F(DiskCacheTest, TransfersFillItAndReadFromIt) {
  const NginxServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  const Json access = cached({{"url", server.url()}});
  ASSERT_THAT(connector_.call("receive-dir", access, {directory_ / "first"}), Succeeded());
  EXPECT_EQ(differences(read_tree(directory_ / "first"), tree), "");
  std::size_t asked = bytes_asked(server);
  expect_all_read({mount_one({{"url", server.url()}})}, tree);
  EXPECT_LE(bytes_asked(server) - asked, bytes_of(tree) / 50);
  asked = bytes_asked(server);
  const Json file = cached({{"url", server.url("/large.bin")}});
  ASSERT_THAT(connector_.call("receive-file", file, {directory_ / "received"}), Succeeded());
  EXPECT_EQ(read_file(directory_ / "received"), tree.at("large.bin"));
}

TEST_F(SshDiskCacheTest, TransfersFromItNeedNothingButNamesAndKeepModes) {
  const OpenSshServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  ASSERT_EQ(::chmod((server.root() / "large.bin").c_str(), 0640), 0);
  make_old(server.root());
  server.own_root();
  const Json access = cached(access_to(server, "dirPath", server.path_of("")));
  ASSERT_THAT(connector_.call("receive-dir", access, {directory_ / "first"}), Succeeded());
  EXPECT_EQ(differences(read_tree(directory_ / "first"), tree), "");
  for (const auto& [name, content] : tree) {
    write_file(server.root() / name, std::string(content.size(), 'x'));
  }
  make_old(server.root());
  ASSERT_THAT(connector_.call("receive-dir", access, {directory_ / "second"}), Succeeded());
  EXPECT_EQ(differences(read_tree(directory_ / "second"), tree), "");
  struct stat status {};
  ASSERT_EQ(::stat((directory_ / "second/large.bin").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
  EXPECT_EQ(status.st_mtim.tv_sec, kLongAgo);
}

TEST_F(DiskCacheTest, WhereThereCanBeNoneThereIsOneWarningAndNoError) {
  const NginxServer server;
  write_file(server.root() / "f", random_bytes(300'000));
  make_old(server.root());
  fs::create_directory(cache_);
  ASSERT_EQ(::chmod(cache_.c_str(), 0777), 0);
  const Json access = cached({{"url", server.url("/f")}});
  const Outcome outcome = connector_.call("receive-file", access, {directory_ / "received"});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(lines_in(outcome.errors), 1U) << outcome.errors;
  EXPECT_THAT(outcome.errors, HasSubstr("others may write there"));
  const Outcome mounting = connector_.call("mount-dir", cached({{"url", server.url()}}), {mount_});
  EXPECT_THAT(mounting, Succeeded());
  EXPECT_EQ(lines_in(mounting.errors), 1U) << mounting.errors;
  EXPECT_EQ(read_file(mount_ / "f"), random_bytes(300'000));
}

TEST_F(DiskCacheTest, ANetworkFileSystemIsRefused) {
  const NginxServer server;
  write_file(server.root() / "f", random_bytes(300'000));
  make_old(server.root());
  ASSERT_THAT(mount(server.url()), Succeeded());
  Json access{{"url", server.url("/f")}};
  access["cache"]["dir"] = mount_.string();
  const Outcome outcome = connector_.call("receive-file", access, {directory_ / "received"});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.errors, HasSubstr("network file system (FUSE)"));
  EXPECT_EQ(lines_in(outcome.errors), 1U) << outcome.errors;
}

/// A small file system in memory at the cache's place.
class FullDiskCacheTest : public DiskCacheTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a file system";
    DiskCacheTest::SetUp();
    fs::create_directory(cache_);
    const bool is_mounted = ::mount("tmpfs", cache_.c_str(), "tmpfs", 0, "size=1m,mode=0700") == 0;
    if (!is_mounted) GTEST_SKIP() << "no file system can be mounted here";
  }
};

TEST_F(FullDiskCacheTest, ADiskThatIsFullIsNoErrorForTheReader) {
  const NginxServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  const Json access{{"url", server.url()}};
  expect_all_read(mount_many(access, 2), tree);
  const Outcome outcome = connector_.call("receive-dir", cached(access), {directory_ / "received"});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(read_tree(directory_ / "received"), tree), "");
  EXPECT_LE(lines_in(outcome.errors), 1U) << outcome.errors;
}

TEST_F(FullDiskCacheTest, ADiskThatBecomesReadOnlyIsNoErrorForTheReader) {
  const NginxServer server;
  const FileTree tree = data_set();
  write_tree(server.root(), tree);
  make_old(server.root());
  const fs::path mounted = mount_one({{"url", server.url()}});
  ASSERT_EQ(::mount("tmpfs", cache_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
  expect_all_read({mounted}, tree);
}

}  // namespace
}  // namespace red::testing
