#pragma once

#include "tests/servers/ssh_server.h"

namespace red::testing {

/// ProFTPD with mod_sftp.
class ProFtpdServer : public SshServer {
 public:
  ProFtpdServer();

 private:
  Command command() const override;
  void keys_have_changed() const override;
  void write_configuration() const;
};

}  // namespace red::testing
