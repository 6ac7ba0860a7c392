#include "fuse/mount_daemon.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "common/error.h"
#include "fuse/mount_registry.h"
#include "fuse/unmount.h"
#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ChildProcess;
using testing::eventually;
using ::testing::HasSubstr;
using testing::is_our_mount;
using testing::TemporaryDirectory;

/// An empty directory, or one that cannot be listed.
class RootStore : public RemoteStore {
 public:
  using Listing = std::function<void(const RequestContext&)>;
  explicit RootStore(Listing listing) : listing_(std::move(listing)) {}

  std::optional<Entry> stat(const RemotePath& path, const RequestContext&) override {
    if (!path.is_root()) return std::nullopt;
    Entry root;
    root.kind = EntryKind::Directory;
    return root;
  }
  std::vector<Entry> list(const RemotePath&, const RequestContext& context) override {
    listing_(context);
    return {};
  }
  std::shared_ptr<RemoteFile> open(const RemotePath&, const Version&) override { return nullptr; }
  bool listings_are_complete() const override { return true; }
  std::string location(const RemotePath& path) const override { return "test://" + path.text(); }
  void check(Purpose, const RequestContext&) override {}
  Uploader* uploader() override { return nullptr; }
  TreeEditor* editor() override { return nullptr; }
  int parallelism() const override { return 1; }

 private:
  Listing listing_;
};

void list_nothing(const RequestContext&) {}

void wait_for_stop(const RequestContext& context) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait(lock, context.stop, [] { return false; });
  throw Error(ErrorKind::Cancelled, "stopped");
}

MountRequest request_for(const fs::path& mount_point, RootStore::Listing listing = list_nothing) {
  MountRequest request;
  request.mount_point = mount_point;
  request.source = "http://host/data";
  request.cache_bytes = 8 * 1024 * 1024;
  request.open_store = [listing = std::move(listing)] {
    return std::make_unique<RootStore>(listing);
  };
  return request;
}

std::optional<Error> error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

class MountDaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount_as_root()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
  void TearDown() override {
    if (is_our_mount(path_)) umount_dir(path_);
  }

  ProcessHandle daemon() const {
    const auto found = MountRegistry::open().find(path_);
    if (!found) throw std::runtime_error("no record");
    auto handle = ProcessHandle::find(found->record.pid, found->record.start_ticks);
    if (!handle) throw std::runtime_error("no daemon");
    return std::move(*handle);
  }
  bool has_record() const { return MountRegistry::open().find(path_).has_value(); }
  bool has_child() const { return ::waitpid(-1, nullptr, WNOHANG | WNOWAIT) != -1; }
  void kill_command_while_it_waits(const RootStore::Listing& listing);
  void expect_nothing_is_left() const {
    EXPECT_FALSE(is_our_mount(path_));
    EXPECT_FALSE(has_record());
    EXPECT_FALSE(has_child()) << "a daemon lives, or was not reaped";
  }

  TemporaryDirectory temporary_;
  fs::path path_ = temporary_.make("mount");
};

TEST_F(MountDaemonTest, MountsADirectoryThatCanBeListedAtOnceAndUnmountsIt) {
  mount_dir(request_for(path_));
  EXPECT_TRUE(is_our_mount(path_));
  EXPECT_NO_THROW(fs::directory_iterator{path_});
  const ProcessHandle process = daemon();
  umount_dir(path_);
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_FALSE(has_record());
  EXPECT_TRUE(process.wait_until_ended(0ms));
  EXPECT_TRUE(fs::is_directory(path_));
}

TEST_F(MountDaemonTest, MakesAMissingDirectoryAndRemovesItWithTheMount) {
  const fs::path made = temporary_.path() / "made";
  mount_dir(request_for(made));
  EXPECT_TRUE(is_our_mount(made));
  umount_dir(made);
  EXPECT_FALSE(fs::exists(made));
}

