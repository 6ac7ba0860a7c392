#include "tests/integration/mount_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/support/file_descriptor.h"
#include "tests/support/waiting.h"

namespace red::testing {

void MountFixture::SetUp() {
  const FileDescriptor device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device) GTEST_SKIP() << "nothing can be mounted here: /dev/fuse cannot be opened";
}

void MountFixture::TearDown() {
  if (is_mounted(mount_)) umount();
  EXPECT_FALSE(is_mounted(mount_));
  EXPECT_TRUE(daemon_ends()) << "a process is left";
  for (const pid_t left : connector_.processes()) ::kill(left, SIGKILL);
}

Outcome MountFixture::mount(const Json& access) {
  return connector_.call("mount-dir", access, {mount_});
}

pid_t MountFixture::daemon() const {
  const std::vector<pid_t> processes = connector_.processes();
  return processes.size() == 1 ? processes[0] : 0;
}

bool MountFixture::daemon_ends() const {
  return eventually([this] { return connector_.processes().empty(); });
}

int open_for_reading(const std::filesystem::path& file) {
  return ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
}

ReadResult read_at(int descriptor, std::uint64_t offset, std::size_t count) {
  ReadResult result;
  std::string block(1 << 20, '\0');
  while (result.bytes.size() < count) {
    const std::size_t wanted = std::min(block.size(), count - result.bytes.size());
    const auto at = static_cast<off_t>(offset + result.bytes.size());
    const ssize_t got = ::pread(descriptor, block.data(), wanted, at);
    if (got < 0) result.error_number = errno;
    if (got <= 0) break;
    result.bytes.append(block, 0, static_cast<std::size_t>(got));
  }
  return result;
}

ReadResult read_at(const std::filesystem::path& file, std::uint64_t offset, std::size_t count) {
  const FileDescriptor descriptor(open_for_reading(file));
  if (!descriptor) return {.bytes = {}, .error_number = errno};
  return read_at(descriptor.get(), offset, count);
}

std::string read_while_cutting(Relay& relay, int descriptor, std::size_t size) {
  std::string read;
  while (read.size() < size) {
    const ReadResult part = read_at(descriptor, read.size(), 4'000'000);
    EXPECT_EQ(part.error_number, 0) << std::strerror(part.error_number);
    if (part.error_number != 0 || part.bytes.empty()) break;
    read += part.bytes;
    relay.cut();
  }
  return read;
}

}  // namespace red::testing
