#include "fuse/mount_registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

#include "common/error.h"
#include "common/logging.h"
#include "fuse/process_handle.h"

namespace red {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t kMaxRecordBytes = 64 * 1024;
constexpr std::size_t kKeyLength = 16;
constexpr auto kLockLimit = 2s;
constexpr auto kSettleLimit = 2s;

std::uint64_t this_mount_namespace() {
  struct stat status {};
  return ::stat("/proc/self/ns/mnt", &status) == 0 ? status.st_ino : 0;
}

std::string hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

/// The file name of a record: FNV-1a of the path and its namespace. Two mount points with the same
/// key would only refuse each other.
std::string key_of(const fs::path& mount_point, std::uint64_t mount_namespace) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : mount_point.string() + '\0' + std::to_string(mount_namespace)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hex(hash);
}

std::string key_of(const MountRecord& record) {
  return key_of(record.mount_point, record.mount_namespace);
}

/// The files of one daemon besides its record: KEY-PID.log, KEY-PID.sock.
std::string own_name(const MountRecord& record, std::string_view ending) {
  return key_of(record) + "-" + std::to_string(record.pid) + std::string(ending);
}

void remove_own_files(int directory_fd, const MountRecord& record) {
  for (const std::string_view ending : {".log", ".sock", ".lost"}) {
    ::unlinkat(directory_fd, own_name(record, ending).c_str(), 0);
  }
}

std::string escape(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '%') {
      std::array<char, 4> text{};
      std::snprintf(text.data(), text.size(), "%%%02X", byte);
      escaped += text.data();
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string unescape(std::string_view escaped) {
  std::string value;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    unsigned char byte = 0;
    if (escaped[i] == '%' && i + 2 < escaped.size() &&
        std::from_chars(&escaped[i + 1], &escaped[i + 1] + 2, byte, 16).ec == std::errc{}) {
      value += static_cast<char>(byte);
      i += 2;
    } else {
      value += escaped[i];
    }
  }
  return value;
}

using Fields = std::map<std::string, std::string, std::less<>>;

Fields split_fields(std::string_view text) {
  Fields fields;
  // Only lines with their end count, so that a file cut short does not yield half a value.
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (const std::size_t equals = line.find('='); equals != std::string_view::npos) {
      fields.emplace(line.substr(0, equals), unescape(line.substr(equals + 1)));
    }
  }
  return fields;
}

