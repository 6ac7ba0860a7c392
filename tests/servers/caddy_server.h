#pragma once

#include "tests/servers/server_process.h"

namespace red::testing {

/// Caddy's file server with "browse": HTML, or JSON for those who accept only that.
class CaddyServer : public ServerProcess {
 public:
  CaddyServer();

 private:
  Command command() const override;
};

}  // namespace red::testing
