// Files and trees over SFTP, from and to each of the servers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/async_ssh_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/ssh_access.h"
#include "tests/servers/ssh_server_kinds.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr time_t kLongAgo = 987'654'321;

/// The file mode creation mask of the connectors that are called meanwhile.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

struct stat status_of(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) ADD_FAILURE() << "no " << path;
  return status;
}

mode_t mode_of(const fs::path& path) { return status_of(path).st_mode & 07777; }
time_t time_of(const fs::path& path) { return status_of(path).st_mtim.tv_sec; }

void set_mode(const fs::path& path, mode_t mode) { ASSERT_EQ(::chmod(path.c_str(), mode), 0); }
void set_time(const fs::path& path, time_t time) {
  const timespec times[] = {{time, 0}, {time, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

void make_socket(const fs::path& path) {
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

/// How many lines hold the text.
std::size_t lines_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += line.find(part) != line.npos ? 1 : 0;
  return count;
}

/// Names that only the slash and NUL are missing from.
FileTree hard_tree() {
  FileTree tree = nasty_tree(nasty_names());
  tree.merge(nasty_tree(dot_names()));
  tree.merge(nasty_tree({"new\nline", "tab\there", "bell\a", "\xFF\xFE not UTF-8", "\xC3",
                         std::string(254, 'y') + "\xE4", "*", "?", "[a]", "~", "-rf", "$HOME"}));
  return tree;
}

/// Everything about a directory that a validation could change.
std::map<std::string, std::string> snapshot(const fs::path& root) {
  std::map<std::string, std::string> all;
  const auto describe = [](const fs::path& path) {
    const struct stat status = status_of(path);
    return std::to_string(status.st_mode) + " " + std::to_string(status.st_size) + " " +
           std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
  };
  all["."] = describe(root);
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    all[entry.path().lexically_relative(root)] = describe(entry.path());
  }
  return all;
}

class SshTransfer : public ::testing::Test {
 protected:
  Outcome call(const char* subcommand, const Json& access, const fs::path& local) {
    return connector_.call(subcommand, access, {local});
  }
  Outcome call(const char* subcommand, const Json& access, const fs::path& local,
               const std::string& listing) {
    return connector_.call(subcommand, access,
                           {local, "--listing", connector_.keep_json(Json::parse(listing))});
  }

  Connector connector_{"red-connector-ssh"};
  TemporaryDirectory directory_;
  fs::path local_ = directory_ / "local";
};

class SshTransferWith : public SshTransfer, public ::testing::WithParamInterface<SshServerKind> {
 protected:
  const fs::path& root() const { return server_->root(); }
  /// Puts it on the server.
  void serve(const FileTree& tree) {
    write_tree(root(), tree);
    server_->own_root();
  }

  Outcome receive_file(const std::string& path) {
    return call("receive-file", access_to(*server_, "filePath", path), local_);
  }
  Outcome receive_dir(const std::string& path) {
    return call("receive-dir", access_to(*server_, "dirPath", path), local_);
  }
  Outcome send_file(const std::string& path) {
    return call("send-file", access_to(*server_, "filePath", path), local_);
  }
  Outcome send_dir(const std::string& path) {
    return call("send-dir", access_to(*server_, "dirPath", path), local_);
  }
  Outcome validate(const std::string& subcommand, const std::string& path) {
    const bool is_file = subcommand.find("-file") != std::string::npos;
    return connector_.call(subcommand + "-validate",
                           access_to(*server_, is_file ? "filePath" : "dirPath", path));
  }

  std::unique_ptr<SshServer> server_ = GetParam().make();
};

// --- receive-file --------------------------------------------------------------------------------

TEST_P(SshTransferWith, ReceivesEveryByteOfFilesOfEverySize) {
  for (const std::size_t size : {0, 1, 4096, 32768, 1'000'001, 20'000'003}) {
    const std::string content = random_bytes(size);
    serve({{"file", content}});
    ASSERT_THAT(receive_file("file"), Succeeded()) << size << server_->log();
    EXPECT_TRUE(read_file(local_) == content) << size;
  }
}

TEST_P(SshTransferWith, PathsStartAtTheRootOrInTheHomeDirectory) {
  serve({{"data/file", "content"}, {"~", "a tilde"}});
  for (const std::string& path :
       {std::string("data/file"), std::string("~/data/file"), std::string("./data/file"),
        std::string("data/../data/file"), server_->path_of("data/file"),
        server_->path_of("data/../data//file")}) {
    fs::remove(local_);
    EXPECT_THAT(receive_file(path), Succeeded()) << path;
    EXPECT_EQ(read_file(local_), "content");
  }
  for (const std::string& path : {std::string("data"), std::string("~/data"), std::string("data/"),
                                  server_->path_of("data")}) {
    fs::remove_all(local_);
    EXPECT_THAT(receive_dir(path), Succeeded()) << path;
    EXPECT_EQ(differences(read_tree(local_), {{"file", "content"}}), "") << path;
  }
}

TEST_P(SshTransferWith, TheHomeDirectoryItselfCanBeReceived) {
  serve({{"one", "1"}, {"two/three", "23"}});
  for (const char* path : {".", "~", "~/"}) {
    fs::remove_all(local_);
    EXPECT_THAT(receive_dir(path), Succeeded()) << path;
    EXPECT_EQ(differences(read_tree(local_), {{"one", "1"}, {"two/three", "23"}}), "") << path;
  }
}

TEST_P(SshTransferWith, TakesTheFirstGenerationsAccessData) {
  if (server_->password().empty()) GTEST_SKIP() << "it takes no passwords here";
  serve({{"data/file", "content"}});
  const Json access = {{"host", server_->host()},
                       {"port", server_->port()},
                       {"username", server_->user()},
                       {"password", server_->password()},
                       {"fileDir", server_->path_of("data")}};
  Json of_file = access;
  of_file["fileName"] = "file";
  EXPECT_THAT(call("receive-file", of_file, local_), Succeeded());
  EXPECT_EQ(read_file(local_), "content");
  of_file["fileName"] = "sent";
  EXPECT_THAT(call("send-file", of_file, local_), Succeeded());
  EXPECT_EQ(read_file(root() / "data/sent"), "content");
  fs::remove(local_);
  EXPECT_THAT(call("receive-dir", access, local_), Succeeded());
  EXPECT_EQ(differences(read_tree(local_), {{"file", "content"}, {"sent", "content"}}), "");
}

TEST_P(SshTransferWith, ReceivedFilesKeepTheirTimeAndTheModeThatTheUmaskLeaves) {
  serve({{"script", "x"}, {"open", "x"}, {"closed", "x"}, {"last second", "x"}});
  set_mode(root() / "script", 0755);
  set_mode(root() / "open", 0666);
  set_mode(root() / "closed", 0400);
  for (const char* name : {"script", "open", "closed"}) set_time(root() / name, kLongAgo);
  const Umask mask(027);
  const auto mode_received = [this](const char* name) {
    fs::remove(local_);
    EXPECT_THAT(receive_file(name), Succeeded()) << name;
    EXPECT_EQ(time_of(local_), kLongAgo) << name;
    return mode_of(local_);
  };
  EXPECT_EQ(mode_received("script"), 0750u);
  EXPECT_EQ(mode_received("open"), 0640u);
  EXPECT_EQ(mode_received("closed"), 0400u);
}

TEST_P(SshTransferWith, ReceiveFileReplacesAFileAndFollowsALink) {
  serve({{"data/file", "new"}});
  fs::create_symlink("data/file", root() / "link");
  fs::create_symlink(server_->path_of("link"), root() / "link of link");
  write_file(local_, "old and longer");
  for (const char* path : {"data/file", "link", "link of link"}) {
    EXPECT_THAT(receive_file(path), Succeeded()) << path;
    EXPECT_EQ(read_file(local_), "new");
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(local_)));
    write_file(local_, "old and longer");
  }
}

