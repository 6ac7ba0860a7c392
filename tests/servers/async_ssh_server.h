#pragma once

#include "tests/servers/ssh_server.h"

namespace red::testing {

struct AsyncSshOptions {
  bool password = true;              ///< the method "password"
  bool keyboard_interactive = true;  ///< which asks for the password
  bool public_key = true;
  bool rename = true;        ///< false: every kind of rename is refused
  bool posix_rename = true;  ///< false: without this extension, so that no file replaces another
  bool extensions = true;    ///< false: none at all
};

/// AsyncSSH, a library for Python, with a small server around it.
class AsyncSshServer : public SshServer {
 public:
  explicit AsyncSshServer(AsyncSshOptions options = {});

 private:
  Command command() const override;
  void write_configuration() const;

  AsyncSshOptions options_;
};

}  // namespace red::testing
