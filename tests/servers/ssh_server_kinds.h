#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "tests/servers/ssh_server.h"

namespace red::testing {

/// One of the servers that SFTP must work with.
struct SshServerKind {
  std::string name;
  std::function<std::unique_ptr<SshServer>()> make;
};

void PrintTo(const SshServerKind& kind, std::ostream* out);

/// All that this process can run: a chroot needs root.
std::vector<SshServerKind> ssh_server_kinds();

}  // namespace red::testing