TEST_P(SshTransferWith, AFailedReceptionLeavesNothing) {
  serve({{"directory/file", "x"}, {"secret", "x"}});
  fs::create_symlink("nowhere", root() / "dangling");
  set_mode(root() / "secret", 0);
  const Outcome missing = receive_file("no such file");
  EXPECT_THAT(missing, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(missing.errors, HasSubstr("no such file"));
  EXPECT_EQ(lines_in(missing.errors), 1u);
  EXPECT_THAT(receive_file("directory/no/such"), Failed());
  EXPECT_THAT(receive_file("dangling"), Failed());
  EXPECT_THAT(receive_file("directory"), Failed());
  EXPECT_THAT(receive_file("secret"), FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(names_in(directory_.path()), IsEmpty());
  write_file(local_, "mine");
  EXPECT_THAT(receive_file("secret"), FailedWith(exit_code::kPermissionDenied));
  EXPECT_EQ(read_file(local_), "mine");
  EXPECT_THAT(names_in(directory_.path()), ElementsAre("local"));
}

// --- receive-dir ---------------------------------------------------------------------------------

TEST_P(SshTransferWith, ReceivesEveryNameAndByteOfATree) {
  FileTree tree = hard_tree();
  tree["empty/"] = "";
  tree["zero"] = "";
  tree["deep/er/and/deep/er/file"] = "deep";
  tree["big"] = random_bytes(5'000'000);
  serve(tree);
  EXPECT_THAT(receive_dir("."), Succeeded()) << server_->log();
  EXPECT_EQ(differences(read_tree(local_), tree), "");
}

TEST_P(SshTransferWith, ReceivesThousandsOfSmallFiles) {
  FileTree tree;
  for (int i = 0; i < 3000; ++i) {
    tree["dir-" + std::to_string(i % 30) + "/file-" + std::to_string(i)] = std::to_string(i);
  }
  serve(tree);
  const Outcome outcome = receive_dir(".");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(read_tree(local_), tree), "");
  EXPECT_LT(outcome.duration.count(), 30'000);
}

TEST_P(SshTransferWith, ReceivedTreesKeepTimesAndTheModesThatTheUmaskLeaves) {
  serve({{"sub/script", "x"}, {"sub/closed", "x"}, {"private/file", "x"}});
  set_mode(root() / "sub/script", 0777);
  set_mode(root() / "sub/closed", 0440);
  set_mode(root() / "private", 0700);
  for (const char* name : {"sub/script", "sub/closed", "private/file"}) {
    set_time(root() / name, kLongAgo);
  }
  const Umask mask(022);
  set_mode(root() / "sub", 0555);
  set_time(root() / "sub", kLongAgo);
  EXPECT_THAT(receive_dir("."), Succeeded());
  EXPECT_EQ(mode_of(local_ / "sub"), 0555u);
  EXPECT_EQ(time_of(local_ / "sub"), kLongAgo);
  EXPECT_EQ(mode_of(local_ / "sub/script"), 0755u);
  EXPECT_EQ(mode_of(local_ / "sub/closed"), 0440u);
  EXPECT_EQ(mode_of(local_ / "private"), 0700u);
  for (const char* name : {"sub/script", "sub/closed", "private/file"}) {
    EXPECT_EQ(time_of(local_ / name), kLongAgo) << name;
  }
}

TEST_P(SshTransferWith, LinksArriveAsWhatTheyLeadTo) {
  serve({{"outside/file", "outside"}, {"tree/real/inner", "inner"}, {"tree/file", "content"}});
  const fs::path tree = root() / "tree";
  fs::create_symlink("file", tree / "to file");
  fs::create_symlink("real", tree / "to directory");
  fs::create_symlink("../outside", tree / "out of the tree");
  fs::create_symlink(server_->path_of("tree/file"), tree / "absolute to file");
  fs::create_symlink(server_->path_of("outside"), tree / "absolute to directory");
  fs::create_symlink("to directory", tree / "link of link");
  fs::create_symlink("../file", tree / "real/up");
  const Outcome outcome = receive_dir("tree");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.errors, "");
  EXPECT_EQ(differences(read_tree(local_), {{"file", "content"},
                                            {"real/inner", "inner"},
                                            {"real/up", "content"},
                                            {"to file", "content"},
                                            {"to directory/inner", "inner"},
                                            {"to directory/up", "content"},
                                            {"link of link/inner", "inner"},
                                            {"link of link/up", "content"},
                                            {"out of the tree/file", "outside"},
                                            {"absolute to file", "content"},
                                            {"absolute to directory/file", "outside"}}),
            "");
  for (const auto& entry : fs::recursive_directory_iterator(local_)) {
    EXPECT_FALSE(entry.is_symlink()) << entry.path();
  }
}

TEST_P(SshTransferWith, LoopsAreCutAndDanglingLinksSkippedWithOneWarningEach) {
  serve({{"tree/sub/file", "content"}});
  const fs::path tree = root() / "tree";
  fs::create_symlink(".", tree / "to-itself");
  fs::create_symlink("..", tree / "sub/to-parent");
  fs::create_symlink(server_->path_of("tree"), tree / "sub/absolute-to-top");
  fs::create_symlink("nowhere", tree / "dangling");
  fs::create_symlink("a-circle", tree / "a-circle");
  const Outcome outcome = receive_dir("tree");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(read_tree(local_), {{"sub/file", "content"}}), "");
  for (const char* name : {"to-itself", "to-parent", "absolute-to-top", "dangling", "a-circle"}) {
    EXPECT_EQ(lines_with(outcome.errors, name), 1u) << name << ":\n" << outcome.errors;
  }
  EXPECT_EQ(lines_with(outcome.errors, "warning"), lines_in(outcome.errors));
  EXPECT_EQ(lines_in(outcome.errors), 5u);
}

