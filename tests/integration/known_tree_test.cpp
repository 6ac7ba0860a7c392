// Mounts of trees that a listing describes beforehand.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "tests/integration/mount_fixture.h"
#include "tests/integration/ssh_mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/process.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string sha1_of(const fs::path& file) {
  const Outcome outcome = run({.arguments = {"/usr/bin/sha1sum", file.string()}});
  return "sha1$" + outcome.output.substr(0, 40);
}

Json listed_file(const fs::path& file) {
  return {{"class", "File"},
          {"basename", file.filename().string()},
          {"size", fs::file_size(file)},
          {"checksum", sha1_of(file)}};
}

/// All that lies in a local directory.
Json listing_of(const fs::path& directory) {
  Json listing = Json::array();
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.is_directory()) {
      listing.push_back({{"class", "Directory"},
                         {"basename", entry.path().filename().string()},
                         {"listing", listing_of(entry.path())}});
    } else {
      listing.push_back(listed_file(entry.path()));
    }
  }
  return listing;
}

/// Replaces a byte in the middle, and leaves the size and the name.
void damage(const fs::path& file) {
  std::string content = read_file(file);
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  write_file(file, content);
}

Outcome shell(const std::string& script) { return run({.arguments = {"/bin/sh", "-c", script}}); }

class KnownTree : public MountFixture {
 protected:
  Outcome mount_listed(const Json& listing) {
    return mount(Json{{"url", server_.url()}, {"listing", listing}});
  }

  NginxServer server_;
};

TEST_F(KnownTree, ItsMetadataCostsNoRequest) {
  FileTree tree;
  for (int i = 0; i < 200; ++i) {
    tree["d" + std::to_string(i % 10) + "/f" + std::to_string(i)] = std::string(100 + i, 'x');
  }
  write_tree(server_.root(), tree);
  ASSERT_THAT(mount_listed(listing_of(server_.root())), Succeeded());
  EXPECT_LE(server_.requests().size(), 1U) << "what proves that the mount works";
  const auto before = server_.requests().size();
  const std::string path = mount_.string();
  EXPECT_EQ(shell("find '" + path + "' -type f -size +0 | wc -l").output, "200\n");
  EXPECT_EQ(shell("ls -lR '" + path + "'").exit_code, 0);
  EXPECT_NE(shell("stat '" + path + "/nothing' '" + path + "/d1/nothing'").exit_code, 0);
  EXPECT_EQ(fs::file_size(mount_ / "d7/f17"), 117U);
  EXPECT_EQ(server_.requests().size(), before);
}

TEST_F(KnownTree, ShowsExactlyWhatIsListed) {
  write_tree(server_.root(), {{"listed", "content"}, {"hidden", "content"}, {"sub/file", "more"}});
  Json listing = Json::array({listed_file(server_.root() / "listed")});
  listing.push_back({{"class", "Directory"}, {"basename", "sub"}});
  ASSERT_THAT(mount_listed(listing), Succeeded());
  EXPECT_EQ(read_file(mount_ / "listed"), "content");
  EXPECT_FALSE(fs::exists(mount_ / "hidden"));
  EXPECT_TRUE(fs::is_directory(mount_ / "sub"));
  EXPECT_TRUE(fs::is_empty(mount_ / "sub")) << "a directory without a listing is empty";
}

TEST_F(KnownTree, NeedsNoIndexOfTheServer) {
  NginxServer server(NginxOptions{.autoindex = false});
  write_tree(server.root(), {{"sub/file", "content"}});
  ASSERT_THAT(mount(Json{{"url", server.url()}, {"listing", listing_of(server.root())}}),
              Succeeded());
  EXPECT_EQ(read_file(mount_ / "sub/file"), "content");
}

TEST_F(KnownTree, FilesThatAreRightAreDeliveredWhole) {
  FileTree tree{{"empty", ""}, {"small", "x"}, {"sub/big", random_bytes(5'000'001)}};
  write_tree(server_.root(), tree);
  ASSERT_THAT(mount_listed(listing_of(server_.root())), Succeeded());
  EXPECT_EQ(differences(read_tree(mount_), tree), "");
}

