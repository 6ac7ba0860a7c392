#pragma once

#include <string_view>

#include "common/remote/remote_path.h"

namespace red::testing {

/// The path of a text with '/' between the names; "" is the root.
inline RemotePath path_of(std::string_view text) {
  RemotePath path;
  while (!text.empty()) {
    const auto slash = text.find('/');
    path = path.child(text.substr(0, slash));
    text = slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
  }
  return path;
}

}  // namespace red::testing
