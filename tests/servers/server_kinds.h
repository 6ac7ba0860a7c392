#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "tests/servers/server_process.h"

namespace red::testing {

/// One way in which a real server shows a directory.
struct ServerKind {
  std::string name;
  std::function<std::unique_ptr<ServerProcess>()> make;
  bool lists_dot_names = true;
};

void PrintTo(const ServerKind& kind, std::ostream* out);

/// All that a directory must be readable from: index pages and WebDAV.
std::vector<ServerKind> server_kinds();

/// The same as names of parameterized tests.
inline constexpr auto kNameOfServerKind = [](const auto& test) { return test.param.name; };

}  // namespace red::testing
