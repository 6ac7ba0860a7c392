#pragma once

#include "tests/servers/server_process.h"

namespace red::testing {

struct LighttpdOptions {
  bool webdav = false;  ///< PROPFIND, PUT, MKCOL, DELETE
};

class LighttpdServer : public ServerProcess {
 public:
  explicit LighttpdServer(LighttpdOptions options = {});

 private:
  Command command() const override;
};

}  // namespace red::testing
