#pragma once

#include <string>

#include "tests/servers/ssh_server.h"

namespace red::testing {

struct OpenSshOptions {
  bool chrooted =
      false;         ///< internal-sftp in a chroot without a shell, else the program sftp-server
  bool sftp = true;  ///< false: no such subsystem
  std::string more = {};  ///< further lines of sshd_config
};

/// OpenSSH's sshd.
class OpenSshServer : public SshServer {
 public:
  explicit OpenSshServer(OpenSshOptions options = {});

  /// Whether this process may make a chroot.
  static bool can_chroot();
  std::string path_of(std::string_view name) const override;

 private:
  Command command() const override;
  void write_configuration() const;
  /// The system's accounts and ours, for a server that sees no others.
  void write_accounts() const;

  OpenSshOptions options_;
};

}  // namespace red::testing
