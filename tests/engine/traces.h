#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace red::testing {

/// What experiments must not leave behind, compared with what there was when this was made.
class Traces {
 public:
  /// Files in `directory` are the experiment's own; those below `watched` are looked for.
  Traces(std::filesystem::path directory, std::vector<std::filesystem::path> watched);

  /// One line for each mount below the directory, each living process (zombies are none) that this
  /// process or its children have started, and each new file. Empty directories do not count.
  std::vector<std::string> find() const;

  /// All that is in the experiment's directory: relative paths, sorted, directories with a
  /// trailing '/'.
  /// Does not look into mounts.
  std::vector<std::string> files() const;

 private:
  std::set<std::string> watched_files() const;

  std::filesystem::path directory_;
  std::vector<std::filesystem::path> watched_;
  std::set<std::string> before_;
};

}  // namespace red::testing
