#include "transfer/local_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <random>
#include <system_error>
#include <vector>

#include "common/error.h"

namespace red {
namespace {

constexpr mode_t kNewFileMode = 0666;
constexpr std::size_t kMaxNameLength = 255;  // NAME_MAX of every Linux file system
constexpr int kMaxLinks = 40;                // as the kernel's own limit (path_resolution(7))
constexpr std::uint64_t kWritebackStep = 32 << 20;
constexpr std::size_t kHashPiece = 1 << 20;
// Reserving is worth a system call only where a disk could fill up noticeably.
constexpr std::uint64_t kReserveFrom = 8 << 20;

[[noreturn]] void throw_errno(const std::string& what) { throw Error::local_io(errno, what); }

/// The process' umask, read without changing it: another thread may be making files.
mode_t read_umask() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Umask:")) {
      return static_cast<mode_t>(std::stoul(line.substr(6), nullptr, 8));
    }
  }
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}

mode_t current_umask() {
  static const mode_t mask = read_umask();
  return mask;
}

/// A file without a name gets one through /proc.
bool can_link_descriptors() {
  static const bool can = ::access("/proc/self/fd", X_OK) == 0;
  return can;
}

std::string temporary_name_for(std::string_view name) {
  const std::string suffix = ".red-" + random_letters(6);
  std::size_t length = std::min(name.size(), kMaxNameLength - 1 - suffix.size());
  if (length < name.size()) {
    // Never half a UTF-8 character: some file systems refuse that.
    while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0U) == 0x80U) --length;
  }
  return "." + std::string(name.substr(0, length)) + suffix;
}

void write_all(int file, const std::string& shown_name, std::span<const std::byte> bytes,
               const std::uint64_t* offset) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto rest = bytes.subspan(done);
    const ssize_t count = offset != nullptr ? ::pwrite(file, rest.data(), rest.size(),
                                                       static_cast<off_t>(*offset + done))
                                            : ::write(file, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno("writing " + shown_name);
    done += static_cast<std::size_t>(count);
  }
}

ssize_t read_some(int file, std::uint64_t offset, std::span<std::byte> buffer) {
  ssize_t count = 0;
  do {
    count = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  return count;
}

std::string digest_of_descriptor(DigestAlgorithm algorithm, int file, const std::string& shown_name,
                                 const std::stop_token& stop = {}) {
  Digest digest(algorithm);
  std::vector<std::byte> buffer(kHashPiece);
  for (std::uint64_t offset = 0;;) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
    const ssize_t count = read_some(file, offset, buffer);
    if (count < 0) throw_errno("reading " + shown_name);
    if (count == 0) return digest.hex();
    digest.update(std::span(buffer).first(static_cast<std::size_t>(count)));
    offset += static_cast<std::uint64_t>(count);
  }
}

FileDescriptor open_for_reading(const std::filesystem::path& path) {
  // Nobody may ever write into a pipe of that name; what it is, is found out afterwards.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) throw_errno("opening " + path.string());
  return file;
}

/// For utimensat(2): the time of the last access stays.
std::array<timespec, 2> times_of(FileTime modified) {
  const auto since_epoch = modified.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  return {timespec{0, UTIME_OMIT},
          timespec{seconds.count(), static_cast<long>((since_epoch - seconds).count())}};
}