TEST_P(SshTransferWith, SpecialFilesAreSkippedWithAWarningEach) {
  serve({{"tree/file", "content"}});
  ASSERT_EQ(::mkfifo((root() / "tree/pipe").c_str(), 0666), 0);
  make_socket(root() / "tree/socket");
  fs::create_symlink("pipe", root() / "tree/link-to-fifo");
  server_->own_root();
  const Outcome outcome = receive_dir("tree");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(read_tree(local_), {{"file", "content"}}), "");
  EXPECT_EQ(lines_with(outcome.errors, "tree/pipe"), 1u) << outcome.errors;
  EXPECT_EQ(lines_with(outcome.errors, "tree/socket"), 1u) << outcome.errors;
  EXPECT_EQ(lines_with(outcome.errors, "tree/link-to-fifo"), 1u) << outcome.errors;
}

TEST_P(SshTransferWith, AFailedReceptionOfATreeNamesWhatIsWrong) {
  serve({{"tree/good", "x"}, {"tree/sub/secret", "x"}, {"file", "x"}});
  EXPECT_THAT(receive_dir("missing"), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(receive_dir("file"), Failed());
  EXPECT_FALSE(fs::exists(local_ / "file"));
  set_mode(root() / "tree/sub/secret", 0);
  const Outcome unreadable = receive_dir("tree");
  EXPECT_THAT(unreadable, FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(unreadable.errors, HasSubstr("secret"));
  EXPECT_FALSE(fs::exists(local_ / "sub/secret"));
  set_mode(root() / "tree/sub", 0);
  EXPECT_THAT(receive_dir("tree"), FailedWith(exit_code::kPermissionDenied));
  set_mode(root() / "tree/sub", 0755);
}

TEST_P(SshTransferWith, ReceivesExactlyWhatTheListingNames) {
  serve({{"a", "content"}, {"sub/b", "b"}, {"sub/c", "c"}, {"more", "x"}});
  const Json access = access_to(*server_, "dirPath", ".");
  EXPECT_THAT(call("receive-dir", access, local_, R"([{"class": "File", "basename": "a", "size": 7,
                 "checksum": "sha1$040f06fd774092478d450774f5ba30c5da78acc8"},
                {"class": "Directory", "basename": "sub",
                 "listing": [{"class": "File", "basename": "b"}]},
                {"class": "Directory", "basename": "empty"}])"),
              Succeeded());
  EXPECT_EQ(differences(read_tree(local_), {{"a", "content"}, {"sub/b", "b"}, {"empty/", ""}}), "");
  EXPECT_THAT(
      call("receive-dir", access, local_, R"([{"class": "File", "basename": "a", "size": 8}])"),
      FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(call("receive-dir", access, local_, R"([{"class": "File", "basename": "missing"}])"),
              FailedWith(exit_code::kNotFound));
}

// --- send-file -----------------------------------------------------------------------------------

TEST_P(SshTransferWith, SendsEveryByteOfFilesOfEverySize) {
  for (const std::size_t size : {0, 1, 4096, 32768, 1'000'001, 20'000'003}) {
    const std::string content = random_bytes(size);
    write_file(local_, content);
    ASSERT_THAT(send_file("file"), Succeeded()) << size << server_->log();
    EXPECT_TRUE(read_file(root() / "file") == content) << size;
  }
  EXPECT_THAT(names_in(root()), ElementsAre("file")) << "nothing temporary is left";
}

TEST_P(SshTransferWith, SendFileMakesTheParentsAndReplacesWhatIsThere) {
  write_file(local_, "new");
  for (const std::string& path :
       {std::string("~/a/b c/file"), std::string("d/e/f/file"), server_->path_of("g/h/file")}) {
    for (int times = 0; times < 2; ++times) {
      EXPECT_THAT(send_file(path), Succeeded()) << path << server_->log();
    }
  }
  write_file(local_, "newer");
  EXPECT_THAT(send_file("d/e/f/file"), Succeeded());
  EXPECT_EQ(differences(read_tree(root()),
                        {{"a/b c/file", "new"}, {"d/e/f/file", "newer"}, {"g/h/file", "new"}}),
            "");
}

TEST_P(SshTransferWith, SentFilesKeepTimeAndMode) {
  for (const mode_t mode : {0755, 0640, 0400}) {
    write_file(local_, "content");
    set_mode(local_, mode);
    set_time(local_, kLongAgo);
    EXPECT_THAT(send_file("file"), Succeeded());
    EXPECT_EQ(mode_of(root() / "file"), mode);
    EXPECT_EQ(time_of(root() / "file"), kLongAgo);
    EXPECT_EQ(read_file(root() / "file"), "content");
    fs::remove(local_);
  }
}

TEST_P(SshTransferWith, AFailedSendingLeavesNothing) {
  write_file(local_, random_bytes(500'000));
  serve({{"closed/file", "old"}, {"file", "x"}, {"directory/inner", "x"}});
  set_mode(root() / "closed", 0555);
  set_mode(root() / "closed/file", 0444);
  const auto before = snapshot(root());
  for (const char* path : {"closed/new", "closed/new/below", "closed/file"}) {
    const Outcome outcome = send_file(path);
    EXPECT_THAT(outcome, FailedWith(exit_code::kPermissionDenied)) << path;
    EXPECT_THAT(outcome.errors, HasSubstr("closed/"));
    EXPECT_EQ(lines_in(outcome.errors), 1u);
  }
  EXPECT_EQ(snapshot(root()), before);
  EXPECT_THAT(send_file("file/below"), Failed());
  EXPECT_THAT(send_file("directory"), Failed());
  EXPECT_EQ(differences(read_tree(root()),
                        {{"closed/file", "old"}, {"file", "x"}, {"directory/inner", "x"}}),
            "");
  fs::remove(local_);
  EXPECT_THAT(send_file("other"), FailedWith(exit_code::kLocalIo));
  EXPECT_FALSE(fs::exists(root() / "other"));
}

// --- send-dir ------------------------------------------------------------------------------------

TEST_P(SshTransferWith, SendsEveryNameAndByteOfATree) {
  FileTree tree = hard_tree();
  tree["empty/"] = "";
  tree["zero"] = "";
  tree["big"] = random_bytes(5'000'000);
  write_tree(local_, tree);
  EXPECT_THAT(send_dir("parent/new"), Succeeded()) << server_->log();
  EXPECT_EQ(differences(read_tree(root() / "parent/new"), tree), "");
}

TEST_P(SshTransferWith, SendsThousandsOfSmallFiles) {
  FileTree tree;
  for (int i = 0; i < 3000; ++i) {
    tree["dir-" + std::to_string(i % 30) + "/file-" + std::to_string(i)] = std::to_string(i);
  }
  write_tree(local_, tree);
  const Outcome outcome = send_dir("~/new");
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(differences(read_tree(root() / "new"), tree), "");
  EXPECT_LT(outcome.duration.count(), 30'000);
}

TEST_P(SshTransferWith, SendDirReplacesFilesOfTheSameNameAndLeavesOthers) {
  write_tree(local_, {{"same", "new"}, {"sub/same", "new"}, {"more/file", "new"}});
  serve({{"same", "old and longer"}, {"other", "x"}, {"sub/same", "old"}, {"sub/other", "x"}});
  for (int times = 0; times < 2; ++times) {
    EXPECT_THAT(send_dir("."), Succeeded()) << server_->log();
    EXPECT_EQ(differences(read_tree(root()), {{"same", "new"},
                                              {"sub/same", "new"},
                                              {"more/file", "new"},
                                              {"other", "x"},
                                              {"sub/other", "x"}}),
              "");
  }
}

TEST_P(SshTransferWith, SentTreesKeepTimesAndModes) {
  write_tree(local_, {{"sub/script", "x"}, {"sub/closed", "x"}, {"private/file", "x"}});
  set_mode(local_ / "sub/script", 0755);
  set_mode(local_ / "sub/closed", 0400);
  set_mode(local_ / "private", 0700);
  for (const char* name : {"sub/script", "sub/closed", "private/file"}) {
    set_time(local_ / name, kLongAgo);
  }
  set_mode(local_ / "sub", 0555);
  set_time(local_ / "sub", kLongAgo);
  EXPECT_THAT(send_dir("new"), Succeeded());
  EXPECT_EQ(mode_of(root() / "new/sub"), 0555u);
  EXPECT_EQ(time_of(root() / "new/sub"), kLongAgo);
  EXPECT_EQ(mode_of(root() / "new/sub/script"), 0755u);
  EXPECT_EQ(mode_of(root() / "new/sub/closed"), 0400u);
  EXPECT_EQ(mode_of(root() / "new/private"), 0700u);
  for (const char* name : {"sub/script", "sub/closed", "private/file"}) {
    EXPECT_EQ(time_of(root() / "new" / name), kLongAgo) << name;
  }
}

TEST_P(SshTransferWith, AFailedSendingOfATreeNamesWhatIsWrong) {
  write_tree(local_, {{"sub/one", "x"}, {"two", "x"}});
  serve({{"closed/", ""}, {"file", "x"}});
  set_mode(root() / "closed", 0555);
  const Outcome outcome = send_dir("closed");
  EXPECT_THAT(outcome, FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(outcome.errors, HasSubstr("closed"));
  EXPECT_THAT(send_dir("file"), Failed());
  EXPECT_EQ(differences(read_tree(root()), {{"closed/", ""}, {"file", "x"}}), "");
}

TEST_P(SshTransferWith, SendsExactlyWhatTheListingNames) {
  write_tree(local_, {{"a", "content"}, {"sub/b", "b"}, {"sub/c", "c"}, {"more", "x"}});
  const Json access = access_to(*server_, "dirPath", "new");
  EXPECT_THAT(call("send-dir", access, local_, R"([{"class": "File", "basename": "a", "size": 7},
                {"class": "Directory", "basename": "sub",
                 "listing": [{"class": "File", "basename": "b"}]}])"),
              Succeeded());
  EXPECT_EQ(differences(read_tree(root() / "new"), {{"a", "content"}, {"sub/b", "b"}}), "");
}

// --- Validation ----------------------------------------------------------------------------------

TEST_P(SshTransferWith, ValidationsReachOutAndChangeNothing) {
  serve({{"data/file", "content"}});
  const auto before = snapshot(root());
  for (const std::string& path : {std::string("data/file"), server_->path_of("data/file")}) {
    EXPECT_THAT(validate("receive-file", path), Succeeded());
    EXPECT_THAT(validate("send-file", path), Succeeded());
  }
  for (const std::string path : {"data", "~/data", ".", "~"}) {
    EXPECT_THAT(validate("receive-dir", path), Succeeded()) << path;
    EXPECT_THAT(validate("mount-dir", path), Succeeded()) << path;
    EXPECT_THAT(validate("send-dir", path), Succeeded()) << path;
  }
  EXPECT_THAT(validate("send-file", "data/new"), Succeeded());
  EXPECT_THAT(validate("send-file", "new/parents/file"), Succeeded());
  EXPECT_THAT(validate("send-dir", "new/parents/directory"), Succeeded());
  EXPECT_EQ(snapshot(root()), before);
}

TEST_P(SshTransferWith, ValidationsFindWhatIsWrong) {
  serve({{"data/file", "content"}, {"closed/file", "x"}});
  set_mode(root() / "closed/file", 0);
  const auto before = snapshot(root());
  EXPECT_THAT(validate("receive-file", "missing"), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(validate("receive-dir", "missing"), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(validate("mount-dir", "missing"), FailedWith(exit_code::kNotFound));
  EXPECT_THAT(validate("receive-file", "data"), Failed());
  EXPECT_THAT(validate("receive-dir", "data/file"), Failed());
  EXPECT_THAT(validate("mount-dir", "data/file"), Failed());
  EXPECT_THAT(validate("receive-file", "closed/file"), FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(validate("send-file", "data"), Failed());
  EXPECT_THAT(validate("send-dir", "data/file"), Failed());
  EXPECT_EQ(snapshot(root()), before);
}

INSTANTIATE_TEST_SUITE_P(Every, SshTransferWith, ::testing::ValuesIn(ssh_server_kinds()),
                         [](const auto& test) { return test.param.name; });

// --- Servers that cannot everything --------------------------------------------------------------

void expect_all_transfers(const Connector& connector, const SshServer& server) {
  const TemporaryDirectory local;
  const FileTree tree = {{"a", "1"}, {"sub/b", random_bytes(300'000)}, {"sub/empty/", ""}};
  write_tree(local / "tree", tree);
  write_file(local / "file", "content");
  for (int times = 0; times < 2; ++times) {
    EXPECT_THAT(connector.call("send-dir", access_to(server, "dirPath", "tree"), {local / "tree"}),
                Succeeded())
        << server.log();
    EXPECT_THAT(
        connector.call("send-file", access_to(server, "filePath", "p/file"), {local / "file"}),
        Succeeded());
  }
  EXPECT_EQ(differences(read_tree(server.root() / "tree"), tree), "");
  EXPECT_EQ(differences(read_tree(server.root() / "p"), {{"file", "content"}}), "");
  EXPECT_THAT(connector.call("receive-dir", access_to(server, "dirPath", "tree"), {local / "back"}),
              Succeeded());
  EXPECT_EQ(differences(read_tree(local / "back"), tree), "");
  EXPECT_THAT(
      connector.call("receive-file", access_to(server, "filePath", "p/file"), {local / "one"}),
      Succeeded());
  EXPECT_EQ(read_file(local / "one"), "content");
}

TEST_F(SshTransfer, WorksWhereRenamingIsForbidden) {
  const AsyncSshServer server({.rename = false});
  expect_all_transfers(connector_, server);
}

TEST_F(SshTransfer, WorksWhereNoRenamingReplacesAFile) {
  const AsyncSshServer server({.posix_rename = false});
  expect_all_transfers(connector_, server);
}

TEST_F(SshTransfer, WorksWithoutAnyExtension) {
  const AsyncSshServer server({.extensions = false});
  expect_all_transfers(connector_, server);
}

TEST_F(SshTransfer, WorksOverOneConnection) {
  const OpenSshServer server;
  write_file(server.root() / "file", random_bytes(10'000'000));
  server.own_root();
  Json access = access_to(server, "filePath", "file");
  access["connections"] = 1;
  EXPECT_THAT(call("receive-file", access, local_), Succeeded());
  EXPECT_TRUE(read_file(local_) == random_bytes(10'000'000));
}

// --- Links that break ----------------------------------------------------------------------------

class SshOverABadLink : public SshTransfer {
 protected:
  /// A transfer of a file of 60 MB that has begun: over one connection, of which the test can cut
  /// the link.
  Process start(const char* subcommand) {
    Json access = access_to(server_, "filePath", "file");
    access["port"] = relay_.port();
    access["connections"] = 1;
    access["bannerTimeout"] = 5;
    const std::string file = connector_.keep_json(access);
    return Process(connector_.command({subcommand, file, local_}), logs_ / "log");
  }

  std::string content_ = random_bytes(60'000'000);
  OpenSshServer server_;
  // So long that a transfer takes seconds: a channel carries 2 MiB per round trip.
  Relay relay_{server_.port(), std::chrono::milliseconds(25)};
  TemporaryDirectory logs_;
};

TEST_F(SshOverABadLink, ReceiveFileResumesWithinTheCall) {
  write_file(server_.root() / "file", content_);
  server_.own_root();
  Process process = start("receive-file");
  ASSERT_TRUE(eventually([&] { return relay_.bytes_to_client() > 20'000'000; }));
  relay_.cut();
  EXPECT_EQ(process.wait(std::chrono::seconds(60)), 0) << read_file(logs_ / "log");
  EXPECT_TRUE(read_file(local_) == content_);
  EXPECT_LT(relay_.bytes_to_client(), 75'000'000u) << "what has come is not fetched again";
}

TEST_F(SshOverABadLink, SendFileResumesWithinTheCall) {
  write_file(local_, content_);
  Process process = start("send-file");
  const auto sent = [&] {
    std::uintmax_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(server_.root())) bytes += entry.file_size();
    return bytes;
  };
  ASSERT_TRUE(eventually([&] { return sent() > 10'000'000; }));
  relay_.cut();
  EXPECT_EQ(process.wait(std::chrono::seconds(60)), 0) << read_file(logs_ / "log");
  EXPECT_TRUE(read_file(server_.root() / "file") == content_);
  EXPECT_THAT(names_in(server_.root()), ElementsAre("file"));
  EXPECT_LT(relay_.bytes_to_server(), 75'000'000u) << "what has arrived is not sent again";
}

// The server's SFTP process hangs in open(2) for as long as nobody writes into the pipe, while its
// SSH layer is alive.
TEST_F(SshTransfer, AServerThatIsStuckIsGivenUp) {
  const OpenSshServer server;
  ASSERT_EQ(::mkfifo((server.root() / "pipe").c_str(), 0644), 0);
  server.own_root();
  const Outcome outcome = call("receive-file", access_to(server, "filePath", "pipe"), local_);
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration, std::chrono::seconds(40));
}

TEST_F(SshOverABadLink, ServersThatAreRestartedAreFoundAgain) {
  write_file(server_.root() / "file", content_);
  server_.own_root();
  Process process = start("receive-file");
  ASSERT_TRUE(eventually([&] { return relay_.bytes_to_client() > 5'000'000; }));
  server_.stop();
  server_.start();
  EXPECT_EQ(process.wait(std::chrono::seconds(60)), 0) << read_file(logs_ / "log");
  EXPECT_TRUE(read_file(local_) == content_);
}

TEST_F(SshOverABadLink, InterruptedReceptionsLeaveNothing) {
  write_file(server_.root() / "file", content_);
  server_.own_root();
  for (const int number : {SIGINT, SIGTERM}) {
    const std::uint64_t before = relay_.bytes_to_client();
    Process process = start("receive-file");
    ASSERT_TRUE(eventually([&] { return relay_.bytes_to_client() > before + 3'000'000; }));
    process.signal(number);
    const auto exit_code = process.wait(std::chrono::seconds(5));
    ASSERT_TRUE(exit_code);
    EXPECT_EQ(*exit_code, 128 + number);
    EXPECT_THAT(names_in(directory_.path()), IsEmpty());
  }
}

TEST_F(SshOverABadLink, InterruptedSendingsLeaveNothing) {
  write_file(local_, content_);
  Process process = start("send-file");
  ASSERT_TRUE(eventually([&] { return !names_in(server_.root()).empty(); }));
  process.signal(SIGTERM);
  const auto exit_code = process.wait(std::chrono::seconds(5));
  ASSERT_TRUE(exit_code);
  EXPECT_EQ(*exit_code, 128 + SIGTERM);
  EXPECT_THAT(names_in(server_.root()), IsEmpty());
}

TEST_F(SshOverABadLink, ALinkThatFreezesIsAnErrorInTheEnd) {
  write_file(server_.root() / "file", content_);
  server_.own_root();
  Process process = start("receive-file");
  ASSERT_TRUE(eventually([&] { return relay_.bytes_to_client() > 5'000'000; }));
  relay_.freeze();
  const auto exit_code = process.wait(std::chrono::seconds(100));
  ASSERT_TRUE(exit_code) << "still waiting";
  EXPECT_GT(*exit_code, 0);
  EXPECT_LT(*exit_code, 128);
  EXPECT_THAT(names_in(directory_.path()), IsEmpty());
}

}  // namespace
}  // namespace red::testing