TEST_F(KnownTree, FilesThatAreLargerThanWhatIsProvedFirstAreDeliveredWhole) {
  write_file(server_.root() / "big", random_bytes(20'000'003));
  const Json access{{"url", server_.url()},
                    {"listing", listing_of(server_.root())},
                    {"cache", {{"memory", "8 MiB"}}}};
  ASSERT_THAT(mount(access), Succeeded());
  EXPECT_EQ(read_file(mount_ / "big"), read_file(server_.root() / "big"));
}

/// How programs read a file, each with the exit code that tells a failure.
class DamagedFile : public KnownTree {
 protected:
  void mount_damaged(std::size_t size, const Json& cache) {
    write_file(server_.root() / "file", random_bytes(size));
    const Json listing = listing_of(server_.root());
    copy_ = directory_ / "copy";
    damage(server_.root() / "file");
    fs::copy_file(server_.root() / "file", copy_);
    Json access{{"url", server_.url()}, {"listing", listing}};
    if (!cache.is_null()) access["cache"] = cache;
    ASSERT_THAT(mount(access), Succeeded());
  }
  std::string file() const { return (mount_ / "file").string(); }

  fs::path copy_;
};

TEST_F(DamagedFile, IsAnInputOutputErrorForEveryWayOfReading) {
  mount_damaged(3'000'000, {});
  const Outcome cat = shell("cat '" + file() + "'");
  EXPECT_NE(cat.exit_code, 0);
  EXPECT_EQ(cat.output, "");
  EXPECT_THAT(cat.errors, HasSubstr("Input/output error"));
  const Outcome cmp = shell("cmp '" + file() + "' '" + copy_.string() + "'");
  EXPECT_EQ(cmp.exit_code, 2) << cmp.errors;
  for (const char* how : {"bs=4096 skip=100 count=1", "bs=1M skip=1", "bs=64k skip=45"}) {
    EXPECT_NE(shell("dd if='" + file() + "' of=/dev/null " + how).exit_code, 0) << how;
  }
  EXPECT_EQ(read_at(file(), 1'000'000, 10).error_number, EIO);
  EXPECT_EQ(fs::file_size(file()), 3'000'000U) << "its name and size are still known";
}

TEST_F(DamagedFile, IsABusErrorForWhoMapsIt) {
  mount_damaged(3'000'000, {});
  const Outcome outcome =
      run({.arguments = {"/usr/bin/python3", "-c",
                         "import mmap, sys\n"
                         "file = open(sys.argv[1], 'rb')\n"
                         "print(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[2000000])",
                         file()}});
  EXPECT_EQ(outcome.exit_code, 128 + SIGBUS) << outcome.output;
}

TEST_F(DamagedFile, IsAnErrorAtTheEndIfItIsLarge) {
  mount_damaged(20'000'000, {{"memory", "8 MiB"}});
  const Outcome cat = shell("cat '" + file() + "' | wc -c");
  EXPECT_LT(std::stoull(cat.output), 20'000'000U);
  EXPECT_THAT(cat.errors, HasSubstr("Input/output error"));
  EXPECT_EQ(shell("cmp '" + file() + "' '" + copy_.string() + "'").exit_code, 2);
}

TEST_F(DamagedFile, IsAnErrorWithoutACache) {
  mount_damaged(3'000'000, false);
  const Outcome cat = shell("cat '" + file() + "'");
  EXPECT_NE(cat.exit_code, 0);
  EXPECT_LT(cat.output.size(), 3'000'000U);
}

