#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/json/json_value.h"
#include "common/json/problems.h"

namespace red {

/// A parsed document on its way to being checked.
struct JsonDocument {
  std::string name;  ///< what it is, for messages: "access data access.json"
  JsonValue root;
  Problems problems;  ///< so far: keys that stand twice in one object (the first one counts)
};

inline constexpr std::size_t kMaxJsonDepth = 64;

/// Parses UTF-8 JSON text; a byte order mark is skipped. Throws Error{InvalidAccess} that names
/// line and column (in bytes) if it is no JSON, or if it nests deeper than `max_depth` arrays and
/// objects.
JsonDocument parse_json(std::string_view text, std::string name,
                        std::size_t max_depth = kMaxJsonDepth);

}  // namespace red
