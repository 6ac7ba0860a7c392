// Random file operations on a writable mount over SFTP, compared one by one with a local directory.
//
// RED_MODEL_SEED repeats a run, RED_MODEL_OPERATIONS makes it shorter or longer.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/ssh_mount_fixture.h"
#include "tests/servers/openssh_server.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

// Several walks, so that none of them comes near the time limit of a test.
constexpr std::uint64_t kWalks = 5;
constexpr std::uint64_t kOperationsPerWalk = 25'000;
constexpr std::uint64_t kOperationsBetweenTreeComparisons = 1'000;
constexpr std::uint64_t kOperationsBetweenServerComparisons = 5'000;
constexpr std::size_t kMaxOpenFiles = 6;
constexpr std::size_t kMaxFileSize = 400'000;
constexpr std::size_t kHistory = 100;

/// What one side made of an operation.
struct Result {
  long value = 0;  ///< what the call returned
  int error = 0;   ///< errno if that was negative
  std::string bytes = {};

  bool operator==(const Result& other) const {
    return value == other.value && bytes == other.bytes && kind(error) == kind(other.error);
  }
  /// Both mean that a directory holds something.
  static int kind(int error) { return error == EEXIST ? ENOTEMPTY : error; }
};

Result result_of(long value) {
  return {.value = value < 0 ? -1 : value, .error = value < 0 ? errno : 0};
}

/// As result_of(), but the value itself is each side's own business.
Result outcome_of(long value) {
  Result result = result_of(value);
  result.value = std::min(result.value, 0L);
  return result;
}

std::string quoted(const std::string& text) {
  std::string all = "\"";
  for (const char byte : text) {
    std::array<char, 8> escape{};
    if (byte >= ' ' && byte < 127 && byte != '"' && byte != '\\') {
      all += byte;
    } else {
      std::snprintf(escape.data(), escape.size(), "\\x%02X",
                    static_cast<unsigned>(static_cast<unsigned char>(byte)));
      all += escape.data();
    }
  }
  return all + "\"";
}

std::string describe(const Result& result) {
  std::string text = std::to_string(result.value);
  if (result.error != 0) text += std::string(" (") + std::strerror(result.error) + ")";
  if (result.bytes.size() > 200) {
    return text + ", " + std::to_string(result.bytes.size()) + " bytes of hash " +
           std::to_string(std::hash<std::string>()(result.bytes));
  }
  return text + (result.bytes.empty() ? "" : ", " + quoted(result.bytes));
}

/// Type, mode, size and modification time, as far as both sides must have the same. Times are the
/// same only where somebody has set them, which is always long ago here.
std::string attributes_text(const struct stat& status) {
  std::string text = std::to_string(status.st_mode);
  if (!S_ISDIR(status.st_mode)) text += " " + std::to_string(status.st_size);
  constexpr time_t kRecently = 1'600'000'000;
  if (S_ISREG(status.st_mode)) {
    text += status.st_mtime > kRecently ? " now" : " " + std::to_string(status.st_mtime);
  }
  return text;
}

Result read_bytes(int descriptor, std::size_t count, std::optional<off_t> offset) {
  Result result;
  result.bytes.resize(count);
  const ssize_t got = offset ? ::pread(descriptor, result.bytes.data(), count, *offset)
                             : ::read(descriptor, result.bytes.data(), count);
  result.value = got;
  if (got < 0) result.error = errno;
  result.bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return result;
}

Result read_whole(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return result_of(-1);
  std::string all;
  for (;;) {
    Result part = read_bytes(file.get(), 1 << 17, {});
    if (part.value < 0) return part;
    if (part.value == 0) break;
    all += part.bytes;
  }
  return {.value = 0, .error = 0, .bytes = std::move(all)};
}

Result list(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return result_of(-1);
  std::set<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) names.insert(entry->d_name);
  Result result = result_of(errno == 0 ? 0 : -1);
  ::closedir(directory);
  for (const std::string& name : names) result.bytes += name + "/";
  return result;
}

