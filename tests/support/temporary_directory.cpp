#include "tests/support/temporary_directory.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/process.h"

namespace red::testing {
namespace {

// The mount table writes blanks and backslashes as octal escapes (proc(5)).
std::string decode_octal(const std::string& text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      decoded += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::vector<std::string> mount_points() {
  std::ifstream table("/proc/self/mountinfo");
  std::vector<std::string> points;
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;
    points.push_back(decode_octal(field));
  }
  return points;
}

void detach(const std::string& mount_point) {
  if (::geteuid() == 0) {
    ::umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  } else {
    run({.arguments = {"/usr/bin/fusermount3", "-u", "-z", mount_point}});
  }
}

}  // namespace

std::filesystem::path temporary_root() {
  const char* root = ::getenv("TMPDIR");
  return root != nullptr && *root != '\0' ? root : "/tmp";
}

std::string temporary_prefix(int process) { return "red-test." + std::to_string(process) + "."; }

TemporaryDirectory::TemporaryDirectory() {
  std::string name = temporary_root() / (temporary_prefix(::getpid()) + "XXXXXX");
  if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0) {
    throw std::system_error(errno, std::generic_category(), name);
  }
  path_ = std::filesystem::canonical(name);
}

TemporaryDirectory::~TemporaryDirectory() {
  detach_mounts_below(path_);
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool is_mounted(const std::filesystem::path& directory) {
  for (const std::string& point : mount_points()) {
    if (point == directory) return true;
  }
  return false;
}

std::vector<std::string> mounts_below(const std::filesystem::path& directory) {
  const std::string itself = directory.string();
  std::vector<std::string> points = mount_points();
  std::erase_if(points, [&itself](const std::string& point) {
    return point != itself && !point.starts_with(itself + "/");
  });
  return points;
}

void detach_mounts_below(const std::filesystem::path& directory) {
  for (const std::string& point : mounts_below(directory)) detach(point);
}

}  // namespace red::testing
