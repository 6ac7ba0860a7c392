#include "tests/engine/traces.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <system_error>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;

/// Calls `visit` for every entry below, but for those in `left_out` and in mounts.
template <typename Visit>
void walk(const fs::path& directory, const fs::path& left_out, const Visit& visit) {
  std::error_code gone;
  for (fs::directory_iterator entry(directory, gone), end; entry != end; entry.increment(gone)) {
    if (gone || entry->path() == left_out) continue;
    visit(*entry);
    std::error_code ignored;
    if (!entry->is_symlink(ignored) && entry->is_directory(ignored) && !is_mounted(entry->path())) {
      walk(entry->path(), left_out, visit);
    }
  }
}

std::string command_line_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  for (char& c : words) {
    if (c == '\0') c = ' ';
  }
  return words;
}

}  // namespace

Traces::Traces(fs::path directory, std::vector<fs::path> watched)
    : directory_(std::move(directory)), watched_(std::move(watched)), before_(watched_files()) {}

std::set<std::string> Traces::watched_files() const {
  std::set<std::string> files;
  for (const fs::path& place : watched_) {
    walk(place, directory_, [&files](const fs::directory_entry& entry) {
      std::error_code gone;
      if (!entry.is_directory(gone)) files.insert(entry.path());
    });
  }
  return files;
}

std::vector<std::string> Traces::find() const {
  std::vector<std::string> traces;
  for (const std::string& point : mounts_below(directory_)) traces.push_back("mount: " + point);
  for (const pid_t process : processes_with_environment(kTestRunVariable, test_run_mark())) {
    traces.push_back("process: " + command_line_of(process));
  }
  for (const std::string& file : watched_files()) {
    if (!before_.contains(file)) traces.push_back("file: " + file);
  }
  return traces;
}

std::vector<std::string> Traces::files() const {
  std::vector<std::string> files;
  walk(directory_, {}, [&](const fs::directory_entry& entry) {
    const std::string name = entry.path().lexically_relative(directory_);
    std::error_code ignored;
    const bool is_directory = !entry.is_symlink(ignored) && entry.is_directory(ignored);
    files.push_back(is_directory ? name + "/" : name);
  });
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace red::testing