/// A file without a name vanishes with the process, whatever ends it. Not every file system has it:
/// then this is no descriptor.
FileDescriptor make_nameless_file(const FileDescriptor& directory, mode_t mode) {
  return FileDescriptor(::openat(directory.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
}

/// A file that is there for nobody else yet; no descriptor if it cannot be made.
FileDescriptor make_file(const FileDescriptor& directory, const std::string& name) {
  return FileDescriptor(::openat(directory.get(), name.c_str(),
                                 O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/// The bytes of an open file, of the size that it has now.
class DescriptorSource final : public ByteSource {
 public:
  DescriptorSource(int file, const std::string& shown_name) : file_(file), shown_name_(shown_name) {
    struct stat status {};
    if (::fstat(file_, &status) != 0) throw_errno("reading " + shown_name_);
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::uint64_t size() const override { return size_; }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    const ssize_t count = read_some(file_, offset, buffer);
    if (count < 0) throw_errno("reading " + shown_name_);
    return static_cast<std::size_t>(count);
  }

 private:
  const int file_;
  const std::string shown_name_;
  std::uint64_t size_ = 0;
};

/// A pipe, a terminal, a device.
class StreamTarget final : public LocalTarget {
 public:
  explicit StreamTarget(const std::filesystem::path& path)
      : shown_name_(path.string()), file_(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY)) {
    if (!file_) throw_errno("opening " + shown_name_);
  }

  void write_at(std::uint64_t, std::span<const std::byte> bytes) override {
    write_all(file_.get(), shown_name_, bytes, nullptr);
  }
  bool is_stream() const override { return true; }
  void reserve(std::uint64_t) override {}
  void start_over() override { throw not_for_streams(); }
  void start_writeback() override {}
  std::string digest(DigestAlgorithm) const override { throw not_for_streams(); }
  std::unique_ptr<ByteSource> content() const override { throw not_for_streams(); }
  void set_attributes(const LocalAttributes&) override {}
  void commit() override {}

 private:
  Error not_for_streams() const {
    return {ErrorKind::Internal, shown_name_ + " is no regular file: its bytes cannot be reread"};
  }

  const std::string shown_name_;
  const FileDescriptor file_;
};

/// Where the links that `path` may consist of lead in the end, whether that exists or not.
std::filesystem::path follow_links(const std::filesystem::path& path) {
  std::filesystem::path followed = path;
  for (int links = 0; links < kMaxLinks; ++links) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(followed, error);
    if (error) return followed;
    followed = followed.parent_path() / target;  // an absolute target replaces all
  }
  throw Error::local_io(ELOOP, "opening " + path.string());
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) ::close(number_);
}

LocalAttributes attributes_of(const struct stat& status) {
  const auto time = std::chrono::seconds(status.st_mtim.tv_sec) +
                    std::chrono::nanoseconds(status.st_mtim.tv_nsec);
  return {status.st_mode & kPermissionBits, FileTime(time)};
}

void apply_attributes(int descriptor, const LocalAttributes& attributes,
                      const std::string& shown_name) {
  if (attributes.mode) {
    const mode_t mode = *attributes.mode & 0777U & ~current_umask();
    if (::fchmod(descriptor, mode) != 0) throw_errno("setting the permissions of " + shown_name);
  }
  if (attributes.modified && ::futimens(descriptor, times_of(*attributes.modified).data()) != 0) {
    throw_errno("setting the modification time of " + shown_name);
  }
}

void apply_link_time(const FileDescriptor& directory, const std::string& name,
                     const LocalAttributes& attributes) {
  if (!attributes.modified) return;
  if (::utimensat(directory.get(), name.c_str(), times_of(*attributes.modified).data(),
                  AT_SYMLINK_NOFOLLOW) != 0) {
    throw_errno("setting the modification time of a symbolic link");
  }
}

FileSource::FileSource(const std::filesystem::path& path)
    : shown_name_(path.string()), file_(open_for_reading(path)) {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) throw_errno("opening " + shown_name_);
  if (S_ISDIR(status.st_mode)) throw Error::local_io(EISDIR, "reading " + shown_name_);
  if (!S_ISREG(status.st_mode)) {
    throw Error::local_io(EINVAL, "reading " + shown_name_ + ": not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  attributes_ = attributes_of(status);
}

std::uint64_t FileSource::current_size() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) throw_errno("reading " + shown_name_);
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t FileSource::read_at(std::uint64_t offset, std::span<std::byte> buffer) {
  if (offset >= size_ || buffer.empty()) return 0;
  const auto room =
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_ - offset));
  const ssize_t count = read_some(file_.get(), offset, buffer.first(room));
  if (count < 0) throw_errno("reading " + shown_name_);
  const std::uint64_t end = offset + static_cast<std::uint64_t>(count);
  if (count == 0 || (end == size_ && current_size() != size_)) {
    throw Error(ErrorKind::LocalIo, "reading " + shown_name_ + ": it changed while it was sent");
  }
  return static_cast<std::size_t>(count);
}

void DiskTarget::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  write_all(file_.get(), shown_name_, bytes, &offset);
  written_ += bytes.size();
}

void DiskTarget::reserve(std::uint64_t bytes) {
  if (bytes < kReserveFrom) return;
  const int result = ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
  // Only a lack of room matters: many file systems cannot reserve.
  if (result != 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
    throw_errno("making room for " + shown_name_);
  }
}

void DiskTarget::start_over() {
  if (::ftruncate(file_.get(), 0) != 0) throw_errno("writing " + shown_name_);
}

