#include "tests/servers/python_server.h"

namespace red::testing {

PythonServer::PythonServer() { start(); }

Command PythonServer::command() const {
  return {.arguments = {"/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1",
                        "--directory", root(), std::to_string(port())}};
}

}  // namespace red::testing
