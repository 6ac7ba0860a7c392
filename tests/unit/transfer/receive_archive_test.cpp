#include "transfer/receive_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/remote/retry.h"
#include "tests/fakes/counting_progress.h"
#include "tests/fakes/fake_store.h"
#include "tests/support/archive_builder.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"
#include "transfer/expansion_limit.h"
#include "transfer/member_path.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::compressed;
using testing::CountingProgress;
using testing::differences;
using testing::FakeAnswer;
using testing::FakeRead;
using testing::FakeStore;
using testing::FileTree;
using testing::names_in;
using testing::random_bytes;
using testing::read_file;
using testing::read_tree;
using testing::TarBuilder;
using testing::TemporaryDirectory;
using testing::write_file;
using testing::write_tree;
using testing::zip_of;
using testing::ZipMember;

constexpr std::array kTarFormats{ArchiveFormat::Tar, ArchiveFormat::Gztar, ArchiveFormat::Bztar,
                                 ArchiveFormat::Xztar};

class ReceiveArchive : public ::testing::Test {
 protected:
  void serve(std::string archive) { store_.set_file("", std::move(archive)); }

  void receive(ArchiveFormat format, const Listing* listing = nullptr) {
    receive_archive(store_, format, target(), listing, progress_, {});
  }
  void receive_tar(const std::string& archive, const Listing* listing = nullptr) {
    serve(archive);
    receive(ArchiveFormat::Tar, listing);
  }
  void receive_zip(const std::vector<ZipMember>& members) {
    serve(zip_of(members));
    receive(ArchiveFormat::Zip);
  }