Result link_target(const std::string& path) {
  std::array<char, 4096> target{};
  Result result = result_of(::readlink(path.c_str(), target.data(), target.size()));
  if (result.value > 0) result.bytes.assign(target.data(), static_cast<std::size_t>(result.value));
  return result;
}

Result attributes(const std::string& path, bool follow) {
  struct stat status {};
  Result result =
      result_of(follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status));
  if (result.error == 0) result.bytes = attributes_text(status);
  return result;
}

/// All there is below a directory, a line or more for each entry; links are not followed.
void describe_tree(const std::string& root, const std::string& name, std::string& text) {
  const std::string path = root + name;
  const Result entry = attributes(path, false);
  text += quoted(name) + " " + describe(entry) + "\n";
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (S_ISLNK(status.st_mode)) text += "  leads to " + describe(link_target(path)) + "\n";
  if (S_ISREG(status.st_mode)) text += "  holds " + describe(read_whole(path)) + "\n";
  if (!S_ISDIR(status.st_mode)) return;
  const Result names = list(path);
  if (names.error != 0) text += "  cannot be listed: " + describe(names) + "\n";
  std::istringstream all(names.bytes);
  for (std::string child; std::getline(all, child, '/');) {
    if (child != "." && child != "..") describe_tree(root, name + "/" + child, text);
  }
}

std::string describe_tree(const std::string& root) {
  std::string text;
  describe_tree(root, "", text);
  return text;
}

std::string first_difference(const std::string& one, const std::string& other) {
  std::istringstream left(one);
  std::istringstream right(other);
  std::string left_line;
  std::string right_line;
  std::string before;
  for (;;) {
    const bool more_left = static_cast<bool>(std::getline(left, left_line));
    const bool more_right = static_cast<bool>(std::getline(right, right_line));
    if (!more_left && !more_right) return "";
    if (!more_left) left_line = "(nothing)";
    if (!more_right) right_line = "(nothing)";
    if (left_line != right_line) return before + "\n" + left_line + "\ninstead of\n" + right_line;
    before = left_line;
  }
}

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = ::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Does everything twice, in the mount and in the reference directory, and stops at the first thing
/// that is not the same.
class Twins {
 public:
  Twins(std::string mount, std::string reference, std::uint64_t seed)
      : mount_(std::move(mount)), reference_(std::move(reference)), random_(seed) {}

  bool same() const { return same_; }
  std::uint64_t operations() const { return operations_; }

  void step() {
    ++operations_;
    // Weights: how often, of a thousand.
    struct Choice {
      unsigned weight;
      void (Twins::*operation)();
    };
    static constexpr Choice kChoices[] = {
        {90, &Twins::create},           {50, &Twins::open_existing}, {80, &Twins::close_one},
        {160, &Twins::write_at},        {50, &Twins::write_on},      {100, &Twins::read_at},
        {30, &Twins::read_on},          {30, &Twins::truncate_open}, {20, &Twins::truncate_path},
        {30, &Twins::synchronize},      {30, &Twins::stat_open},     {60, &Twins::stat_path},
        {50, &Twins::list_path},        {15, &Twins::read_link},     {40, &Twins::make_directory},
        {20, &Twins::remove_directory}, {40, &Twins::unlink_path},   {60, &Twins::rename_path},
        {20, &Twins::make_link},        {25, &Twins::change_mode},   {25, &Twins::change_time},
        {40, &Twins::write_whole},      {60, &Twins::read_path},
    };
    unsigned sum = 0;
    for (const Choice& choice : kChoices) sum += choice.weight;
    unsigned drawn = static_cast<unsigned>(below(sum));
    for (const Choice& choice : kChoices) {
      if (drawn < choice.weight) {
        (this->*choice.operation)();
        return;
      }
      drawn -= choice.weight;
    }
  }

