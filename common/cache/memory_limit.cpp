#include "common/cache/memory_limit.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace red {
namespace {

namespace fs = std::filesystem;

using Limit = std::optional<std::uint64_t>;

Limit smaller(Limit a, Limit b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// Nothing if the file is missing or says "max".
Limit limit_in(const fs::path& file) {
  std::ifstream stream(file);
  std::uint64_t bytes = 0;
  if (stream >> bytes) return bytes;
  return std::nullopt;
}

/// The smallest limit from `group` up to `root`. In a container the group's path may be that of the
/// host, which does not exist here; then the root is the container's own group.
Limit limit_along(const fs::path& root, const std::string& group, std::string_view file) {
  Limit limit = limit_in(root / file);
  fs::path directory = root;
  for (const fs::path& part : fs::path(group).relative_path().lexically_normal()) {
    if (part == "..") break;
    directory /= part;
    limit = smaller(limit, limit_in(directory / file));
  }
  return limit;
}

bool has_memory_controller(const std::string& controllers) {
  return ("," + controllers + ",").find(",memory,") != std::string::npos;
}

/// `line` is "number:controllers:path", see cgroups(7).
Limit limit_for_line(const std::string& line, const fs::path& root) {
  const auto first = line.find(':');
  const auto second = first == std::string::npos ? first : line.find(':', first + 1);
  if (second == std::string::npos) return std::nullopt;
  const std::string controllers = line.substr(first + 1, second - first - 1);
  const std::string group = line.substr(second + 1);
  if (controllers.empty()) return limit_along(root, group, "memory.max");
  if (!has_memory_controller(controllers)) return std::nullopt;
  return limit_along(root / "memory", group, "memory.limit_in_bytes");
}

}  // namespace

std::optional<std::uint64_t> container_memory_limit(const fs::path& own_groups,
                                                    const fs::path& group_root) {
  std::ifstream lines(own_groups);
  Limit limit;
  for (std::string line; std::getline(lines, line);) {
    limit = smaller(limit, limit_for_line(line, group_root));
  }
  return limit;
}

std::uint64_t default_cache_memory(std::optional<std::uint64_t> memory_limit) {
  constexpr std::uint64_t kMost = std::uint64_t{256} << 20;
  return memory_limit ? std::min(kMost, *memory_limit / 4) : kMost;
}

}  // namespace red
