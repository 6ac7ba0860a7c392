#include "tests/servers/ssh_server_kinds.h"

#include <ostream>

#include "tests/servers/async_ssh_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/proftpd_server.h"

namespace red::testing {

void PrintTo(const SshServerKind& kind, std::ostream* out) { *out << kind.name; }

std::vector<SshServerKind> ssh_server_kinds() {
  std::vector<SshServerKind> kinds = {
      {"OpenSsh", [] { return std::make_unique<OpenSshServer>(); }},
      {"ProFtpd", [] { return std::make_unique<ProFtpdServer>(); }},
      {"AsyncSsh", [] { return std::make_unique<AsyncSshServer>(); }},
  };
  if (OpenSshServer::can_chroot()) {
    kinds.push_back({"OpenSshChroot", [] {
                       return std::make_unique<OpenSshServer>(OpenSshOptions{.chrooted = true});
                     }});
  }
  return kinds;
}

}  // namespace red::testing