  void compare_trees() { compare_with(mount_, "the mount"); }
  /// What is on the server once everything is closed.
  void compare_server(const std::string& root) {
    while (same_ && !open_.empty()) close_one();
    compare_with(root, "the server");
  }

  std::string history() const {
    std::string text;
    for (const std::string& line : history_) text += line + "\n";
    return text;
  }

 private:
  /// A file that is open on both sides.
  struct OpenFile {
    FileDescriptor mount;
    FileDescriptor reference;
    std::string name;
    int flags = 0;
  };

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

  /// Few enough names that operations meet, on up to three levels.
  std::string some_path() {
    static const std::vector<std::string> kNames = {"a", "b", "new\nline", "d d", "\xFF\xC3"};
    std::string path;
    const std::uint64_t depth = 1 + below(5) / 2;
    for (std::uint64_t i = 0; i < depth; ++i) path += "/" + kNames[below(kNames.size())];
    return path;
  }
  std::string some_bytes() {
    const std::size_t size = 1 + (one_in(10) ? below(150'000) : below(6'000));
    return random_bytes(size, random_());
  }
  off_t some_offset() { return static_cast<off_t>(one_in(3) ? below(200'000) : below(12'000)); }

  void note(std::string line) {
    history_.push_back(std::to_string(operations_) + ": " + std::move(line));
    if (history_.size() > kHistory) history_.pop_front();
  }

  void expect_same(const Result& mounted, const Result& expected, const std::string& what) {
    history_.back() += " = " + describe(expected);
    if (mounted == expected) return;
    same_ = false;
    history_.back() += " BUT IN THE MOUNT " + describe(mounted) + " [" + what + "]";
  }

  /// The same on both sides, with the path on each.
  Result both(const std::string& what, const std::string& path,
              const std::function<Result(const std::string&)>& operation) {
    note(what + " " + quoted(path));
    const Result mounted = operation(mount_ + path);
    const Result expected = operation(reference_ + path);
    expect_same(mounted, expected, what);
    return expected;
  }
  Result both(const std::string& what, OpenFile& file,
              const std::function<Result(int)>& operation) {
    note(what + " " + name_of(file));
    const Result mounted = operation(file.mount.get());
    const Result expected = operation(file.reference.get());
    expect_same(mounted, expected, what);
    return expected;
  }
  std::string name_of(const OpenFile& file) const {
    return "#" + std::to_string(file.reference.get()) + " opened as " + quoted(file.name);
  }

  /// What the path has become.
  void look_at(const std::string& path) {
    if (same_) {
      both("lstat", path, [](const std::string& at) { return attributes(at, false); });
    }
  }
  void look_at(OpenFile& file) {
    if (!same_) return;
    both("fstat", file, [](int descriptor) {
      struct stat status {};
      Result result = result_of(::fstat(descriptor, &status));
      if (result.error == 0) result.bytes = attributes_text(status);
      return result;
    });
  }

  // --- Open files --------------------------------------------------------------------------------

  OpenFile* some_open() { return open_.empty() ? nullptr : &open_[below(open_.size())]; }
  /// For what reads or writes: descriptors that cannot are tried now and then only.
  OpenFile* some_open(int direction) {
    OpenFile* file = some_open();
    for (int i = 0; i < 3 && file != nullptr; ++i) {
      const int mode = file->flags & O_ACCMODE;
      if (mode == O_RDWR || mode == direction) break;
      file = some_open();
    }
    return file;
  }

