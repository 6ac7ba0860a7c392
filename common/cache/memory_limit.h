#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace red {

/// The smallest memory limit (bytes) of this process' control group and the groups above it, of
/// version 2 (memory.max) and version 1 (memory.limit_in_bytes) alike; nothing if there is none.
/// The parameters are for tests.
std::optional<std::uint64_t> container_memory_limit(
    const std::filesystem::path& own_groups = "/proc/self/cgroup",
    const std::filesystem::path& group_root = "/sys/fs/cgroup");

/// The cache bound (bytes) when nobody gives one: 256 MiB, or a quarter of the limit if that is
/// less.
std::uint64_t default_cache_memory(std::optional<std::uint64_t> memory_limit);

}  // namespace red
