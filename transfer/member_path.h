#pragma once

#include <cstddef>
#include <string_view>

#include "common/remote/remote_path.h"

namespace red {

inline constexpr std::size_t kMaxMemberDepth = 256;
inline constexpr std::size_t kMaxMemberNameLength = 4096;  ///< bytes

/// Where a member of an archive belongs: "./" in front and "/" behind count for nothing; the root
/// is a name of "." alone. Throws Error{Protocol} for a name that is empty, absolute, too long or
/// too deep, or has "..".
RemotePath member_path(std::string_view name);

}  // namespace red
