#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace red {

inline constexpr std::size_t kMaxAccessBytes = std::size_t{16} << 20;
/// Some three million entries.
inline constexpr std::size_t kMaxListingBytes = std::size_t{512} << 20;

/// Reads a whole file (or pipe). Throws Error{LocalIo}, and Error{InvalidAccess} if it is larger
/// than `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace red