  void open_path(const std::string& path, int flags, mode_t mode) {
    if (open_.size() >= kMaxOpenFiles) close_one();
    if (!same_) return;
    OpenFile file{.mount = {}, .reference = {}, .name = path, .flags = flags};
    std::ostringstream what;
    what << "open(0" << std::oct << flags << ", 0" << mode << ")";
    note(what.str() + " " + quoted(path));
    file.mount = FileDescriptor(::open((mount_ + path).c_str(), flags | O_CLOEXEC, mode));
    const Result mounted = outcome_of(file.mount.get());
    file.reference = FileDescriptor(::open((reference_ + path).c_str(), flags | O_CLOEXEC, mode));
    const Result expected = outcome_of(file.reference.get());
    expect_same(mounted, expected, "open");
    if (file.reference) history_.back() += " as #" + std::to_string(file.reference.get());
    look_at(path);
    if (!same_ || !file.reference) return;
    struct stat status {};
    if (::fstat(file.reference.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    open_.push_back(std::move(file));
  }

  void create() {
    static constexpr mode_t kModes[] = {0644, 0644, 0600, 0755, 0664, 0444};
    int flags = O_CREAT | (one_in(3) ? O_WRONLY : O_RDWR);
    if (one_in(3)) flags |= O_EXCL;
    if (one_in(4)) flags |= O_TRUNC;
    if (one_in(6)) flags |= O_APPEND;
    open_for_writing(some_path(), flags, kModes[below(std::size(kModes))]);
  }
  void open_existing() {
    static constexpr int kFlags[] = {O_RDONLY, O_RDONLY,         O_WRONLY,           O_RDWR,
                                     O_RDWR,   O_RDWR | O_TRUNC, O_WRONLY | O_APPEND};
    const int flags = kFlags[below(std::size(kFlags))];
    if (flags == O_RDONLY) return open_path(some_path(), flags, 0);
    open_for_writing(some_path(), flags, 0);
  }
  /// What is read-only for its owner may not be opened for writing; the superuser, who may own the
  /// reference, could.
  void open_for_writing(const std::string& path, int flags, mode_t mode) {
    struct stat status {};
    if (::stat((reference_ + path).c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      if ((status.st_mode & S_IWUSR) == 0) return look_at(path);
    }
    open_path(path, flags, mode);
  }

  void close_one() {
    if (open_.empty()) return;
    const std::size_t index = below(open_.size());
    OpenFile file = std::move(open_[index]);
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
    note("close " + name_of(file));
    const int copy = ::fcntl(file.mount.get(), F_DUPFD_CLOEXEC, 0);
    file.mount.close();
    const Result mounted = result_of(::close(copy));
    file.reference.close();
    expect_same(mounted, {}, "close");
    look_at(file.name);
  }

  void write_at() {
    OpenFile* file = some_open(O_WRONLY);
    if (file == nullptr) return create();
    const std::string bytes = some_bytes();
    const off_t offset = some_offset();
    both("pwrite(" + std::to_string(bytes.size()) + " at " + std::to_string(offset) + ")", *file,
         [&](int descriptor) {
           return result_of(::pwrite(descriptor, bytes.data(), bytes.size(), offset));
         });
    look_at(*file);
    keep_small(*file);
  }
  void write_on() {
    OpenFile* file = some_open(O_WRONLY);
    if (file == nullptr) return create();
    const std::string bytes = some_bytes();
    both("write(" + std::to_string(bytes.size()) + ")", *file, [&](int descriptor) {
      return result_of(::write(descriptor, bytes.data(), bytes.size()));
    });
    look_at(*file);
    keep_small(*file);
  }
  /// Appending would let a file grow without end.
  void keep_small(OpenFile& file) {
    struct stat status {};
    if (!same_ || ::fstat(file.reference.get(), &status) != 0) return;
    if (static_cast<std::size_t>(status.st_size) > kMaxFileSize) truncate_to(file, 1'000);
  }
  void read_at() {
    OpenFile* file = some_open(O_RDONLY);
    if (file == nullptr) return create();
    const std::size_t count = 1 + (one_in(5) ? below(200'000) : below(8'000));
    const off_t offset = some_offset();
    both("pread(" + std::to_string(count) + " at " + std::to_string(offset) + ")", *file,
         [&](int descriptor) { return read_bytes(descriptor, count, offset); });
  }
  void read_on() {
    OpenFile* file = some_open(O_RDONLY);
    if (file == nullptr) return create();
    const std::size_t count = 1 + below(20'000);
    if (one_in(3)) {
      const off_t offset = some_offset();
      both("lseek(" + std::to_string(offset) + ")", *file,
           [&](int descriptor) { return result_of(::lseek(descriptor, offset, SEEK_SET)); });
    }
    if (!same_) return;
    both("read(" + std::to_string(count) + ")", *file,
         [&](int descriptor) { return read_bytes(descriptor, count, {}); });
  }
  void truncate_open() {
    OpenFile* file = some_open(O_WRONLY);
    if (file == nullptr) return create();
    truncate_to(*file, some_offset());
  }
  void truncate_to(OpenFile& file, off_t size) {
    // Whether a file that keeps its size gets a new time is nobody's promise.
    struct stat status {};
    if (::fstat(file.reference.get(), &status) == 0 && status.st_size == size) return;
    both("ftruncate(" + std::to_string(size) + ")", file,
         [&](int descriptor) { return result_of(::ftruncate(descriptor, size)); });
    look_at(file);
  }
  void synchronize() {
    OpenFile* file = some_open();
    if (file == nullptr) return create();
    const bool data_only = one_in(2);
    both(data_only ? "fdatasync" : "fsync", *file, [&](int descriptor) {
      return result_of(data_only ? ::fdatasync(descriptor) : ::fsync(descriptor));
    });
  }
  void stat_open() {
    OpenFile* file = some_open();
    if (file == nullptr) return create();
    look_at(*file);
  }

  // --- Paths -------------------------------------------------------------------------------------

  void truncate_path() {
    const std::string path = some_path();
    const off_t size = some_offset();
    struct stat status {};
    if (::stat((reference_ + path).c_str(), &status) == 0 &&
        (status.st_size == size || (status.st_mode & S_IWUSR) == 0)) {
      return look_at(path);
    }
    both("truncate(" + std::to_string(size) + ")", path,
         [&](const std::string& at) { return result_of(::truncate(at.c_str(), size)); });
    look_at(path);
  }
  void stat_path() {
    const bool follow = one_in(2);
    both(follow ? "stat" : "lstat", some_path(),
         [&](const std::string& at) { return attributes(at, follow); });
  }
  void list_path() { both("list", one_in(4) ? "" : some_path(), list); }
  void read_link() { both("readlink", some_path(), link_target); }
  void make_directory() {
    const std::string path = some_path();
    const mode_t mode = one_in(3) ? 0700 : 0755;
    both("mkdir", path,
         [&](const std::string& at) { return result_of(::mkdir(at.c_str(), mode)); });
    look_at(path);
  }
  void remove_directory() {
    const std::string path = some_path();
    both("rmdir", path, [](const std::string& at) { return result_of(::rmdir(at.c_str())); });
    look_at(path);
  }
  void unlink_path() {
    const std::string path = some_path();
    both("unlink", path, [](const std::string& at) { return result_of(::unlink(at.c_str())); });
    look_at(path);
  }
  void rename_path() {
    const std::string from = some_path();
    const std::string to = some_path();
    const unsigned flags = one_in(4) ? RENAME_NOREPLACE : 0;
    note(std::string("rename") + (flags != 0 ? " without replacing " : " ") + quoted(from) +
         " to " + quoted(to));
    const auto rename = [&](const std::string& root) {
      return result_of(
          ::renameat2(AT_FDCWD, (root + from).c_str(), AT_FDCWD, (root + to).c_str(), flags));
    };
    const Result mounted = rename(mount_);
    expect_same(mounted, rename(reference_), "rename");
    look_at(from);
    look_at(to);
  }
  /// Targets without "..", so that every link stays inside wherever it is moved.
  void make_link() {
    const std::string path = some_path();
    const std::string target = some_path().substr(1);
    both("symlink to " + quoted(target) + " at", path,
         [&](const std::string& at) { return result_of(::symlink(target.c_str(), at.c_str())); });
    look_at(path);
  }
  void change_mode() {
    static constexpr mode_t kFileModes[] = {0644, 0600, 0444, 0755, 0666, 0400, 0777};
    static constexpr mode_t kDirectoryModes[] = {0755, 0700, 0777, 0750};
    const std::string path = some_path();
    struct stat status {};
    const bool is_directory =
        ::stat((reference_ + path).c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    const mode_t mode = is_directory ? kDirectoryModes[below(std::size(kDirectoryModes))]
                                     : kFileModes[below(std::size(kFileModes))];
    both("chmod", path,
         [&](const std::string& at) { return result_of(::chmod(at.c_str(), mode)); });
    look_at(path);
  }
  void change_time() {
    const std::string path = some_path();
    const time_t time = 1'000'000'000 + static_cast<time_t>(below(500'000'000));
    const timespec times[] = {{time, 0}, {time, 0}};
    both("utimensat(" + std::to_string(time) + ")", path, [&](const std::string& at) {
      return result_of(::utimensat(AT_FDCWD, at.c_str(), times, 0));
    });
    look_at(path);
  }
  void write_whole() {
    const std::string path = some_path();
    struct stat status {};
    if (::stat((reference_ + path).c_str(), &status) == 0 && (status.st_mode & S_IWUSR) == 0) {
      return look_at(path);
    }
    const std::string bytes = some_bytes();
    both("write whole file of " + std::to_string(bytes.size()), path, [&](const std::string& at) {
      const FileDescriptor file(::open(at.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
      if (!file) return result_of(-1);
      return result_of(::write(file.get(), bytes.data(), bytes.size()));
    });
    look_at(path);
  }
  void read_path() { both("read whole file", some_path(), read_whole); }

  void compare_with(const std::string& root, const std::string& whose) {
    if (!same_) return;
    note("compare the trees with that of " + whose);
    const std::string difference = first_difference(describe_tree(root), describe_tree(reference_));
    if (difference.empty()) return;
    same_ = false;
    history_.back() += ": " + difference;
  }

  const std::string mount_;
  const std::string reference_;
  std::mt19937_64 random_;
  std::vector<OpenFile> open_;
  std::deque<std::string> history_;
  std::uint64_t operations_ = 0;
  bool same_ = true;
};

class SshModel : public SshMountFixture, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  OpenSshServer server_;
  TemporaryDirectory reference_;
};

TEST_P(SshModel, AWritableMountDoesWhatALocalDirectoryDoes) {
  const std::uint64_t seed =
      number_from_environment("RED_MODEL_SEED", std::random_device{}()) + GetParam();
  const std::uint64_t operations =
      number_from_environment("RED_MODEL_OPERATIONS", kOperationsPerWalk);
  std::printf("to repeat: RED_MODEL_SEED=%llu (this is walk %llu)\n",
              static_cast<unsigned long long>(seed - GetParam()),
              static_cast<unsigned long long>(GetParam()));
  std::fflush(stdout);
  const mode_t mask = ::umask(022);
  ASSERT_THAT(mount_writable(server_), Succeeded()) << server_.log();
  {
    Twins twins(mount_, reference_.path(), seed);
    while (twins.same() && twins.operations() < operations) {
      twins.step();
      if (twins.operations() % kOperationsBetweenTreeComparisons == 0) twins.compare_trees();
      if (twins.operations() % kOperationsBetweenServerComparisons == 0) {
        twins.compare_server(server_.root());
      }
    }
    twins.compare_server(server_.root());
    EXPECT_TRUE(twins.same()) << "seed " << seed - GetParam() << ", walk " << GetParam()
                              << ", the last operations:\n"
                              << twins.history();
  }
  ::umask(mask);
  const Outcome outcome = umount();
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.errors, "");
}

INSTANTIATE_TEST_SUITE_P(Walk, SshModel, ::testing::Range(std::uint64_t{0}, kWalks),
                         [](const auto& test) { return std::to_string(test.param); });

}  // namespace
}  // namespace red::testing
