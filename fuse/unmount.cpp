#include "fuse/unmount.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/unique_fd.h"
#include "fuse/bounded_child.h"
#include "fuse/process_handle.h"

namespace red {
namespace {

namespace fs = std::filesystem;

enum class Mode { Plain, Detach };

bool is_mount_of_ours(const fs::path& mount_point) {
  const MountTable table = read_mount_table();
  const MountEntry* top = find_top_mount(table, mount_point);
  return top != nullptr && top->is_ours();
}

[[noreturn]] void fail(const fs::path& mount_point, const std::string& why) {
  throw Error(ErrorKind::Mount, "cannot unmount " + mount_point.string() + ": " + why);
}

struct ProgramResult {
  bool success = false;
  std::string error_text;  ///< what it wrote to stderr, without the line end
};

/// What a program is started with: only stderr, and signals as a program expects them, since a
/// daemon blocks some.
class SpawnSettings {
 public:
  explicit SpawnSettings(int stderr_fd) {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, stderr_fd, STDERR_FILENO);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
};

ProgramResult run_program(const std::vector<std::string>& words) {
  constexpr std::chrono::milliseconds kLimit{2000};
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error::local_io(errno, "cannot make a pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const SpawnSettings settings(write_end.get());
  pid_t child = 0;
  const int failure = ::posix_spawn(&child, arguments[0], &settings.files, &settings.attributes,
                                    arguments.data(), environ);
  if (failure != 0) return {false, Error::local_io(failure, words[0]).message()};
  write_end.reset();

  ProgramResult result;
  read_until(read_end.get(), deadline, result.error_text);
  while (result.error_text.ends_with('\n')) result.error_text.pop_back();
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  const auto status = wait_for_child(child, left);
  if (!status) {
    kill_child(child);
    return {false, words[0] + " does not end"};
  }
  result.success = *status == EXIT_SUCCESS;
  return result;
}

/// The way of a user who may not unmount by himself.
UnmountResult unmount_by_fusermount(const fs::path& mount_point, Mode mode) {
  const auto fusermount = find_fusermount();
  if (!fusermount) fail(mount_point, "only root may do it, and fusermount3 is not installed");
  const ProgramResult result = run_program(
      {fusermount->string(), mode == Mode::Detach ? "-uz" : "-u", "--", mount_point.string()});
  if (result.success) return UnmountResult::Done;
  if (!is_mount_of_ours(mount_point)) return UnmountResult::NotMounted;
  if (mode == Mode::Plain && result.error_text.find("busy") != std::string::npos) {
    return UnmountResult::Busy;
  }
  fail(mount_point, result.error_text);
}

UnmountResult unmount_in(const fs::path& mount_point, Mode mode) {
  if (!is_mount_of_ours(mount_point)) return UnmountResult::NotMounted;
  const int flags = UMOUNT_NOFOLLOW | (mode == Mode::Detach ? MNT_DETACH : 0);
  if (::umount2(mount_point.c_str(), flags) == 0) return UnmountResult::Done;
  switch (errno) {
    case EBUSY:
      return UnmountResult::Busy;
    case EINVAL:
    case ENOENT:
      return UnmountResult::NotMounted;
    case EPERM:
      return unmount_by_fusermount(mount_point, mode);
    default:
      fail(mount_point, Error::local_io(errno, "umount2").message());
  }
}

}  // namespace

UnmountResult unmount(const fs::path& mount_point) { return unmount_in(mount_point, Mode::Plain); }

UnmountResult detach(const fs::path& mount_point) { return unmount_in(mount_point, Mode::Detach); }

std::optional<fs::path> find_fusermount(const fs::path& root) {
  for (const char* const directory : {"usr/bin", "bin", "usr/local/bin", "usr/sbin", "sbin"}) {
    fs::path program = root / directory / "fusermount3";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

}  // namespace red