TEST_F(DamagedFile, CanBeReadOnceTheServerHasTheRightOne) {
  const std::string content = random_bytes(200'000);
  write_file(server_.root() / "file", content);
  const Json listing = listing_of(server_.root());
  damage(server_.root() / "file");
  ASSERT_THAT(mount_listed(listing), Succeeded());
  EXPECT_EQ(read_at(mount_ / "file", 0, 10).error_number, EIO);
  write_file(server_.root() / "file", content);
  EXPECT_EQ(read_file(mount_ / "file"), content);
}

TEST_F(KnownTree, AnotherSizeOnTheServerIsAnInputOutputError) {
  write_tree(server_.root(), {{"shorter", "1234"}, {"longer", "123456"}, {"good", "12345"}});
  Json listing = Json::array({listed_file(server_.root() / "good")});
  for (const char* name : {"shorter", "longer"}) {
    listing.push_back({{"class", "File"}, {"basename", name}, {"size", 5}});
  }
  ASSERT_THAT(mount_listed(listing), Succeeded());
  EXPECT_EQ(read_at(mount_ / "shorter", 0, 10).error_number, EIO);
  EXPECT_EQ(read_at(mount_ / "longer", 0, 10).error_number, EIO);
  EXPECT_EQ(read_file(mount_ / "good"), "12345");
}

TEST_F(KnownTree, SizeThatIsNotListedIsAskedForOnce) {
  write_tree(server_.root(), {{"a", "12345"}});
  ASSERT_THAT(mount_listed(Json::parse(R"([{"class": "File", "basename": "a"}])")), Succeeded());
  const auto before = server_.requests().size();
  EXPECT_EQ(fs::file_size(mount_ / "a"), 5U);
  EXPECT_EQ(fs::file_size(mount_ / "a"), 5U);
  EXPECT_EQ(server_.requests().size(), before + 1);
  EXPECT_EQ(read_file(mount_ / "a"), "12345");
}

TEST_F(KnownTree, TimesDoNotMoveWhileFilesAreRead) {
  write_tree(server_.root(), {{"a", "12345"}});
  ASSERT_THAT(mount_listed(listing_of(server_.root())), Succeeded());
  struct stat before {};
  ASSERT_EQ(::stat((mount_ / "a").c_str(), &before), 0);
  EXPECT_EQ(read_file(mount_ / "a"), "12345");
  struct stat after {};
  ASSERT_EQ(::stat((mount_ / "a").c_str(), &after), 0);
  EXPECT_EQ(before.st_mtime, after.st_mtime);
}

TEST_F(KnownTree, ListingMayBeAFileThatIsGoneOnceTheMountIsThere) {
  write_tree(server_.root(), {{"a", "12345"}});
  const std::string file = directory_ / "listing.json";
  write_file(file, listing_of(server_.root()).dump());
  ASSERT_THAT(mount(Json{{"url", server_.url()}, {"listing", file}}), Succeeded());
  fs::remove(file);
  EXPECT_EQ(read_file(mount_ / "a"), "12345");
}

TEST_F(KnownTree, DoesNotMountWhatIsNotThere) {
  const Json listing = Json::parse(R"([{"class": "File", "basename": "missing", "size": 5}])");
  const Outcome outcome = mount_listed(listing);
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("missing"));
  const Json access{{"url", server_.url()}, {"listing", listing}};
  EXPECT_THAT(connector_.call("mount-dir-validate", access), FailedWith(exit_code::kNotFound));
  write_file(server_.root() / "missing", "12345");
  EXPECT_THAT(connector_.call("mount-dir-validate", access), Succeeded());
}

class KnownSshTree : public SshMountFixture {};

TEST_F(KnownSshTree, IsShownAndVerifiedOverSftp) {
  const OpenSshServer server;
  const FileTree tree{{"good", random_bytes(300'000)}, {"sub/bad", random_bytes(300'000)}};
  serve(server, tree);
  Json access = access_to(server, "dirPath", server.path_of(""));
  access["listing"] = listing_of(server.root());
  damage(server.root() / "sub/bad");
  write_file(server.root() / "hidden", "x");
  ASSERT_THAT(mount(access), Succeeded());
  EXPECT_EQ(read_file(mount_ / "good"), tree.at("good"));
  EXPECT_FALSE(fs::exists(mount_ / "hidden"));
  EXPECT_EQ(read_at(mount_ / "sub/bad", 0, 10).error_number, EIO);
}

TEST_F(KnownSshTree, CannotBeWritable) {
  const OpenSshServer server;
  Json access = writable(access_to(server, "dirPath", server.path_of("")));
  access["listing"] = Json::array();
  const Outcome outcome = mount(access);
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors, HasSubstr("/writable: contradicts listing"));
}

}  // namespace
}  // namespace red::testing
