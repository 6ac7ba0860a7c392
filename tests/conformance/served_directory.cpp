#include "tests/conformance/served_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

void check(int result, const std::filesystem::path& file) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), file.string());
}

timespec to_timespec(FileTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {seconds.time_since_epoch().count(), (time - seconds).count()};
}

}  // namespace

ServedDirectory::ServedDirectory(const ServerProcess& server, std::optional<uid_t> owner)
    : RelayedServer(server.port()),
      root_(server.root()),
      owner_(::geteuid() == 0 ? owner : std::nullopt) {}

void ServedDirectory::put_file(const std::string& path, std::string_view content) {
  put_directory(std::filesystem::path(path).parent_path());
  write_file(root_ / path, content);
  hand_over(root_ / path);
}

void ServedDirectory::put_directory(const std::string& path) {
  if (path.empty() || std::filesystem::exists(root_ / path)) return;
  put_directory(std::filesystem::path(path).parent_path());
  std::filesystem::create_directory(root_ / path);
  hand_over(root_ / path);
}

void ServedDirectory::hand_over(const std::filesystem::path& file) const {
  if (owner_) check(::lchown(file.c_str(), *owner_, *owner_), file);
}

void ServedDirectory::set_modified(const std::string& path, FileTime modified) {
  const timespec times[] = {to_timespec(modified), to_timespec(modified)};
  check(::utimensat(AT_FDCWD, (root_ / path).c_str(), times, 0), path);
}

void ServedDirectory::set_mode(const std::string& path, std::uint32_t mode) {
  check(::chmod((root_ / path).c_str(), mode), path);
}

void ServedDirectory::remove(const std::string& path) { std::filesystem::remove_all(root_ / path); }

std::optional<std::string> ServedDirectory::content_of(const std::string& path) const {
  if (!std::filesystem::is_regular_file(root_ / path)) return std::nullopt;
  return read_file(root_ / path);
}

std::vector<std::string> ServedDirectory::names_in(const std::string& directory) const {
  return testing::names_in(root_ / directory);
}

}  // namespace red::testing