  static Error error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return {ErrorKind::Internal, "no error"};
  }
  Error failure(ArchiveFormat format, const Listing* listing = nullptr) {
    return error_of([&] { receive(format, listing); });
  }
  Error tar_failure(const std::string& archive, const Listing* listing = nullptr) {
    return error_of([&] { receive_tar(archive, listing); });
  }
  std::string fault_of(const TarBuilder& builder) {
    const Error error = tar_failure(builder.archive());
    EXPECT_EQ(error.kind(), ErrorKind::Protocol) << error.message();
    EXPECT_TRUE(left_nothing());
    const std::string place = "receiving " + store_.location({}) + ": ";
    EXPECT_TRUE(error.message().starts_with(place)) << error.message();
    return error.message().substr(std::min(place.size(), error.message().size()));
  }

  fs::path target() const { return directory_ / "target"; }
  FileTree received() const { return read_tree(target()); }
  bool left_nothing() const { return names_in(directory_.path()).empty(); }
  mode_t mode_of(const fs::path& path) const {
    struct stat status {};
    EXPECT_EQ(::lstat((target() / path).c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
  }
  std::int64_t time_of(const fs::path& path) const {
    struct stat status {};
    EXPECT_EQ(::lstat((target() / path).c_str(), &status), 0) << path;
    return status.st_mtim.tv_sec;
  }

  TemporaryDirectory directory_;
  FakeStore store_;
  CountingProgress progress_;
};

// --- What is unpacked
// ------------------------------------------------------------------------------

TarBuilder small_tree() {
  TarBuilder tar;
  tar.directory("./").directory("./empty").file("./a", "content of a").file("./d/e/f", "deep");
  return tar;
}
const FileTree kSmallTree{{"empty/", ""}, {"a", "content of a"}, {"d/e/f", "deep"}};

TEST_F(ReceiveArchive, UnpacksTarInEveryCompression) {
  for (const ArchiveFormat format : kTarFormats) {
    serve(compressed(format, small_tree().archive()));
    receive(format);
    EXPECT_EQ(differences(received(), kSmallTree), "");
    fs::remove_all(target());
  }
}

TEST_F(ReceiveArchive, UnpacksZip) {
  receive_zip({{"empty/", "", 040755}, {"a", "content of a"}, {"d/e/f", "deep"}});
  EXPECT_EQ(differences(received(), kSmallTree), "");
}

TEST_F(ReceiveArchive, UnpacksArchivesWithoutMembers) {
  receive_tar(TarBuilder().archive());
  EXPECT_TRUE(names_in(target()).empty());
  fs::remove_all(target());
  receive_zip({});
  EXPECT_TRUE(names_in(target()).empty());
}

TEST_F(ReceiveArchive, TakesAnExistingTargetAndAParentOfIt) {
  fs::create_directory(target());
  receive_tar(small_tree().archive());
  EXPECT_EQ(differences(received(), kSmallTree), "");
}

TEST_F(ReceiveArchive, DoesNotMakeMoreThanTheLastComponentOfTheTarget) {
  serve(small_tree().archive());
  const Error error = error_of([&] {
    receive_archive(store_, ArchiveFormat::Tar, target() / "more", nullptr, progress_, {});
  });
  EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, KeepsPermissionsButNoSetUserIdAndTheLike) {
  receive_tar(TarBuilder()
                  .file("x", "", 0755)
                  .file("secret", "", 0600)
                  .file("su", "", 06755)
                  .directory("d", 01750)
                  .archive());
  EXPECT_EQ(mode_of("x"), 0755U);
  EXPECT_EQ(mode_of("secret"), 0600U);
  EXPECT_EQ(mode_of("su"), 0755U);
  EXPECT_EQ(mode_of("d"), 0750U);
  receive_zip({{"z", "", 0104711}});
  EXPECT_EQ(mode_of("z"), 0711U);
}

TEST_F(ReceiveArchive, KeepsTimesOfFilesDirectoriesAndLinks) {
  receive_tar(TarBuilder().directory("d").file("d/f").symlink("d/l", "f").archive());
  EXPECT_EQ(time_of("d"), 1'000'000'000);
  EXPECT_EQ(time_of("d/f"), 1'000'000'000);
  EXPECT_EQ(time_of("d/l"), 1'000'000'000);
}

TEST_F(ReceiveArchive, TakesTimesThatNoFileCanHave) {
  receive_tar(TarBuilder()
                  .extended({{"mtime", "99999999999999999"}})
                  .file("future")
                  .extended({{"mtime", "-99999999999999999"}})
                  .file("past")
                  .archive());
  EXPECT_EQ(received().size(), 2U);
}

TEST_F(ReceiveArchive, KeepsTheBytesOfNames) {
  const std::vector<std::string> names{"ü",           "u\xcc\x88",   "\xff\xfe",
                                       "line\nbreak", "back\\slash", "blank "};
  TarBuilder tar;
  TarBuilder extended;
  std::vector<ZipMember> marked;
  std::vector<ZipMember> unmarked;
  FileTree tree;
  for (const std::string& name : names) {
    tree[name] = "content";
    tar.file(name);
    extended.extended({{"path", name}}).file("other");
    marked.push_back({.name = name, .flags = testing::kZipUtf8});
    unmarked.push_back({.name = name});
  }
  for (const auto& [format, archive] :
       {std::pair(ArchiveFormat::Tar, tar.archive()),
        std::pair(ArchiveFormat::Tar, extended.archive()),
        std::pair(ArchiveFormat::Zip, zip_of(marked)),
        std::pair(ArchiveFormat::Zip, zip_of(unmarked)),
        std::pair(ArchiveFormat::Zip, "something in front" + zip_of(marked))}) {
    serve(archive);
    receive(format);
    EXPECT_EQ(differences(received(), tree), "");
    fs::remove_all(target());
  }
}

TEST_F(ReceiveArchive, KeepsLongNames) {
  const std::string name = std::string(200, 'a') + "/" + std::string(255, 'b');
  receive_tar(TarBuilder().gnu_long_name(name).file("short").archive());
  EXPECT_EQ(differences(received(), {{name, "content"}}), "");
  receive_tar(TarBuilder().extended({{"path", name}}).file("short", "other").archive());
  EXPECT_EQ(differences(received(), {{name, "other"}}), "");
}

TEST_F(ReceiveArchive, MakesHolesWhereTheArchiveHasThem) {
  const std::string map = "1\n500000\n7\n";
  const std::string content = map + std::string(512 - map.size(), '\0') + "content";
  receive_tar(TarBuilder()
                  .extended({{"GNU.sparse.major", "1"},
                             {"GNU.sparse.minor", "0"},
                             {"GNU.sparse.name", "sparse"},
                             {"GNU.sparse.realsize", "1000000"}})
                  .file("other", content)
                  .archive());
  const std::string expected = std::string(500'000, '\0') + "content" + std::string(499'993, '\0');
  EXPECT_EQ(differences(received(), {{"sparse", expected}}), "");
}

TEST_F(ReceiveArchive, LetsTheLastOfSeveralMembersWin) {
  receive_tar(TarBuilder()
                  .file("twice", "longer and first")
                  .file("twice", "last")
                  .file("file, then link", "x")
                  .symlink("file, then link", "twice")
                  .symlink("link, then file", "twice")
                  .file("link, then file", "own")
                  .directory("d", 0700)
                  .directory("d", 0755)
                  .archive());
  EXPECT_EQ(read_file(target() / "twice"), "last");
  EXPECT_EQ(fs::read_symlink(target() / "file, then link"), "twice");
  EXPECT_EQ(read_file(target() / "link, then file"), "own");
  EXPECT_EQ(mode_of("d"), 0755U);
}

TEST_F(ReceiveArchive, MakesHardLinksOneFile) {
  receive_tar(TarBuilder().file("d/a").hard_link("b", "./d/a").hard_link("b", "b").archive());
  EXPECT_EQ(fs::hard_link_count(target() / "b"), 2U);
  EXPECT_EQ(differences(received(), {{"d/a", "content"}, {"b", "content"}}), "");
}

TEST_F(ReceiveArchive, KeepsLinksThatStayInside) {
  const std::vector<std::pair<std::string, std::string>> links{
      {"to file", "d/f"},   {"d/up", "../a"},          {"d/root", ".."},
      {"here", "."},        {"dangling", "not/there"}, {"loop", "loop"},
      {"d/twice", "up"},    {"by link", "d/root/a"},   {"down and up", "d/../a"},
      {"slash", "d//./f/"}, {"e/far", "../d/up"},
  };
  TarBuilder tar;
  tar.file("a").file("d/f");
  for (const auto& [name, text] : links) tar.symlink(name, text);
  receive_tar(tar.archive());
  for (const auto& [name, text] : links) EXPECT_EQ(fs::read_symlink(target() / name), text);
  std::vector<ZipMember> members{{"f"}};
  members.push_back({"zipped", "f", 0120777});
  receive_zip(members);
  EXPECT_EQ(fs::read_symlink(target() / "zipped"), "f");
}

TEST_F(ReceiveArchive, UnpacksMoreThanItKeepsInMemory) {
  FileTree tree;
  TarBuilder tar;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "file-" + std::to_string(i);
    tree[name] = random_bytes(1'500'000, static_cast<std::uint64_t>(i));
    tar.file(name, tree[name]);
  }
  serve(compressed(ArchiveFormat::Gztar, tar.archive()));
  receive(ArchiveFormat::Gztar);
  EXPECT_EQ(differences(received(), tree), "");
}

TEST_F(ReceiveArchive, TellsItsProgressInBytesOfTheArchive) {
  const std::string archive = small_tree().archive();
  receive_tar(archive);
  EXPECT_EQ(progress_.expected_files, 1U);
  EXPECT_EQ(progress_.files, 1U);
  EXPECT_EQ(progress_.expected_bytes, archive.size());
  EXPECT_EQ(progress_.bytes, static_cast<std::int64_t>(archive.size()));
}

// --- What is there already
// -------------------------------------------------------------------------

TEST_F(ReceiveArchive, ReplacesFilesOfTheSameNameAndLeavesOthers) {
  write_tree(target(), {{"a", "old"}, {"other", "mine"}, {"d/e/f", "old"}, {"d/e/other", "mine"}});
  fs::create_symlink("nowhere", target() / "link");
  receive_tar(small_tree().symlink("link", "a").archive());
  EXPECT_EQ(read_file(target() / "a"), "content of a");
  EXPECT_EQ(read_file(target() / "d/e/f"), "deep");
  EXPECT_EQ(read_file(target() / "other"), "mine");
  EXPECT_EQ(read_file(target() / "d/e/other"), "mine");
  EXPECT_EQ(fs::read_symlink(target() / "link"), "a");
  EXPECT_EQ(names_in(target()).size(), 5U);
}

TEST_F(ReceiveArchive, LeavesTheAttributesOfExistingDirectories) {
  write_tree(target(), {{"d/", ""}});
  ASSERT_EQ(::chmod((target() / "d").c_str(), 0710), 0);
  receive_tar(TarBuilder().directory("d", 0755).directory("d/new", 0700).archive());
  EXPECT_EQ(mode_of("d"), 0710U);
  EXPECT_EQ(mode_of("d/new"), 0700U);
}

TEST_F(ReceiveArchive, NeverFollowsALinkThatIsThere) {
  write_tree(directory_.path(), {{"outside/f", "mine"}, {"file", "mine"}});
  fs::create_directory(target());
  fs::create_directory_symlink("../outside", target() / "d");
  const Error error = tar_failure(TarBuilder().file("a").file("d/f", "new").archive());
  EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
  EXPECT_EQ(names_in(target()), std::vector<std::string>{"d"}) << "nothing has moved";
  EXPECT_EQ(read_file(directory_ / "outside/f"), "mine");

  fs::create_symlink("../file", target() / "link");
  receive_tar(TarBuilder().file("link", "new").archive());
  EXPECT_FALSE(fs::is_symlink(target() / "link"));
  EXPECT_EQ(read_file(directory_ / "file"), "mine");
}

TEST_F(ReceiveArchive, NoticesWhatStandsInTheWayBeforeAnythingMoves) {
  for (const bool is_directory_new : {true, false}) {
    write_tree(target(), {{"d/x", "mine"}, {"f", "mine"}});
    TarBuilder tar;
    tar.file("a");
    is_directory_new ? tar.directory("f") : tar.file("d");
    const Error error = tar_failure(tar.archive());
    EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
    EXPECT_EQ(differences(received(), {{"d/x", "mine"}, {"f", "mine"}}), "");
  }
}

TEST_F(ReceiveArchive, ShowsNothingBeforeTheArchiveIsWhole) {
  const std::string archive = small_tree().file("last", random_bytes(100'000)).archive();
  serve(archive);
  store_.allow_bytes(archive.size() - 1);
  std::jthread receiver([&] { receive(ArchiveFormat::Tar); });
  store_.wait_for_reads(1);
  store_.wait_until_idle();
  const auto names = names_in(target());
  ASSERT_EQ(names.size(), 1U);
  EXPECT_TRUE(names.front().starts_with(".red-")) << names.front();
  EXPECT_EQ(mode_of(names.front()), 0700U);
  store_.allow_bytes(1);
  receiver.join();
  EXPECT_EQ(names_in(target()), (std::vector<std::string>{"a", "d", "empty", "last"}));
}

// --- What is refused
// -------------------------------------------------------------------------------

TEST_F(ReceiveArchive, RefusesNamesThatLeadElsewhere) {
  EXPECT_EQ(fault_of(TarBuilder().file("a").file("../b")), "\"../b\": has \"..\" in its name");
  EXPECT_EQ(fault_of(TarBuilder().file("d/../../b")), "\"d/../../b\": has \"..\" in its name");
  EXPECT_EQ(fault_of(TarBuilder().file("/tmp/b")), "\"/tmp/b\": has an absolute name");
  EXPECT_EQ(fault_of(TarBuilder().directory("..")), "\"..\": has \"..\" in its name");
  EXPECT_EQ(fault_of(TarBuilder().symlink("../l", "a")), "\"../l\": has \"..\" in its name");
  EXPECT_EQ(fault_of(TarBuilder().extended({{"path", "../b"}}).file("a")),
            "\"../b\": has \"..\" in its name");
  EXPECT_EQ(fault_of(TarBuilder().gnu_long_name("/b").file("a")), "\"/b\": has an absolute name");
  EXPECT_EQ(fault_of(TarBuilder().file(".")), "\".\": takes the place of the directory itself");
  EXPECT_EQ(fault_of(TarBuilder().file("../\x1b[2J\n")),
            "\"../\\x1b[2J\\x0a\": has \"..\" in its name");
  for (const char* name : {"../b", "/b", "a/../../b", ""}) {
    const Error error = error_of([&] { receive_zip({{"a"}, {name}}); });
    EXPECT_EQ(error.kind(), ErrorKind::Protocol) << name;
    EXPECT_TRUE(left_nothing()) << name;
  }
}

TEST_F(ReceiveArchive, RefusesNulInNamesOfZip) {
  const Error error = error_of([&] { receive_zip({{std::string("a\0/../b", 7)}}); });
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_NE(error.message().find("NUL"), std::string::npos) << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, RefusesLinksThatLeadOut) {
  EXPECT_EQ(fault_of(TarBuilder().symlink("l", "/etc/passwd")),
            "\"l\": is a symbolic link to an absolute path");
  EXPECT_EQ(fault_of(TarBuilder().extended({{"linkpath", "/etc"}}).symlink("l", "x")),
            "\"l\": is a symbolic link to an absolute path");
  const std::string out = "the symbolic link \"l\" leads out of the directory";
  EXPECT_EQ(fault_of(TarBuilder().symlink("l", "..")), out);
  EXPECT_EQ(fault_of(TarBuilder().symlink("l", "../target/x")), out);
  EXPECT_EQ(fault_of(TarBuilder().directory("d").symlink("l", "d/../../x")), out);
  // By way of links that are harmless themselves.
  EXPECT_EQ(fault_of(TarBuilder().symlink("d/e/up", "..").symlink("l", "d/e/up/../../x")), out);
  EXPECT_EQ(fault_of(TarBuilder().symlink("l", "here/../x").symlink("here", ".")), out);
  // What is not there may be anything one day.
  EXPECT_EQ(fault_of(TarBuilder().symlink("l", "missing/../x")), out);
  EXPECT_EQ(fault_of(TarBuilder().symlink("d/l", "../../x")),
            "the symbolic link \"d/l\" leads out of the directory");
  const Error error = error_of([&] { receive_zip({{"l", "../x", 0120777}}); });
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, RefusesMembersBehindALink) {
  write_file(directory_ / "outside", "mine");
  const std::string fault = "lies behind a symbolic link or a file of the archive";
  for (const char* text : {"..", ".", "d", "/tmp"}) {
    for (const bool is_link_first : {true, false}) {
      TarBuilder tar;
      tar.directory("d");
      if (is_link_first) tar.symlink("l", text);
      tar.file("l/outside", "new");
      if (!is_link_first) tar.symlink("l", text);
      const Error error = tar_failure(tar.archive());
      EXPECT_EQ(error.kind(), ErrorKind::Protocol) << text << ": " << error.message();
      EXPECT_EQ(names_in(directory_.path()), std::vector<std::string>{"outside"});
    }
  }
  EXPECT_EQ(read_file(directory_ / "outside"), "mine");
  fs::remove(directory_ / "outside");
  EXPECT_EQ(fault_of(TarBuilder().file("a").file("a/b")), "\"a/b\": " + fault);
  EXPECT_EQ(fault_of(TarBuilder().symlink("a", ".").directory("a/b")), "\"a/b\": " + fault);
  EXPECT_EQ(fault_of(TarBuilder().symlink("a", ".").symlink("a/b", "x")), "\"a/b\": " + fault);
  EXPECT_EQ(fault_of(TarBuilder().file("f").symlink("a", ".").hard_link("a/b", "f")),
            "\"a/b\": " + fault);
}

TEST_F(ReceiveArchive, RefusesADirectoryThatIsSomethingElseToo) {
  const std::string fault = "is a directory and, elsewhere in the archive, something else";
  EXPECT_EQ(fault_of(TarBuilder().directory("a").file("a")), "\"a\": \"a\" " + fault);
  EXPECT_EQ(fault_of(TarBuilder().file("a/b").symlink("a", "x")), "\"a\": \"a\" " + fault);
  EXPECT_EQ(fault_of(TarBuilder().file("a").directory("a")), "\"a\": \"a\" " + fault);
  EXPECT_EQ(fault_of(TarBuilder().file("f").directory("a").hard_link("a", "f")),
            "\"a\": \"a\" " + fault);
}

TEST_F(ReceiveArchive, RefusesHardLinksToAnythingButItsFiles) {
  write_file(directory_ / "outside", "mine");
  for (const char* text : {"../outside", "/etc/passwd", "missing", "l", "d", ".", "behind/f"}) {
    const Error error = tar_failure(TarBuilder()
                                        .directory("d")
                                        .file("d/f")
                                        .symlink("l", "d/f")
                                        .symlink("behind", "d")
                                        .hard_link("h", text)
                                        .archive());
    EXPECT_EQ(error.kind(), ErrorKind::Protocol) << text << ": " << error.message();
    EXPECT_NE(error.message().find("\"h\": "), std::string::npos) << error.message();
    EXPECT_EQ(names_in(directory_.path()), std::vector<std::string>{"outside"});
  }
}

TEST_F(ReceiveArchive, RefusesDevicesAndPipes) {
  for (const char type : {'3', '4', '6'}) {
    EXPECT_EQ(fault_of(TarBuilder().file("a").member("dev", "", {.type = type})),
              "\"dev\": is a device, a pipe or a socket");
  }
  const Error error = error_of([&] { receive_zip({{"socket", "", 0140644}}); });
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
}

TEST_F(ReceiveArchive, RefusesWhatIsTooDeepOrTooLong) {
  std::string name = "f";
  for (std::size_t i = 1; i < kMaxMemberDepth; ++i) name = "d/" + name;
  receive_tar(TarBuilder().extended({{"path", name}}).file("x").archive());
  EXPECT_EQ(read_file(target() / name), "content");
  fs::remove_all(target());
  EXPECT_NE(fault_of(TarBuilder().extended({{"path", "d/" + name}}).file("x"))
                .find("is more than 256 directories deep"),
            std::string::npos);
  EXPECT_NE(fault_of(TarBuilder().extended({{"path", std::string(5000, 'a')}}).file("x"))
                .find("has a name of more than 4096 bytes"),
            std::string::npos);
}

TEST_F(ReceiveArchive, SaysWhenTheBodyIsOfAnotherFormat) {
  const std::string tar = small_tree().archive();
  const std::string zip = zip_of({{"a"}});
  const std::string page = "<html>login</html>" + std::string(2000, ' ');
  const std::string place = "receiving " + store_.location({}) + ": ";
  const auto message_for = [&](ArchiveFormat format, const std::string& body) {
    serve(body);
    const Error error = failure(format);
    EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    EXPECT_TRUE(left_nothing());
    return error.message();
  };
  for (const std::string& body : {page, tar, zip, std::string()}) {
    EXPECT_EQ(message_for(ArchiveFormat::Gztar, body), place + "it is not compressed by gzip");
    EXPECT_EQ(message_for(ArchiveFormat::Bztar, body), place + "it is not compressed by bzip2");
    EXPECT_EQ(message_for(ArchiveFormat::Xztar, body), place + "it is not compressed by xz");
  }
  const std::string gzipped = compressed(ArchiveFormat::Gztar, tar);
  for (const std::string& body : {page, zip, gzipped, std::string()}) {
    EXPECT_EQ(message_for(ArchiveFormat::Tar, body), place + "it is no tar archive");
  }
  for (const std::string& body : {page, tar, gzipped, std::string()}) {
    EXPECT_EQ(message_for(ArchiveFormat::Zip, body), place + "it is no zip archive");
  }
  EXPECT_EQ(message_for(ArchiveFormat::Gztar, compressed(ArchiveFormat::Gztar, page)),
            place + "it is no tar archive");
}

TEST_F(ReceiveArchive, UnpacksNoLayersButTheOneThatIsNamed) {
  const std::string tar = small_tree().archive();
  for (const ArchiveFormat format : kTarFormats) {
    if (format == ArchiveFormat::Tar) continue;
    serve(compressed(format, compressed(format, tar)));
    EXPECT_EQ(failure(format).kind(), ErrorKind::Protocol);
    EXPECT_TRUE(left_nothing());
  }
}

TEST_F(ReceiveArchive, RefusesEncryptedZip) {
  const Error error =
      error_of([&] { receive_zip({{.name = "a", .flags = testing::kZipEncrypted}}); });
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  EXPECT_NE(error.message().find("encrypted"), std::string::npos) << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, NoticesWhereverTheArchiveIsCutOff) {
  const std::string tar = small_tree().without_end();
  for (const ArchiveFormat format : kTarFormats) {
    const std::string whole = compressed(format, tar);
    // A tar file that ends between two members has no end, as for tar(1).
    const std::size_t step = format == ArchiveFormat::Tar ? 0 : 7;
    for (std::size_t length = 1; length < whole.size(); length += step + 1) {
      if (format == ArchiveFormat::Tar && length % 512 == 0) continue;
      serve(whole.substr(0, length));
      EXPECT_EQ(failure(format).kind(), ErrorKind::Protocol) << length;
      EXPECT_TRUE(left_nothing()) << length;
      if (format == ArchiveFormat::Tar) length += 250;
    }
  }
  const std::string zip = zip_of({{"a"}, {"b"}});
  for (std::size_t length = 0; length < zip.size(); ++length) {
    serve(zip.substr(0, length));
    EXPECT_EQ(failure(ArchiveFormat::Zip).kind(), ErrorKind::Protocol) << length;
    EXPECT_TRUE(left_nothing()) << length;
  }
}

TEST_F(ReceiveArchive, NeverTakesADamagedArchiveForAnother) {
  const std::string tar = TarBuilder().file("a", random_bytes(300)).archive();
  const FileTree tree{{"a", random_bytes(300)}};
  for (const ArchiveFormat format : kTarFormats) {
    if (format == ArchiveFormat::Tar) continue;  // it has nothing to notice it by
    const std::string whole = compressed(format, tar);
    int refused = 0;
    for (std::size_t at = 0; at < whole.size(); at += 2) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
      serve(damaged);
      if (failure(format).message() == "no error") {
        EXPECT_EQ(differences(received(), tree), "") << "byte " << at;
        fs::remove_all(target());
      } else {
        ++refused;
        EXPECT_TRUE(left_nothing()) << at;
      }
    }
    EXPECT_GT(refused, static_cast<int>(whole.size()) * 9 / 20);
  }
}

TEST_F(ReceiveArchive, NoticesDamageThatComesAfterTheLastMember) {
  const std::string tar = small_tree().archive() + std::string(1'000'000, '\0');
  for (const ArchiveFormat format : kTarFormats) {
    if (format == ArchiveFormat::Tar) continue;
    const std::string whole = compressed(format, tar);
    serve(whole.substr(0, whole.size() - 5));
    EXPECT_EQ(failure(format).kind(), ErrorKind::Protocol);
    EXPECT_TRUE(left_nothing());
    serve(whole);
    receive(format);
    EXPECT_EQ(differences(received(), kSmallTree), "");
    fs::remove_all(target());
  }
}

TEST_F(ReceiveArchive, NoticesDamagedMembersOfZip) {
  std::string zip = zip_of({{"a", "some content"}});
  zip[zip.find("some content")] = 'S';
  serve(zip);
  EXPECT_EQ(failure(ArchiveFormat::Zip).kind(), ErrorKind::Protocol);
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, TakesATarArchiveWithoutItsEnd) {
  receive_tar(small_tree().without_end());
  EXPECT_EQ(differences(received(), kSmallTree), "");
}

TEST_F(ReceiveArchive, TakesWhatFillsUpTheLastRecordAndNotMuchMore) {
  receive_tar(small_tree().archive() + std::string(10 << 20, '\0'));
  EXPECT_EQ(differences(received(), kSmallTree), "");
  fs::remove_all(target());
  const Error error = tar_failure(small_tree().archive() + std::string(17 << 20, '\0'));
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_NE(error.message().find("follow the end"), std::string::npos) << error.message();
  EXPECT_TRUE(left_nothing());
}

// --- Bombs
// -----------------------------------------------------------------------------------------

TEST(ExpansionLimit, GivesSmallArchivesWhatTheyNeedAndLargeOnesInProportion) {
  ExpansionLimit limit;
  EXPECT_NO_THROW(limit.produce(ExpansionLimit::kFree));
  EXPECT_THROW(limit.produce(1), Error);
  limit.consume(10);
  EXPECT_NO_THROW(limit.produce(10 * ExpansionLimit::kMostPerByte - 1));
  EXPECT_THROW(limit.produce(1), Error);
}

TEST_F(ReceiveArchive, StopsBombsBeforeTheyFillTheDisk) {
  const std::string zeros(8 << 20, '\0');
  constexpr auto kFormat = ArchiveFormat::Xztar;
  std::string bomb = compressed(kFormat, TarBuilder().header_of("zeros", 1 << 30).without_end());
  // The format goes on through concatenated streams.
  const std::string more = compressed(kFormat, zeros);
  for (int i = 0; i < 128; ++i) bomb += more;
  serve(bomb);
  const Error error = failure(kFormat);
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_NE(error.message().find("the archive becomes too large"), std::string::npos)
      << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, StopsBombsInZipToo) {
  constexpr int kMebibytes = 600;
  const std::string bomb = zip_of({{.name = "zeros",
                                    .content = testing::deflated_zeros(kMebibytes),
                                    .method = testing::kZipDeflate,
                                    .size = std::uint64_t{kMebibytes} << 20}});
  serve(bomb);
  const Error error = failure(ArchiveFormat::Zip);
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_NE(error.message().find("the archive becomes too large"), std::string::npos)
      << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, StopsAMultitudeOfMembersThatHoldNothing) {
  constexpr auto kFormat = ArchiveFormat::Xztar;
  TarBuilder members;
  for (int i = 0; i < 10'000; ++i) members.file("empty", "");
  const std::string some = compressed(kFormat, members.without_end());
  std::string multitude;
  for (int i = 0; i < 20; ++i) multitude += some;
  serve(multitude);
  EXPECT_NE(failure(kFormat).message().find("the archive becomes too large"), std::string::npos);
  EXPECT_TRUE(left_nothing());
}

// --- Listings
// --------------------------------------------------------------------------------------

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

const std::string kSha1OfContent = "040f06fd774092478d450774f5ba30c5da78acc8";

TEST_F(ReceiveArchive, UnpacksEverythingWhereTheListingIsRight) {
  Listing listing{
      listed_file("a"), listed_file("l"),
      listed_directory("d", {listed_file("b"), listed_directory("e", {listed_file("c")})})};
  listing[0].size = 7;
  listing[0].sha1 = kSha1OfContent;
  listing[1].sha1 = kSha1OfContent;
  listing[2].children[1].children[0].sha1 = kSha1OfContent;
  const std::string archive = TarBuilder()
                                  .file("a")
                                  .file("d/b")
                                  .file("d/e/c")
                                  .file("not listed")
                                  .symlink("l", "a")
                                  .archive();
  receive_tar(archive, &listing);
  EXPECT_EQ(names_in(target()), (std::vector<std::string>{"a", "d", "l", "not listed"}));
}

TEST_F(ReceiveArchive, KeepsNothingWhereTheListingIsNot) {
  Listing listing{listed_file("size"), listed_file("sum"), listed_file("missing"), listed_file("d"),
                  listed_directory("d2", {listed_directory("e", {listed_file("deep")})})};
  listing[0].size = 8;
  listing[1].sha1 = std::string(40, '0');
  listing[4].children[0].children[0].size = 1;
  const std::string archive =
      TarBuilder().file("size").file("sum").directory("d").file("d2/e/deep").file("x").archive();
  const Error error = tar_failure(archive, &listing);
  EXPECT_EQ(error.kind(), ErrorKind::Integrity);
  EXPECT_EQ(error.message(), "receiving " + store_.location({}) +
                                 ": the archive: it is not what the listing says\n"
                                 "  d2/e/deep: its size is 7 bytes, expected are 1\n"
                                 "  d: is a directory\n"
                                 "  missing: No such file or directory\n"
                                 "  size: its size is 7 bytes, expected are 8\n"
                                 "  sum: its SHA-1 is " +
                                 kSha1OfContent + ", expected is " + std::string(40, '0'));
  EXPECT_TRUE(left_nothing());
}

// --- Transfers that break or are stopped
// -----------------------------------------------------------

TEST_F(ReceiveArchive, ReportsAMissingArchive) {
  store_.fail_next(testing::FakeCall::Read, 1, Error(ErrorKind::NotFound, "HTTP 404"));
  serve("x");
  for (const ArchiveFormat format : kTarFormats) {
    store_.fail_next(testing::FakeCall::Read, 1, Error(ErrorKind::NotFound, "HTTP 404"));
    const Error error = failure(format);
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_EQ(error.message(), "receiving " + store_.location({}) + ": HTTP 404");
    EXPECT_TRUE(left_nothing());
  }
}

class ReceiveArchiveWithRetries : public ReceiveArchive {
 protected:
  Error receive_from(std::unique_ptr<FakeStore> fake) {
    const auto store = with_retries(std::move(fake), {3, 8s, 10s, 2ms, 2ms}, timer_);
    return error_of(
        [&] { receive_archive(*store, ArchiveFormat::Gztar, target(), nullptr, progress_, {}); });
  }
  std::unique_ptr<FakeStore> breaking_store() {
    auto fake = std::make_unique<FakeStore>();
    fake->set_file(
        "", compressed(ArchiveFormat::Gztar, TarBuilder().file("a", content_).file("b").archive()));
    fake->answer_reads_with([](const FakeRead& read) {
      FakeAnswer answer;
      if (read.number <= 3) answer.break_after = 200'000;
      return answer;
    });
    return fake;
  }

  const std::string content_ = random_bytes(1'000'000);
  Timer timer_;
};

TEST_F(ReceiveArchiveWithRetries, GoesOnWhereTheTransferBroke) {
  EXPECT_EQ(receive_from(breaking_store()).message(), "no error");
  EXPECT_EQ(differences(received(), {{"a", content_}, {"b", "content"}}), "");
  EXPECT_EQ(progress_.bytes, static_cast<std::int64_t>(progress_.expected_bytes));
}

TEST_F(ReceiveArchiveWithRetries, FailsWhereNothingProvesTheSameContent) {
  auto fake = breaking_store();
  fake->tell_validators(false);
  const Error error = receive_from(std::move(fake));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_NE(error.message().find("cannot resume"), std::string::npos) << error.message();
  EXPECT_TRUE(left_nothing());
}

TEST_F(ReceiveArchive, EndsWhenItIsStopped) {
  for (const ArchiveFormat format :
       {ArchiveFormat::Tar, ArchiveFormat::Gztar, ArchiveFormat::Zip}) {
    FakeStore store;
    const std::string tar = TarBuilder().file("a", random_bytes(100'000)).archive();
    const std::string archive = format == ArchiveFormat::Zip
                                    ? zip_of({{"a", random_bytes(100'000)}})
                                    : compressed(format, tar);
    store.set_file("", archive);
    store.allow_bytes(archive.size() / 2);
    std::stop_source stop;
    std::jthread stopper([&] {
      store.wait_for_reads(1);
      store.wait_until_idle();
      stop.request_stop();
    });
    const Error error = error_of(
        [&] { receive_archive(store, format, target(), nullptr, progress_, stop.get_token()); });
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
    EXPECT_TRUE(left_nothing());
  }
}

TEST_F(ReceiveArchive, DoesNotBeginWhenItIsStoppedBefore) {
  serve(small_tree().archive());
  std::stop_source stop;
  stop.request_stop();
  const Error error = error_of([&] {
    receive_archive(store_, ArchiveFormat::Tar, target(), nullptr, progress_, stop.get_token());
  });
  EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  EXPECT_TRUE(left_nothing());
}

}  // namespace
}  // namespace red