template <typename Number>
std::optional<Number> number_in(const Fields& fields, std::string_view name) {
  const auto field = fields.find(name);
  if (field == fields.end()) return std::nullopt;
  const std::string& text = field->second;
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

[[noreturn]] void fail(std::string_view what, const fs::path& on) {
  const int error_number = errno;
  throw Error(ErrorKind::Mount,
              Error::local_io(error_number, std::string(what) + " " + on.string()).message());
}

/// The one lock under which the registry changes. Taken for moments only.
class DirectoryLock {
 public:
  DirectoryLock(int directory_fd, const fs::path& directory)
      : fd_(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    const auto deadline = std::chrono::steady_clock::now() + kLockLimit;
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() > deadline) {
        fail("cannot lock the mount records in", directory);
      }
      std::this_thread::sleep_for(5ms);
    }
  }

 private:
  UniqueFd fd_;
};

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool is_locked(int fd) {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool names_file(int directory_fd, const std::string& name, int fd) {
  struct stat named {};
  struct stat open {};
  return ::fstatat(directory_fd, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ::fstat(fd, &open) == 0 && named.st_ino == open.st_ino && named.st_dev == open.st_dev;
}

std::string read_all(int fd) {
  std::string text(kMaxRecordBytes, '\0');
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

bool is_private_directory(int fd, uid_t user) {
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == user &&
         (status.st_mode & kOthers) == 0;
}

bool is_removed(int directory_fd) {
  struct stat status {};
  return ::fstat(directory_fd, &status) == 0 && status.st_nlink == 0;
}

/// Under the lock, which claims hold as well: nobody is about to write into it.
void remove_if_empty(int directory_fd, const fs::path& directory) {
  if (!is_removed(directory_fd)) ::rmdir(directory.c_str());
}

/// Places for a user's registry, best first; none depends on the environment. The last two are for
/// containers whose root file system is read-only. /run/user/UID is not among them: it goes when
/// the user logs out, and the mounts stay.
std::vector<fs::path> places_for(uid_t user) {
  const std::string name = "red-connector-" + std::to_string(user);
  std::vector<fs::path> places;
  if (user == 0) places.emplace_back("/run/red-connector");
  places.push_back(fs::path("/tmp") / name);
  places.push_back(fs::path("/dev/shm") / name);
  return places;
}

bool is_key(std::string_view name) {
  return name.size() == kKeyLength &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Whether KEY-PID.ending belongs to a process that has ended.
bool is_left_over(std::string_view name) {
  if (name.size() <= kKeyLength + 1 || name[kKeyLength] != '-') return false;
  pid_t pid = 0;
  const auto parsed = std::from_chars(name.data() + kKeyLength + 1, name.data() + name.size(), pid);
  return parsed.ec == std::errc{} && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

MountRecord record_for_this_process(const fs::path& mount_point, const std::string& source,
                                    bool made_directory) {
  MountRecord record;
  record.mount_point = mount_point;
  record.source = source;
  record.pid = ::getpid();
  record.start_ticks = start_ticks_of(record.pid).value_or(0);
  record.made_directory = made_directory;
  record.since = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  record.mount_namespace = this_mount_namespace();
  return record;
}

std::string format_record(const MountRecord& record) {
  std::string text;
  const auto add = [&text](std::string_view name, std::string_view value) {
    text.append(name).append("=").append(escape(value)).append("\n");
  };
  add("mount_point", record.mount_point.string());
  add("source", record.source);
  add("pid", std::to_string(record.pid));
  add("start_ticks", std::to_string(record.start_ticks));
  add("device", record.device ? to_string(*record.device) : "");
  add("made_directory", record.made_directory ? "1" : "0");
  add("since", std::to_string(record.since.time_since_epoch().count()));
  add("mount_namespace", std::to_string(record.mount_namespace));
  return text;
}

std::optional<MountRecord> parse_record(std::string_view text) {
  const Fields fields = split_fields(text);
  const auto mount_point = fields.find("mount_point");
  const auto source = fields.find("source");
  const auto device = fields.find("device");
  const auto pid = number_in<pid_t>(fields, "pid");
  const auto start_ticks = number_in<std::uint64_t>(fields, "start_ticks");
  const auto made_directory = number_in<int>(fields, "made_directory");
  const auto since = number_in<std::int64_t>(fields, "since");
  const auto mount_namespace = number_in<std::uint64_t>(fields, "mount_namespace");
  const bool has_texts =
      mount_point != fields.end() && source != fields.end() && device != fields.end();
  if (!has_texts || !pid || !start_ticks || !made_directory || !since || !mount_namespace) {
    return std::nullopt;
  }
  return MountRecord{mount_point->second,
                     source->second,
                     *pid,
                     *start_ticks,
                     parse_device_number(device->second),
                     *made_directory == 1,
                     std::chrono::sys_seconds(std::chrono::seconds(*since)),
                     *mount_namespace};
}

MountClaim::MountClaim(const MountRegistry& registry, MountRecord record)
    : directory_(registry.directory_),
      directory_fd_(::fcntl(registry.directory_fd_.get(), F_DUPFD_CLOEXEC, 0)),
      record_(std::move(record)) {
  write();
}

MountClaim::~MountClaim() { release(); }

MountClaim::MountClaim(MountClaim&& other) noexcept = default;

void MountClaim::set_device(const DeviceNumber& device) {
  const DirectoryLock lock(directory_fd_.get(), directory_);
  record_.device = device;
  // Taken over by another command, that is: it is for that one to say what is mounted there.
  if (names_file(directory_fd_.get(), key_of(record_), locked_file_.get())) write();
}

/// A new file, locked and whole before it gets its name.
void MountClaim::write() {
  const std::string temporary = own_name(record_, ".new");
  const std::string text = format_record(record_);
  UniqueFd file(::openat(directory_fd_.get(), temporary.c_str(),
                         O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct flock lock = whole_file(F_WRLCK);
  const bool written =
      file && ::fcntl(file.get(), F_OFD_SETLK, &lock) == 0 &&
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::renameat(directory_fd_.get(), temporary.c_str(), directory_fd_.get(),
                 key_of(record_).c_str()) == 0;
  if (!written) fail("cannot write down the mount in", directory_);
  locked_file_ = std::move(file);
}

fs::path MountClaim::log_path() const { return directory_ / own_name(record_, ".log"); }

fs::path MountClaim::losses_path() const { return directory_ / own_name(record_, ".lost"); }

fs::path MountClaim::socket_path() const { return directory_ / own_name(record_, ".sock"); }

void MountClaim::release() noexcept {
  if (!locked_file_) return;
  try {
    const DirectoryLock lock(directory_fd_.get(), directory_);
    const std::string key = key_of(record_);
    if (names_file(directory_fd_.get(), key, locked_file_.get())) {
      if (record_.made_directory) ::rmdir(record_.mount_point.c_str());
      ::unlinkat(directory_fd_.get(), key.c_str(), 0);
    }
    remove_own_files(directory_fd_.get(), record_);
    remove_if_empty(directory_fd_.get(), directory_);
  } catch (const Error& error) {
    log(LogLevel::Warning, error.message());
    remove_own_files(directory_fd_.get(), record_);
  }
  locked_file_.reset();
}

MountRegistry MountRegistry::open() {
  for (const fs::path& place : places_for(::geteuid())) {
    if (auto registry = make_at(place)) return std::move(*registry);
  }
  throw Error(ErrorKind::Mount,
              "cannot keep a record of the mount: no private directory can be "
              "made in /run, /tmp or /dev/shm");
}

std::optional<MountRegistry> MountRegistry::find_of(uid_t user) {
  for (const fs::path& place : places_for(user)) {
    if (auto registry = find_at(place, user)) return registry;
  }
  return std::nullopt;
}

std::optional<MountRegistry> MountRegistry::find_at(const fs::path& directory, uid_t user) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const bool usable = fd && is_private_directory(fd.get(), user) &&
                      ::faccessat(fd.get(), ".", W_OK, AT_EACCESS) == 0;
  if (!usable) return std::nullopt;
  return MountRegistry(directory, std::move(fd));
}

std::optional<MountRegistry> MountRegistry::make_at(const fs::path& directory) {
  if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) return std::nullopt;
  return find_at(directory, ::geteuid());
}

MountClaim MountRegistry::claim(MountRecord record) const {
  const DirectoryLock lock(directory_fd_.get(), directory_);
  if (is_removed(directory_fd_.get())) {
    // The last mount before this one has ended since we opened it.
    const auto anew = make_at(directory_);
    if (!anew) fail("cannot make", directory_);
    return anew->claim(std::move(record));
  }
  sweep();
  if (const auto other = read(key_of(record)); other && other->daemon_alive) {
    throw Error(ErrorKind::Mount, "cannot mount at " + record.mount_point.string() + ": process " +
                                      std::to_string(other->record.pid) + " is serving it");
  }
  return MountClaim(*this, std::move(record));
}

std::optional<RegisteredMount> MountRegistry::find(const fs::path& mount_point) const {
  auto found = read(key_of(mount_point, this_mount_namespace()));
  if (found && found->record.mount_point != mount_point) return std::nullopt;
  return found;
}

std::vector<RegisteredMount> MountRegistry::list() const {
  std::vector<RegisteredMount> mounts;
  for (const std::string& name : names()) {
    if (!is_key(name)) continue;
    if (auto mount = read(name)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

void MountRegistry::settle(const fs::path& mount_point) const {
  const auto found = find(mount_point);
  if (!found || !found->daemon_alive) return;
  const MountRecord& record = found->record;
  const auto is_detached = [&] {
    return record.device && !is_mounted(read_mount_table(), mount_point, *record.device);
  };
  if (record.device && !is_detached()) return;
  if (const auto daemon = ProcessHandle::find(record.pid, record.start_ticks)) {
    daemon->wait_until_ended(kSettleLimit);
  }
  // The directory stays: somebody wants to mount there.
  if (is_detached()) remove(record, false);
}

void MountRegistry::retire(const MountRecord& record) const {
  remove(record, record.made_directory);
}

void MountRegistry::remove(const MountRecord& record, bool with_mount_point) const {
  const DirectoryLock lock(directory_fd_.get(), directory_);
  const auto current = read(key_of(record));
  if (!current || current->record.pid != record.pid ||
      current->record.start_ticks != record.start_ticks) {
    return;
  }
  if (with_mount_point) ::rmdir(record.mount_point.c_str());
  ::unlinkat(directory_fd_.get(), key_of(record).c_str(), 0);
  if (!current->daemon_alive) remove_own_files(directory_fd_.get(), record);
  remove_if_empty(directory_fd_.get(), directory_);
}

void MountRegistry::remove_if_unused() const noexcept {
  try {
    const DirectoryLock lock(directory_fd_.get(), directory_);
    remove_if_empty(directory_fd_.get(), directory_);
  } catch (const Error& error) {
    log(LogLevel::Debug, error.message());
  }
}

fs::path MountRegistry::socket_path(const MountRecord& record) const {
  return directory_ / own_name(record, ".sock");
}

fs::path MountRegistry::losses_path(const MountRecord& record) const {
  return directory_ / own_name(record, ".lost");
}

std::optional<RegisteredMount> MountRegistry::read(const std::string& name) const {
  const UniqueFd fd(
      ::openat(directory_fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return std::nullopt;
  auto record = parse_record(read_all(fd.get()));
  if (!record) return std::nullopt;
  return RegisteredMount{std::move(*record), is_locked(fd.get())};
}

std::vector<std::string> MountRegistry::names() const {
  const int fd = ::openat(directory_fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), ::closedir);
  std::vector<std::string> names;
  if (!directory) return names;
  while (const dirent* entry = ::readdir(directory.get())) names.emplace_back(entry->d_name);
  return names;
}

void MountRegistry::sweep() const {
  const MountTable table = read_mount_table();
  // A dead daemon's mount may still be there: then umount-dir needs the record.
  const auto is_wanted = [&table](const std::optional<RegisteredMount>& mount) {
    return mount && (mount->daemon_alive ||
                     (mount->record.device &&
                      is_mounted(table, mount->record.mount_point, *mount->record.device)));
  };
  for (const std::string& name : names()) {
    const bool is_stale = is_key(name) ? !is_wanted(read(name)) : is_left_over(name);
    if (is_stale) ::unlinkat(directory_fd_.get(), name.c_str(), 0);
  }
}

}  // namespace red
