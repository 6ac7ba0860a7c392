// What a read-only mount over SFTP shows, and how it reads.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <future>
#include <random>
#include <string>
#include <vector>

#include "tests/integration/ssh_mount_fixture.h"
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
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

class SshMountFrom : public SshMountFixture, public ::testing::WithParamInterface<SshServerKind> {
 protected:
  const fs::path& root() const { return server_->root(); }
  void serve(const FileTree& tree) { testing::serve(*server_, tree); }

  std::unique_ptr<SshServer> server_ = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(Every, SshMountFrom, ::testing::ValuesIn(ssh_server_kinds()),
                         kNameOfServerKind);

// --- The tree ------------------------------------------------------------------------------------

TEST_P(SshMountFrom, ShowsEveryNameAndByte) {
  FileTree tree = nasty_tree(hard_names());
  tree["empty file"] = "";
  tree["empty directory/"] = "";
  tree["big.bin"] = random_bytes(5'000'001);
  serve(tree);
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  EXPECT_EQ(differences(read_tree(mount_), tree), "");
  EXPECT_EQ(names_in(mount_), names_in(root()));
}

TEST_P(SshMountFrom, ShowsTrueModesSizesAndTimesAndTheCallerAsOwner) {
  const std::vector<std::pair<std::string, mode_t>> files = {
      {"read only", 0444}, {"private", 0600}, {"script", 0755}, {"group", 0640}, {"odd", 0421}};
  const std::vector<std::pair<std::string, mode_t>> directories = {
      {"open directory", 0777}, {"private directory", 0700}, {"group directory", 0750}};
  FileTree tree;
  std::size_t size = 1;
  for (const auto& [name, mode] : files) tree[name] = std::string(size *= 37, 'x');
  for (const auto& [name, mode] : directories) tree[name + "/file"] = "x";
  serve(tree);
  time_t time = kLongAgo;
  for (const auto& all : {files, directories}) {
    for (const auto& [name, mode] : all) {
      set_mode(root() / name, mode);
      set_time(root() / name, time += 1'000'001);
    }
  }
  set_time(root() / "odd", 3'000'000'000);
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  for (const auto& all : {files, directories}) {
    for (const auto& [name, mode] : all) {
      const struct stat shown = status_of(mount_ / name);
      const struct stat real = status_of(root() / name);
      EXPECT_EQ(shown.st_mode, real.st_mode) << name;
      EXPECT_EQ(shown.st_mtime, real.st_mtime) << name;
      if (S_ISREG(real.st_mode)) {
        EXPECT_EQ(shown.st_size, real.st_size) << name;
      }
      EXPECT_EQ(shown.st_uid, ::getuid()) << name;
      EXPECT_EQ(shown.st_gid, ::getgid()) << name;
    }
  }
  EXPECT_EQ(mode_of(mount_), mode_of(root()));
}

TEST_P(SshMountFrom, WritesGiveReadOnlyFileSystem) {
  serve({{"file", "content"}, {"sub/file", "content"}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  const std::string file = mount_ / "file";
  const std::string fresh = mount_ / "new";
  EXPECT_EQ(error_of(::open(file.c_str(), O_WRONLY | O_CLOEXEC)), EROFS);
  EXPECT_EQ(error_of(::open(file.c_str(), O_RDWR | O_CLOEXEC)), EROFS);
  EXPECT_EQ(error_of(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)), EROFS);
  EXPECT_EQ(error_of(::truncate(file.c_str(), 0)), EROFS);
  EXPECT_EQ(error_of(::unlink(file.c_str())), EROFS);
  EXPECT_EQ(error_of(::mkdir(fresh.c_str(), 0755)), EROFS);
  EXPECT_EQ(error_of(::rmdir((mount_ / "sub").c_str())), EROFS);
  EXPECT_EQ(error_of(::rename(file.c_str(), fresh.c_str())), EROFS);
  EXPECT_EQ(error_of(::symlink("x", fresh.c_str())), EROFS);
  EXPECT_EQ(error_of(::link(file.c_str(), fresh.c_str())), EROFS);
  EXPECT_EQ(error_of(::chmod(file.c_str(), 0644)), EROFS);
  EXPECT_EQ(error_of(::utimes(file.c_str(), nullptr)), EROFS);
  EXPECT_EQ(differences(read_tree(root()), {{"file", "content"}, {"sub/file", "content"}}), "");
}

/// Slow because most of these servers are, and because the files must be made first.
class SlowSshMountFrom : public SshMountFrom {
 protected:
  void list_many() {
    fs::create_directory(root() / "many");
    for (int i = 0; i < 100'000; ++i) {
      const fs::path file = root() / ("many/entry number " + std::to_string(i));
      const FileDescriptor created(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      ASSERT_TRUE(created);
    }
    ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
    EXPECT_TRUE(names_in(mount_ / "many") == names_in(root() / "many"));
    EXPECT_TRUE(names_in(mount_ / "many") == names_in(root() / "many")) << "the second time";
    EXPECT_EQ(status_of(mount_ / "many/entry number 99999").st_size, 0);
  }
};

TEST_P(SlowSshMountFrom, ListsAHundredThousandEntries) { list_many(); }

INSTANTIATE_TEST_SUITE_P(Slow, SlowSshMountFrom, ::testing::ValuesIn(ssh_server_kinds()),
                         kNameOfServerKind);

class SshMountFromOne : public SlowSshMountFrom {};

TEST_P(SshMountFromOne, ListsAHundredThousandEntries) { list_many(); }

INSTANTIATE_TEST_SUITE_P(First, SshMountFromOne, ::testing::Values(ssh_server_kinds().front()),
                         kNameOfServerKind);

// --- Bytes ---------------------------------------------------------------------------------------

TEST_P(SshMountFrom, ReadsAnyPartOfAFile) {
  const std::string content = random_bytes(10'000'000);
  serve({{"file", content}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  for (const std::size_t offset : {0, 1, 32'767, 65'536, 1'048'575, 5'000'000, 9'999'999}) {
    for (const std::size_t count : {1, 4096, 131'073, 3'000'000}) {
      EXPECT_TRUE(read_at(mount_ / "file", offset, count).bytes == content.substr(offset, count))
          << count << " at " << offset;
    }
  }
  EXPECT_EQ(read_at(mount_ / "file", 10'000'000, 10).bytes, "");
  EXPECT_EQ(read_at(mount_ / "file", 20'000'000, 10).bytes, "");
  EXPECT_TRUE(read_file(mount_ / "file") == content);
}

TEST_P(SshMountFrom, ManyReadersAtRandomPlacesGetTheirOwnBytes) {
  const std::vector<std::string> contents = {random_bytes(16 << 20, 1), random_bytes(16 << 20, 2)};
  serve({{"file 0", contents[0]}, {"file 1", contents[1]}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  std::vector<std::future<std::string>> readers;
  for (unsigned reader = 0; reader < 8; ++reader) {
    readers.push_back(std::async(std::launch::async, [&, reader]() -> std::string {
      std::mt19937_64 random(reader);
      const std::string& content = contents[reader % 2];
      const FileDescriptor file(open_for_reading(mount_ / ("file " + std::to_string(reader % 2))));
      for (int i = 0; i < 60; ++i) {
        const std::size_t offset = random() % content.size();
        const std::size_t count = 1 + random() % 300'000;
        const ReadResult result = read_at(file.get(), offset, count);
        if (result.error_number != 0 || result.bytes != content.substr(offset, count)) {
          return std::to_string(count) + " bytes at " + std::to_string(offset) + ": errno " +
                 std::to_string(result.error_number);
        }
      }
      return "";
    }));
  }
  for (auto& reader : readers) EXPECT_EQ(reader.get(), "");
}

TEST_P(SshMountFrom, ReadsBeyondFourGibibytesOfASparseFile) {
  const std::uint64_t size = (std::uint64_t{6} << 30) + 12'345;
  const std::string piece = random_bytes(300'000);
  const std::vector<std::uint64_t> places = {100, (std::uint64_t{1} << 31) - 150'000,
                                             (std::uint64_t{1} << 32) - 150'000,
                                             (std::uint64_t{5} << 30) + 1, size - piece.size()};
  serve({{"big", ""}});
  fs::resize_file(root() / "big", size);
  {
    const FileDescriptor big(::open((root() / "big").c_str(), O_WRONLY | O_CLOEXEC));
    for (const std::uint64_t place : places) {
      ASSERT_EQ(::pwrite(big.get(), piece.data(), piece.size(), static_cast<off_t>(place)),
                static_cast<ssize_t>(piece.size()));
    }
  }
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  EXPECT_EQ(fs::file_size(mount_ / "big"), size);
  for (const std::uint64_t place : places) {
    EXPECT_TRUE(read_at(mount_ / "big", place, piece.size()).bytes == piece) << place;
  }
  EXPECT_EQ(read_at(mount_ / "big", std::uint64_t{3} << 30, 5000).bytes, std::string(5000, '\0'));
  EXPECT_EQ(read_at(mount_ / "big", size, 10).bytes, "");
}

// --- Symbolic links ------------------------------------------------------------------------------

/// A mounted directory "tree" with others beside it on the server. Where links lead out of it, this
/// machine has something as well, which nobody must ever see.
class SshMountLinks : public SshMountFrom {
 protected:
  void SetUp() override {
    SshMountFrom::SetUp();
    serve({{"tree/file", "file"},
           {"tree/sub/inner", "inner"},
           {"tree/sub/deep/er/bottom", "bottom"},
           {"tree/other/file", "not this"},
           {"outside/file", "outside"},
           {"outside/below/file", "below"},
           {"other/file", "other"}});
    write_tree(directory_.path(), {{"file", kTrap},
                                   {"nowhere", kTrap},
                                   {"outside/file", kTrap},
                                   {"outside/below/file", kTrap},
                                   {"other/file", kTrap},
                                   {"tree/file", kTrap},
                                   {"tree/sub/inner", kTrap}});
  }
  void link(const std::string& target, const std::string& name) {
    fs::create_symlink(target, root() / name);
  }
  Outcome mount_tree() { return mount_of(*server_, "tree"); }

  /// Shown as a link, and where it leads, links and all, is `place` in the mount.
  void expect_link_to(const std::string& name, const std::string& place) {
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(mount_ / name))) << name;
    std::error_code error;
    const fs::path target = fs::canonical(mount_ / name, error);
    EXPECT_FALSE(error) << name << ": " << error.message();
    EXPECT_EQ(target, place.empty() ? mount_ : mount_ / place) << name;
  }
  /// Not shown as a link.
  void expect_file(const std::string& name, const std::string& content) {
    const struct stat status = status_of(mount_ / name);
    EXPECT_TRUE(S_ISREG(status.st_mode)) << name;
    EXPECT_EQ(status.st_size, static_cast<off_t>(content.size())) << name;
    EXPECT_EQ(read_at(mount_ / name, 0, 1000).bytes, content) << name;
  }
  /// Whatever it is shown as, it opens neither here nor there.
  void expect_to_open_nothing(const std::string& name) {
    const ReadResult result = read_at(mount_ / name, 0, 1000);
    EXPECT_EQ(result.bytes, "") << name;
    EXPECT_THAT(result.error_number, AnyOf(ENOENT, ELOOP)) << name;
  }
  /// No link of the tree leads out of the mount, nothing shows what only this machine has, and a
  /// walk ends.
  void expect_nothing_local() {
    int entries = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(mount_, error), end; entry != end && !error;
         entry.increment(error)) {
      ASSERT_LT(++entries, 5000) << "the tree has no end: " << entry->path();
      std::error_code ignored;
      const fs::path target = fs::canonical(entry->path(), ignored);
      if (!ignored) {
        EXPECT_TRUE(target.string().starts_with(mount_.string())) << entry->path();
      }
      if (!fs::is_directory(entry->path(), ignored)) {
        EXPECT_NE(read_at(entry->path(), 0, 1000).bytes, kTrap) << entry->path();
      }
    }
    EXPECT_FALSE(error) << error.message();
  }

  static constexpr const char* kTrap = "LOCAL FILE";
};

INSTANTIATE_TEST_SUITE_P(Every, SshMountLinks, ::testing::ValuesIn(ssh_server_kinds()),
                         kNameOfServerKind);

TEST_P(SshMountLinks, ThatStayInsideAreLinks) {
  link("file", "tree/to file");
  link("sub/deep/../inner", "tree/to inner");
  link("../file", "tree/sub/up");
  link("sub", "tree/to directory");
  link("to directory/deep", "tree/through a link");
  link(".", "tree/to the top");
  link("..", "tree/sub/to the top");
  link("to inner", "tree/link of link");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  expect_link_to("to file", "file");
  expect_link_to("to inner", "sub/inner");
  expect_link_to("sub/up", "file");
  expect_link_to("to directory", "sub");
  expect_link_to("through a link", "sub/deep");
  expect_link_to("to the top", "");
  expect_link_to("sub/to the top", "");
  expect_link_to("link of link", "sub/inner");
  EXPECT_EQ(fs::read_symlink(mount_ / "to file").lexically_normal(), "file");
  EXPECT_EQ(read_file(mount_ / "through a link/er/bottom"), "bottom");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ThatAreAbsoluteAreMadeToLeadInside) {
  link(server_->path_of("tree/sub/inner"), "tree/to file");
  link(server_->path_of("tree/sub"), "tree/sub/deep/to directory");
  link(server_->path_of("tree"), "tree/sub/to the top");
  link(server_->path_of("tree/sub/../file"), "tree/with dots");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  expect_link_to("to file", "sub/inner");
  expect_link_to("sub/deep/to directory", "sub");
  expect_link_to("sub/to the top", "");
  expect_link_to("with dots", "file");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ThatLeadOutAreWhatTheyLeadToOnTheServer) {
  link("../outside/file", "tree/file outside");
  link("../outside", "tree/directory outside");
  link(server_->path_of("outside/file"), "tree/sub/absolute file outside");
  link(server_->path_of("outside"), "tree/sub/absolute directory outside");
  link("file outside", "tree/link of link");
  link("../../outside/below", "tree/sub/below");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  expect_file("file outside", "outside");
  expect_file("sub/absolute file outside", "outside");
  for (const char* name : {"directory outside", "sub/absolute directory outside"}) {
    EXPECT_TRUE(S_ISDIR(status_of(mount_ / name).st_mode)) << name;
    EXPECT_THAT(names_in(mount_ / name), ElementsAre("below", "file"));
    expect_file(std::string(name) + "/file", "outside");
    expect_file(std::string(name) + "/below/file", "below");
  }
  EXPECT_EQ(read_file(mount_ / "link of link"), "outside");
  expect_file("sub/below/file", "below");
  expect_nothing_local();
}

TEST_P(SshMountLinks, OfDirectoriesOutsideLeadWhereTheyDoOnTheServer) {
  link("../outside", "tree/out");
  link("../other/file", "outside/sibling");  // not tree/other/file, where its text would lead
  link("../tree/sub/inner", "outside/back inside");
  link("file", "outside/beside");
  link("..", "outside/below/up");
  link(server_->path_of("other"), "outside/absolute");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  EXPECT_EQ(read_at(mount_ / "out/sibling", 0, 1000).bytes, "other");
  EXPECT_EQ(read_at(mount_ / "out/back inside", 0, 1000).bytes, "inner");
  EXPECT_EQ(read_at(mount_ / "out/beside", 0, 1000).bytes, "outside");
  EXPECT_EQ(read_at(mount_ / "out/below/up/file", 0, 1000).bytes, "outside");
  EXPECT_EQ(read_at(mount_ / "out/absolute/file", 0, 1000).bytes, "other");
  expect_nothing_local();
}

TEST_P(SshMountLinks, NeverLeadToLocalFilesByDetours) {
  link(".", "tree/top");
  link("..", "tree/sub/top");
  link(server_->path_of("tree"), "tree/absolute top");
  link("../outside", "tree/out");
  link("sub/deep", "tree/deep");
  link("top/../outside/file", "tree/by the top");
  link("sub/top/../outside/file", "tree/by a longer way");
  link("absolute top/../outside/file", "tree/by the absolute top");
  link("out/../other/file", "tree/by a directory outside");
  link("deep/../inner", "tree/stays inside");
  link("deep/../../../outside/file", "tree/by depth");
  link("../tree/sub/inner", "tree/out and in");
  link("top/top/top/../../tree/file", "tree/too far");
  link("top/../outside", "tree/directory by the top");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  EXPECT_EQ(read_at(mount_ / "stays inside", 0, 1000).bytes, "inner");
  EXPECT_EQ(read_at(mount_ / "out and in", 0, 1000).bytes, "inner");
  // ProFTPD takes ".." out of a link's text before it follows what stands before: to any client
  // these links lead elsewhere or nowhere.
  if (GetParam().name != "ProFtpd") {
    for (const char* name : {"by the top", "by a longer way", "by the absolute top", "by depth"}) {
      EXPECT_EQ(read_at(mount_ / name, 0, 1000).bytes, "outside") << name;
    }
    EXPECT_EQ(read_at(mount_ / "by a directory outside", 0, 1000).bytes, "other");
    EXPECT_EQ(read_at(mount_ / "directory by the top/file", 0, 1000).bytes, "outside");
  }
  expect_to_open_nothing("too far");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ThatDangleOpenNothing) {
  link("nowhere", "tree/dangling");
  link("../nowhere", "tree/dangling outside");
  link("../../nowhere", "tree/sub/dangling outside");
  link("sub/deep/nowhere/at all", "tree/dangling below");
  link(server_->path_of("nowhere"), "tree/absolutely dangling");
  link("/no such directory/nowhere", "tree/dangling at the root");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  EXPECT_TRUE(fs::is_symlink(fs::symlink_status(mount_ / "dangling")));
  for (const char* name : {"dangling", "dangling outside", "sub/dangling outside", "dangling below",
                           "absolutely dangling", "dangling at the root"}) {
    expect_to_open_nothing(name);
  }
  EXPECT_EQ(read_file(mount_ / "file"), "file");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ThatMustNotBeFollowedHarmNobody) {
  fs::create_directory(root() / "closed");
  write_file(root() / "closed/file", "closed");
  link("../closed/file", "tree/forbidden");
  server_->own_root();
  fs::permissions(root() / "closed", fs::perms::none);
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  EXPECT_EQ(read_file(mount_ / "file"), "file");
  EXPECT_EQ(read_at(mount_ / "forbidden", 0, 1000).bytes, "");
  const fs::path local = directory_ / "received";
  EXPECT_THAT(connector_.call("receive-dir",
                              access_to(*server_, "dirPath", server_->path_of("tree")), {local}),
              Succeeded());
  EXPECT_EQ(read_file(local / "file"), "file");
  EXPECT_FALSE(fs::exists(local / "forbidden"));
  fs::permissions(root() / "closed", fs::perms::owner_all);
}

TEST_P(SshMountLinks, ThatGoRoundInCirclesOpenNothingAndHarmNobody) {
  link("itself", "tree/itself");
  link("pong", "tree/ping");
  link("ping", "tree/pong");
  link("circle/file", "tree/circle");
  link("../outside/circle", "tree/circle outside");
  link("../tree/circle outside", "outside/circle");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  for (const char* name : {"itself", "ping", "pong", "circle", "circle outside"}) {
    expect_to_open_nothing(name);
  }
  EXPECT_EQ(read_file(mount_ / "file"), "file");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ToADirectoryAboveGiveATreeThatEnds) {
  link("..", "tree/above");
  link("../..", "tree/sub/above");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  EXPECT_EQ(read_file(mount_ / "above/outside/file"), "outside");
  EXPECT_EQ(read_file(mount_ / "sub/above/other/file"), "other");
  expect_nothing_local();
}

TEST_P(SshMountLinks, ToAbsolutePathsThatOnlyThisMachineHasOpenNothing) {
  if (GetParam().name != "OpenSshChroot") GTEST_SKIP() << "the server sees this machine's files";
  link(directory_ / "file", "tree/trap");
  link(directory_.path(), "tree/directory of traps");
  link("/etc/passwd", "tree/passwd");
  ASSERT_THAT(mount_tree(), Succeeded()) << server_->log();
  for (const char* name : {"trap", "directory of traps/file", "passwd"}) {
    expect_to_open_nothing(name);
  }
  expect_nothing_local();
}

// --- Files that change ---------------------------------------------------------------------------

class SshMountChangingFile : public SshMountFrom {
 protected:
  void SetUp() override {
    SshMountFrom::SetUp();
    serve({{"file", first_}});
    set_time(root() / "file", kLongAgo);
    ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  }
  /// Reads all through a descriptor that has seen the first version: that one or an error.
  /// Whether there was an error.
  bool is_stale_or_old(int descriptor) {
    const ReadResult far = read_at(descriptor, 15'000'000, 1000);
    if (far.error_number == 0) {
      EXPECT_TRUE(far.bytes == first_.substr(15'000'000, 1000));
    }
    const ReadResult all = read_at(descriptor, 0, first_.size());
    EXPECT_TRUE(first_.starts_with(all.bytes)) << "a mixture";
    EXPECT_THAT(all.error_number, AnyOf(0, ESTALE));
    EXPECT_THAT(far.error_number, AnyOf(0, ESTALE));
    if (all.error_number == 0) {
      EXPECT_EQ(all.bytes.size(), first_.size());
    }
    return far.error_number != 0 || all.error_number != 0;
  }
  void expect_the_new_one() {
    const FileDescriptor anew(open_for_reading(mount_ / "file"));
    EXPECT_TRUE(read_at(anew.get(), 15'000'000, 1000).bytes == second_.substr(15'000'000, 1000));
    EXPECT_TRUE(read_at(anew.get(), 0, 30'000'000).bytes == second_);
  }

  const std::string first_ = random_bytes(20'000'000, 1);
  const std::string second_ = random_bytes(20'000'000, 2);
};

INSTANTIATE_TEST_SUITE_P(Every, SshMountChangingFile, ::testing::ValuesIn(ssh_server_kinds()),
                         kNameOfServerKind);

TEST_P(SshMountChangingFile, ThatIsWrittenInPlaceIsNeverAMixture) {
  {
    const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
    EXPECT_TRUE(read_at(descriptor.get(), 0, 1000).bytes == first_.substr(0, 1000));
    write_file(root() / "file", second_);
    EXPECT_TRUE(is_stale_or_old(descriptor.get())) << "nobody has the old bytes any more";
  }
  expect_the_new_one();
}

TEST_P(SshMountChangingFile, ThatIsReplacedIsNeverAMixture) {
  bool stale = false;
  {
    const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
    EXPECT_TRUE(read_at(descriptor.get(), 0, 1000).bytes == first_.substr(0, 1000));
    serve({{"new", second_}});
    fs::rename(root() / "new", root() / "file");
    stale = is_stale_or_old(descriptor.get());
  }
  if (stale) {
    expect_the_new_one();
  } else {
    const std::string anew = read_file(mount_ / "file");
    EXPECT_TRUE(anew == first_ || anew == second_) << "a mixture";
  }
}

TEST_P(SshMountChangingFile, ThatIsRemovedGivesItsBytesOrAnError) {
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_at(descriptor.get(), 0, 1000).bytes == first_.substr(0, 1000));
  fs::remove(root() / "file");
  const ReadResult rest = read_at(descriptor.get(), 0, first_.size());
  EXPECT_TRUE(first_.starts_with(rest.bytes));
  EXPECT_TRUE(rest.error_number != 0 || rest.bytes.size() == first_.size());
}

// --- Servers that go away ------------------------------------------------------------------------

TEST_P(SshMountFrom, AReaderDoesNotNoticeThatTheServerIsRestarted) {
  const std::string content = random_bytes(40'000'000);
  serve({{"file", content}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  std::string read;
  int parts = 0;
  while (read.size() < content.size()) {
    const ReadResult part = read_at(descriptor.get(), read.size(), 4'000'000);
    ASSERT_EQ(part.error_number, 0) << std::strerror(part.error_number) << "\n" << server_->log();
    ASSERT_FALSE(part.bytes.empty());
    read += part.bytes;
    if (++parts % 4 != 1) continue;
    server_->stop();
    auto next = std::async(std::launch::async,
                           [&] { return read_at(descriptor.get(), read.size(), 4'000'000); });
    next.wait_for(milliseconds(300));
    server_->start();
    const ReadResult after = next.get();
    ASSERT_EQ(after.error_number, 0) << std::strerror(after.error_number);
    read += after.bytes;
  }
  EXPECT_TRUE(read == content);
  EXPECT_THAT(names_in(mount_), ElementsAre("file"));
}

/// A link to the server that can fail or be long.
class SshMountOverABadLink : public SshMountFixture {
 protected:
  void SetUp() override {
    SshMountFixture::SetUp();
    serve(server_, {{"file", content_}});
  }
  Outcome mount_through(const Relay& relay) {
    Json access = access_to(server_, "dirPath", server_.path_of(""));
    access["port"] = relay.port();
    return mount(access);
  }

  const std::string content_ = random_bytes(40'000'000);
  OpenSshServer server_;
};

TEST_F(SshMountOverABadLink, AReaderDoesNotNoticeThatConnectionsAreCut) {
  Relay relay(server_.port());
  ASSERT_THAT(mount_through(relay), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_while_cutting(relay, descriptor.get(), content_.size()) == content_);
}

TEST_F(SshMountOverABadLink, AKilledReaderDiesAtOnceWhateverTheServerDoes) {
  Relay relay(server_.port());
  ASSERT_THAT(mount_through(relay), Succeeded());
  EXPECT_EQ(status_of(mount_ / "file").st_size, static_cast<off_t>(content_.size()));
  relay.freeze();
  Process reader({.arguments = {"/bin/cat", mount_ / "file"}}, directory_ / "out");
  ASSERT_TRUE(eventually([&] { return has_open(reader.pid(), mount_ / "file"); }));
  EXPECT_FALSE(reader.wait(milliseconds(500)));
  const auto start = std::chrono::steady_clock::now();
  reader.signal(SIGKILL);
  EXPECT_TRUE(reader.wait(seconds(5)));
  EXPECT_LT(since(start).count(), 1000);
}

TEST_F(SshMountOverABadLink, AFrozenLinkThatThawsGoesOn) {
  Relay relay(server_.port());
  ASSERT_THAT(mount_through(relay), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  relay.freeze();
  auto reading = std::async(std::launch::async,
                            [&] { return read_at(descriptor.get(), 1'000'000, 5'000'000); });
  EXPECT_EQ(reading.wait_for(seconds(2)), std::future_status::timeout);
  relay.recover();
  ASSERT_EQ(reading.wait_for(seconds(15)), std::future_status::ready);
  EXPECT_TRUE(reading.get().bytes == content_.substr(1'000'000, 5'000'000));
}

TEST_F(SshMountOverABadLink, AReadFailsAfterThirtySecondsAndTheFileIsUsableAgainAfterwards) {
  Relay relay(server_.port());
  ASSERT_THAT(mount_through(relay), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_at(descriptor.get(), 0, 1000).bytes == content_.substr(0, 1000));
  relay.refuse();
  const auto start = std::chrono::steady_clock::now();
  const ReadResult failed = read_at(descriptor.get(), 30'000'000, 1000);
  EXPECT_EQ(failed.error_number, EIO);
  EXPECT_GE(since(start).count(), 25'000);
  EXPECT_LE(since(start).count(), 36'000);
  relay.recover();
  EXPECT_TRUE(eventually(
      [&] {
        return read_at(descriptor.get(), 30'000'000, 1000).bytes ==
               content_.substr(30'000'000, 1000);
      },
      seconds(15)));
}

TEST_F(SshMountOverABadLink, AListingTellsAllAttributesOfAThousandFiles) {
  FileTree tree;
  for (int i = 0; i < 1000; ++i) {
    tree["many/file number " + std::to_string(i)] = std::string(static_cast<std::size_t>(i), 'x');
  }
  serve(server_, tree);
  Relay relay(server_.port(), milliseconds(20));
  ASSERT_THAT(mount_through(relay), Succeeded());
  const auto start = std::chrono::steady_clock::now();
  const Outcome names = run({.arguments = {"/bin/ls", "-f", mount_ / "many"}});
  EXPECT_EQ(lines_in(names.output), 1002u);
  const std::uint64_t received = relay.bytes_to_client();
  const Outcome all = run({.arguments = {"/bin/ls", "-l", mount_ / "many"}});
  EXPECT_EQ(lines_in(all.output), 1001u) << all.errors;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(status_of(mount_ / "many" / ("file number " + std::to_string(i))).st_size, i);
  }
  // An answer takes about a hundred bytes. A second listing would be no request per name.
  EXPECT_LT(relay.bytes_to_client() - received, 20'000u) << "the listing has the attributes";
  EXPECT_LT(since(start).count(), 10'000);
}

// --- The end -------------------------------------------------------------------------------------

TEST_P(SshMountFrom, UmountDirLeavesNothing) {
  serve({{"file", random_bytes(2'000'000)}, {"sub/file", "x"}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  const FileTree before = read_tree(mount_);
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.output + outcome.errors, "");
  EXPECT_LT(outcome.duration.count(), 2000);
  EXPECT_THAT(connector_.processes(), IsEmpty());
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_FALSE(fs::exists(mount_));
  EXPECT_EQ(differences(read_tree(root()), before), "");
}

TEST_P(SshMountFrom, UmountDirTakesNoLongerWithoutTheServer) {
  serve({{"file", "content"}});
  ASSERT_THAT(mount_of(*server_), Succeeded()) << server_->log();
  EXPECT_EQ(read_file(mount_ / "file"), "content");
  server_->stop();
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_LT(outcome.duration.count(), 3000);
}

TEST_P(SshMountFrom, WhatCannotBeMountedIsToldByTheCommand) {
  serve({{"file", "content"}});
  EXPECT_THAT(mount_of(*server_, "missing"), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(mount_of(*server_, "file"), Failed());
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_FALSE(fs::exists(root() / "missing"));
  EXPECT_THAT(connector_.processes(), IsEmpty());
}

TEST_P(SshMountFrom, RelativePathsStartInTheHomeDirectory) {
  serve({{"data/file", "content"}});
  for (const char* path : {"data", "~/data", "./data/"}) {
    ASSERT_THAT(mount(access_to(*server_, "dirPath", path)), Succeeded()) << path;
    EXPECT_EQ(read_file(mount_ / "file"), "content") << path;
    ASSERT_THAT(umount(), Succeeded());
  }
}

}  // namespace
}  // namespace red::testing