TEST_F(MountDaemonTest, MountsBehindASymbolicLinkAndARelativePath) {
  fs::create_directory_symlink(path_, temporary_.path() / "link");
  const fs::path before = fs::current_path();
  fs::current_path(temporary_.path());
  mount_dir(request_for("link"));
  EXPECT_TRUE(is_our_mount(path_));
  umount_dir("link");
  fs::current_path(before);
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(MountDaemonTest, ReportsTheErrorOfTheStoreAsItsOwnAndLeavesNothing) {
  const fs::path made = temporary_.path() / "made";
  const auto error = error_of([&] {
    mount_dir(request_for(made, [](const RequestContext&) {
      throw Error(ErrorKind::Authentication, "http://host/data: HTTP 401\nsecond line");
    }));
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::Authentication);
  EXPECT_THAT(error->message(), HasSubstr("http://host/data: HTTP 401\nsecond line"));
  EXPECT_FALSE(fs::exists(made));
  expect_nothing_is_left();
}

TEST_F(MountDaemonTest, KeepsADirectoryThatItDidNotMakeWhenItFails) {
  EXPECT_TRUE(error_of([&] {
    mount_dir(request_for(path_, [](const RequestContext&) {
      throw Error(ErrorKind::NotFound, "http://host/data: HTTP 404");
    }));
  }));
  EXPECT_TRUE(fs::is_directory(path_));
  expect_nothing_is_left();
}

TEST_F(MountDaemonTest, SaysHowADaemonDiedAndLeavesNothing) {
  const fs::path made = temporary_.path() / "made";
  const auto error = error_of(
      [&] { mount_dir(request_for(made, [](const RequestContext&) { ::raise(SIGKILL); })); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::Mount);
  EXPECT_THAT(error->message(), HasSubstr("killed by signal 9"));
  EXPECT_FALSE(fs::exists(made));
  EXPECT_FALSE(MountRegistry::open().find(made));
  expect_nothing_is_left();
}

TEST_F(MountDaemonTest, RefusesWhatIsNoEmptyDirectory) {
  std::ofstream(path_ / "file") << "text";
  const auto not_empty = error_of([&] { mount_dir(request_for(path_)); });
  ASSERT_TRUE(not_empty);
  EXPECT_EQ(not_empty->kind(), ErrorKind::Mount);
  EXPECT_THAT(not_empty->message(), HasSubstr(path_.string() + ": the directory is not empty"));
  const auto no_directory = error_of([&] { mount_dir(request_for(path_ / "file")); });
  ASSERT_TRUE(no_directory);
  EXPECT_THAT(no_directory->message(), HasSubstr("not a directory"));
  const auto no_parent = error_of([&] { mount_dir(request_for(path_ / "a/b")); });
  ASSERT_TRUE(no_parent);
  EXPECT_THAT(no_parent->message(), HasSubstr("No such file"));
  EXPECT_FALSE(fs::exists(path_ / "a"));
}

TEST_F(MountDaemonTest, RefusesAMountOfOurs) {
  mount_dir(request_for(path_));
  const auto error = error_of([&] { mount_dir(request_for(path_)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::Mount);
  EXPECT_THAT(error->message(), HasSubstr("already a mount of ours, served by process"));
  EXPECT_TRUE(is_our_mount(path_));
}

TEST_F(MountDaemonTest, TellsOfAKilledDaemonAndUmountDirCleansUp) {
  const fs::path made = temporary_.path() / "made";
  mount_dir(request_for(made));
  const auto found = MountRegistry::open().find(made);
  ASSERT_TRUE(found);
  kill_child(found->record.pid);
  const auto error = error_of([&] { mount_dir(request_for(made)); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message(), HasSubstr("umount-dir"));
  umount_dir(made);
  EXPECT_FALSE(is_our_mount(made));
  EXPECT_FALSE(fs::exists(made));
  EXPECT_FALSE(MountRegistry::open().find(made));
  const std::string own = "-" + std::to_string(found->record.pid) + ".";
  for (const auto& file : fs::directory_iterator("/run/red-connector")) {
    EXPECT_EQ(file.path().string().find(own), std::string::npos) << file.path();
  }
}

TEST_F(MountDaemonTest, KeepsNoPipeAndNoWorkingDirectoryOfItsCaller) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);  // inherited, as an engine's pipes are
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  mount_dir(request_for(path_));
  write_end.reset();
  pollfd closed{read_end.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&closed, 1, 0), 1) << "somebody still has the pipe open";
  const std::string process = "/proc/" + std::to_string(daemon().pid());
  EXPECT_EQ(fs::read_symlink(process + "/cwd"), "/");
  EXPECT_EQ(fs::read_symlink(process + "/fd/0"), "/dev/null");
  EXPECT_EQ(fs::read_symlink(process + "/fd/1"), "/dev/null");
  EXPECT_EQ(::getsid(daemon().pid()), daemon().pid());
}

TEST_F(MountDaemonTest, ADaemonUnmountsWhenItIsTerminated) {
  const fs::path made = temporary_.path() / "made";
  mount_dir(request_for(made));
  const auto found = MountRegistry::open().find(made);
  ASSERT_TRUE(found);
  ::kill(found->record.pid, SIGTERM);
  EXPECT_EQ(wait_for_child(found->record.pid, 10s), 0);
  EXPECT_FALSE(is_our_mount(made));
  EXPECT_FALSE(fs::exists(made));
  EXPECT_FALSE(MountRegistry::open().find(made));
}

TEST_F(MountDaemonTest, ADaemonEndsWhenItsMountIsRemovedFromOutside) {
  mount_dir(request_for(path_));
  const ProcessHandle process = daemon();
  ASSERT_EQ(::umount2(path_.c_str(), 0), 0);
  EXPECT_EQ(wait_for_child(process.pid(), 10s), 0);
  expect_nothing_is_left();
}

/// Kills the command while its daemon lists the root; the listing goes on as `listing` does.
void MountDaemonTest::kill_command_while_it_waits(const RootStore::Listing& listing) {
  const fs::path made = temporary_.path() / "made";
  const fs::path fifo = temporary_.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd listening(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ChildProcess command([&] {
    mount_dir(request_for(made, [&](const RequestContext& context) {
      const UniqueFd held(::open(fifo.c_str(), O_WRONLY));
      if (::write(held.get(), "x", 1) == 1) listing(context);
    }));
    return 0;
  });
  pollfd started{listening.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&started, 1, 10000), 1);
  const auto found = MountRegistry::open().find(made);
  ASSERT_TRUE(found);
  const auto process = ProcessHandle::find(found->record.pid, found->record.start_ticks);
  ASSERT_TRUE(process);
  ::kill(command.pid(), SIGKILL);
  EXPECT_TRUE(process->wait_until_ended(10s));
  EXPECT_FALSE(is_our_mount(made));
  EXPECT_FALSE(fs::exists(made));
  EXPECT_FALSE(MountRegistry::open().find(made));
}

TEST_F(MountDaemonTest, ACommandThatIsKilledWhileItWaitsLeavesNothing) {
  kill_command_while_it_waits(wait_for_stop);
}

TEST_F(MountDaemonTest, ADaemonThatDoesNotStopEndsByForceAndLeavesNothing) {
  kill_command_while_it_waits([](const RequestContext&) { ::pause(); });
}

TEST_F(MountDaemonTest, UmountDirDetachesFromAnOpenFileAndTheDaemonEndsWhenItIsClosed) {
  const fs::path made = temporary_.path() / "made";
  mount_dir(request_for(made));
  const pid_t pid = MountRegistry::open().find(made)->record.pid;
  UniqueFd held(::open(made.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(held);
  ::testing::internal::CaptureStderr();
  umount_dir(made);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("still open: pid " + std::to_string(::getpid())));
  EXPECT_FALSE(is_our_mount(made));
  EXPECT_FALSE(fs::exists(made));
  EXPECT_EQ(wait_for_child(pid, 0ms), std::nullopt) << "it must serve the open file";
  mount_dir(request_for(made));
  held.reset();
  EXPECT_EQ(wait_for_child(pid, 10s), 0);
  EXPECT_TRUE(is_our_mount(made)) << "the first daemon took the mount of the second with it";
  umount_dir(made);
  EXPECT_FALSE(fs::exists(made));
}

TEST_F(MountDaemonTest, MountsAnewWhereAMountWasDetachedFromOutside) {
  mount_dir(request_for(path_));
  const pid_t first = daemon().pid();
  UniqueFd held(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::umount2(path_.c_str(), MNT_DETACH), 0);
  mount_dir(request_for(path_));
  EXPECT_NE(daemon().pid(), first);
  held.reset();
  EXPECT_EQ(wait_for_child(first, 10s), 0);
  EXPECT_TRUE(is_our_mount(path_));
  EXPECT_TRUE(has_record());
}

TEST_F(MountDaemonTest, ADetachedDaemonThatIsTerminatedLeavesTheNextMountAlone) {
  mount_dir(request_for(path_));
  const pid_t first = daemon().pid();
  const UniqueFd held(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::umount2(path_.c_str(), MNT_DETACH), 0);
  mount_dir(request_for(path_));
  ::kill(first, SIGTERM);
  EXPECT_TRUE(wait_for_child(first, 10s));
  EXPECT_TRUE(is_our_mount(path_));
}

TEST_F(MountDaemonTest, UmountDirEndsADaemonThatIsStopped) {
  mount_dir(request_for(path_));
  const ProcessHandle process = daemon();
  process.signal(SIGSTOP);
  const auto start = std::chrono::steady_clock::now();
  umount_dir(path_);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_TRUE(process.wait_until_ended(0ms));
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_FALSE(has_record());
}

TEST_F(MountDaemonTest, TwoUmountDirsAtOnceDoNoHarm) {
  mount_dir(request_for(path_));
  const auto umount = [this] {
    const auto error = error_of([this] { umount_dir(path_); });
    return !error || error->message().find("no mount of ours") != std::string::npos ? 0 : 1;
  };
  ChildProcess first(umount);
  ChildProcess second(umount);
  EXPECT_EQ(first.wait(), 0);
  EXPECT_EQ(second.wait(), 0);
  EXPECT_FALSE(is_our_mount(path_));
  EXPECT_FALSE(has_record());
}

TEST_F(MountDaemonTest, OfTwoMountDirsAtOnceOneMounts) {
  const auto mount = [this] {
    const auto error = error_of([this] { mount_dir(request_for(path_)); });
    return error ? error->exit_code() : 0;
  };
  ChildProcess first(mount);
  ChildProcess second(mount);
  const std::array codes{first.wait(), second.wait()};
  EXPECT_THAT(codes, ::testing::UnorderedElementsAre(0, exit_code_of(ErrorKind::Mount)));
  umount_dir(path_);
  EXPECT_FALSE(is_our_mount(path_));
}

TEST_F(MountDaemonTest, TheForegroundServesUntilItIsInterrupted) {
  const fs::path made = temporary_.path() / "made";
  ChildProcess foreground([&] {
    MountRequest request = request_for(made);
    request.foreground = true;
    request.log_level = LogLevel::Warning;
    mount_dir(request);
    return 0;
  });
  ASSERT_TRUE(eventually([&] {
    const auto found = MountRegistry::open().find(made);
    return found && found->record.device;
  }));
  EXPECT_TRUE(is_our_mount(made));
  ::kill(foreground.pid(), SIGINT);
  EXPECT_EQ(foreground.wait(), 0);
  EXPECT_FALSE(is_our_mount(made));
  EXPECT_FALSE(fs::exists(made));
}

TEST_F(MountDaemonTest, TheForegroundIsInterruptedBeforeItIsReady) {
  const fs::path made = temporary_.path() / "made";
  ChildProcess foreground([&] {
    MountRequest request = request_for(made, wait_for_stop);
    request.foreground = true;
    request.log_level = LogLevel::Warning;
    const auto error = error_of([&] { mount_dir(request); });
    return error ? error->exit_code() : 0;
  });
  ASSERT_TRUE(eventually([&] { return MountRegistry::open().find(made).has_value(); }));
  ::kill(foreground.pid(), SIGTERM);
  EXPECT_EQ(foreground.wait(), exit_code_of(ErrorKind::Cancelled));
  EXPECT_FALSE(fs::exists(made));
}

TEST_F(MountDaemonTest, WritesALogWhereItWasToldTo) {
  const fs::path before = fs::current_path();
  fs::current_path(temporary_.path());
  MountRequest request = request_for(path_);
  request.log_file = "relative.log";
  mount_dir(request);
  fs::current_path(before);
  umount_dir(path_);
  std::ifstream log(temporary_.path() / "relative.log");
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  EXPECT_THAT(text, HasSubstr("mounted at " + path_.string()));
}

TEST_F(MountDaemonTest, RefusesALogFileThatCannotBeOpened) {
  MountRequest request = request_for(path_);
  std::ofstream(temporary_.path() / "file") << "text";
  request.log_file = temporary_.path() / "file/no.log";
  const auto error = error_of([&] { mount_dir(request); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::LocalIo);
  expect_nothing_is_left();
}

TEST_F(MountDaemonTest, ListsMountsWithTheirDaemonAndCacheUse) {
  mount_dir(request_for(path_));
  const pid_t pid = daemon().pid();
  ::testing::internal::CaptureStdout();
  print_mounts();
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, ::testing::StartsWith("PATH "));
  // Mounts of others on this machine decide how wide the columns are.
  EXPECT_THAT(text, ::testing::ContainsRegex(path_.string() + " +http://host/data +" +
                                             std::to_string(pid) + " "));
  EXPECT_THAT(text, HasSubstr("/8.0 MiB"));
}

TEST_F(MountDaemonTest, ListsAStoppedDaemonWithoutWaitingForIt) {
  mount_dir(request_for(path_));
  const ProcessHandle process = daemon();
  process.signal(SIGSTOP);
  ::testing::internal::CaptureStdout();
  const auto start = std::chrono::steady_clock::now();
  print_mounts();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr(std::to_string(process.pid())));
  process.signal(SIGCONT);
}

constexpr uid_t kUser = 65534;

/// Steps of a test in a process of its own: the first expectation that fails ends it.
class Steps {
 public:
  void expect(bool condition, const char* what) const {
    if (condition) return;
    std::fprintf(stderr, "not so: %s\n", what);
    ::_exit(1);
  }
  int run(const std::function<void()>& work) const {
    const auto error = error_of(work);
    expect(!error, error ? error->what() : "");
    return 0;
  }
};

/// Runs as root, in a mount namespace of its own where every user may open /dev/fuse.
int with_open_device(const fs::path& directory, const std::function<void(const Steps&)>& work) {
  ChildProcess process([&] {
    const Steps steps;
    const fs::path device = directory / "device";
    struct stat status {};
    steps.expect(::stat("/dev/fuse", &status) == 0 && ::unshare(CLONE_NEWNS) == 0 &&
                     ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                     ::mknod(device.c_str(), S_IFCHR, status.st_rdev) == 0 &&
                     ::chmod(device.c_str(), 0666) == 0 &&
                     ::mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0,
                 "a namespace with its own device");
    return steps.run([&] { work(steps); });
  });
  return process.wait();
}

int as_ordinary_user(const std::function<void(const Steps&)>& work) {
  ChildProcess process([&] {
    const Steps steps;
    steps.expect(::setgroups(0, nullptr) == 0 && ::setresgid(kUser, kUser, kUser) == 0 &&
                     ::setresuid(kUser, kUser, kUser) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0,
                 "an ordinary user");
    return steps.run([&] { work(steps); });
  });
  return process.wait();
}

class MountDaemonUserTest : public MountDaemonTest {
 protected:
  void SetUp() override {
    MountDaemonTest::SetUp();
    if (!find_fusermount()) GTEST_SKIP() << "needs fusermount3";
    ASSERT_EQ(::chmod(temporary_.path().c_str(), 0777), 0);
  }

  fs::path made_ = temporary_.path() / "made";
};

TEST_F(MountDaemonUserTest, MountsAndUnmountsWithFusermount) {
  EXPECT_EQ(with_open_device(temporary_.path(),
                             [this](const Steps& outer) {
                               outer.expect(
                                   as_ordinary_user([this](const Steps& steps) {
                                     mount_dir(request_for(made_));
                                     const auto found = MountRegistry::open().find(made_);
                                     steps.expect(is_our_mount(made_), "mounted");
                                     steps.expect(found && found->daemon_alive, "recorded");
                                     umount_dir(made_);
                                     steps.expect(!is_our_mount(made_), "unmounted");
                                     steps.expect(wait_for_child(found->record.pid, 0ms) == 0,
                                                  "the daemon has ended");
                                     steps.expect(!fs::exists(made_), "the directory is removed");
                                   }) == 0,
                                   "as a user");
                             }),
            0);
}

TEST_F(MountDaemonUserTest, DetachesWithFusermount) {
  EXPECT_EQ(with_open_device(
                temporary_.path(),
                [this](const Steps& outer) {
                  outer.expect(
                      as_ordinary_user([this](const Steps& steps) {
                        mount_dir(request_for(made_));
                        const pid_t pid = MountRegistry::open().find(made_)->record.pid;
                        UniqueFd held(::open(made_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
                        umount_dir(made_);
                        steps.expect(!is_our_mount(made_), "detached");
                        steps.expect(!wait_for_child(pid, 0ms),
                                     "the daemon serves the open directory");
                        held.reset();
                        steps.expect(wait_for_child(pid, 10s) == 0, "the daemon has ended");
                      }) == 0,
                      "as a user");
                }),
            0);
}

TEST_F(MountDaemonUserTest, TellsWhatFusermountSaid) {
  ASSERT_EQ(::chmod(temporary_.path().c_str(), 0755), 0);  // the mount point belongs to root
  EXPECT_EQ(with_open_device(temporary_.path(),
                             [this](const Steps& outer) {
                               outer.expect(as_ordinary_user([this](const Steps& steps) {
                                              const auto error =
                                                  error_of([&] { mount_dir(request_for(path_)); });
                                              steps.expect(error.has_value(), "refused");
                                              steps.expect(error->message().find("fusermount3: ") !=
                                                               std::string::npos,
                                                           error->what());
                                            }) == 0,
                                            "as a user");
                             }),
            0);
}

TEST_F(MountDaemonUserTest, ADaemonUnmountsWithFusermountWhenItIsTerminated) {
  EXPECT_EQ(
      with_open_device(temporary_.path(),
                       [this](const Steps& outer) {
                         outer.expect(
                             as_ordinary_user([this](const Steps& steps) {
                               mount_dir(request_for(made_));
                               const pid_t pid = MountRegistry::open().find(made_)->record.pid;
                               ::kill(pid, SIGTERM);
                               steps.expect(wait_for_child(pid, 10s) == 0, "the daemon has ended");
                               steps.expect(!is_our_mount(made_), "unmounted");
                               steps.expect(!fs::exists(made_), "the directory is removed");
                             }) == 0,
                             "as a user");
                       }),
      0);
}

TEST_F(MountDaemonUserTest, RootUnmountsTheMountOfAUser) {
  EXPECT_EQ(with_open_device(temporary_.path(),
                             [this](const Steps& steps) {
                               steps.expect(as_ordinary_user([this](const Steps&) {
                                              mount_dir(request_for(made_));
                                            }) == 0,
                                            "mounted by a user");
                               const auto registered = MountRegistry::find_of(kUser)->find(made_);
                               steps.expect(registered && registered->daemon_alive, "recorded");
                               umount_dir(made_);
                               steps.expect(!is_our_mount(made_), "unmounted");
                               steps.expect(!fs::exists(made_), "the directory is removed");
                               steps.expect(!start_ticks_of(registered->record.pid),
                                            "the daemon has ended");
                             }),
            0);
}

}  // namespace
}  // namespace red
