#pragma once

#include "tests/servers/server_process.h"

namespace red::testing {

/// Python's http.server: an index page, no ranges, no ETag, a connection per request.
class PythonServer : public ServerProcess {
 public:
  PythonServer();

 private:
  Command command() const override;
};

}  // namespace red::testing