void DiskTarget::start_writeback() {
  const std::uint64_t written = written_;
  if (written - handed_to_disk_ < kWritebackStep) return;
  handed_to_disk_ = written;
  ::sync_file_range(file_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

std::string DiskTarget::digest(DigestAlgorithm algorithm) const {
  return digest_of_descriptor(algorithm, file_.get(), shown_name_);
}

std::unique_ptr<ByteSource> DiskTarget::content() const {
  return std::make_unique<DescriptorSource>(file_.get(), shown_name_);
}

AtomicFile::AtomicFile(std::shared_ptr<const FileDescriptor> directory, std::string name,
                       std::string shown_name, Durability durability)
    : DiskTarget(std::move(shown_name)),
      directory_(std::move(directory)),
      name_(std::move(name)),
      durability_(durability) {
  if (!open_nameless()) open_named();
}

AtomicFile::~AtomicFile() {
  if (!temporary_name_.empty()) ::unlinkat(directory_->get(), temporary_name_.c_str(), 0);
}

bool AtomicFile::open_nameless() {
  if (can_link_descriptors()) file_ = make_nameless_file(*directory_, kNewFileMode);
  return static_cast<bool>(file_);
}

void AtomicFile::open_named() {
  do {
    temporary_name_ = temporary_name_for(name_);
    file_ = make_file(*directory_, temporary_name_);
  } while (!file_ && errno == EEXIST);
  if (file_) return;
  temporary_name_.clear();
  throw_errno("making " + shown_name_);
}

bool AtomicFile::link_as(const std::string& name) {
  const std::string descriptor = "/proc/self/fd/" + std::to_string(file_.get());
  return ::linkat(AT_FDCWD, descriptor.c_str(), directory_->get(), name.c_str(),
                  AT_SYMLINK_FOLLOW) == 0;
}

/// The permissions of the file that is replaced, or those of any new file.
void AtomicFile::adopt_permissions() {
  struct stat status {};
  mode_t mode = kNewFileMode & ~current_umask();
  if (::fstatat(directory_->get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISREG(status.st_mode)) {
    mode = status.st_mode & 0777U;
  }
  if (::fchmod(file_.get(), mode) != 0) throw_errno("setting the permissions of " + shown_name_);
}

void AtomicFile::link_under_temporary_name() {
  do {
    temporary_name_ = temporary_name_for(name_);
    if (link_as(temporary_name_)) return;
  } while (errno == EEXIST);
  temporary_name_.clear();
  throw_errno("making " + shown_name_);
}

void AtomicFile::commit() {
  const bool is_synced = durability_ == Durability::Synced;
  apply_attributes(file_.get(), attributes_, shown_name_);
  if (is_synced && ::fsync(file_.get()) != 0) throw_errno("writing " + shown_name_);
  // Linking cannot replace, renaming can: an existing file takes the way over a temporary name.
  if (!temporary_name_.empty() || !link_as(name_)) {
    if (!attributes_.mode) adopt_permissions();
    if (temporary_name_.empty()) link_under_temporary_name();
    if (::renameat(directory_->get(), temporary_name_.c_str(), directory_->get(), name_.c_str()) !=
        0) {
      throw_errno("making " + shown_name_);
    }
    temporary_name_.clear();
  }
  if (is_synced && ::fsync(directory_->get()) != 0) throw_errno("writing " + shown_name_);
}

SpoolFile::SpoolFile(const FileDescriptor& directory) : DiskTarget("a temporary file") {
  file_ = make_nameless_file(directory, 0600);
  while (!file_) {
    const std::string name = temporary_name_for("spool");
    file_ = make_file(directory, name);
    if (!file_ && errno != EEXIST) throw_errno("making " + shown_name_);
    if (file_) ::unlinkat(directory.get(), name.c_str(), 0);
  }
}

std::unique_ptr<LocalTarget> open_local_target(const std::filesystem::path& path) {
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw Error::local_io(EISDIR, "writing " + path.string());
  if (exists && !S_ISREG(status.st_mode)) return std::make_unique<StreamTarget>(path);
  const std::filesystem::path file = follow_links(path);
  if (!file.has_filename()) throw Error::local_io(EISDIR, "writing " + path.string());
  const auto parent = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  return std::make_unique<AtomicFile>(open_directory(parent), file.filename(), path.string(),
                                      Durability::Synced);
}

std::string sha1_of_file(const std::filesystem::path& path, const std::stop_token& stop) {
  return digest_of_descriptor(DigestAlgorithm::Sha1, open_for_reading(path).get(), path.string(),
                              stop);
}

std::string random_letters(std::size_t length) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  thread_local std::random_device random;
  std::uniform_int_distribution<std::size_t> pick(0, kLetters.size() - 1);
  std::string letters;
  while (letters.size() < length) letters += kLetters[pick(random)];
  return letters;
}

std::shared_ptr<const FileDescriptor> open_directory(const std::filesystem::path& path) {
  auto directory = std::make_shared<const FileDescriptor>(
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!*directory) throw_errno("opening the directory " + path.string());
  return directory;
}

}  // namespace red
