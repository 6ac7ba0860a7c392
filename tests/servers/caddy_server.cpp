#include "tests/servers/caddy_server.h"

#include "tests/support/file_tree.h"

namespace red::testing {

CaddyServer::CaddyServer() {
  write_file(work("Caddyfile"), "{\n  admin off\n  auto_https off\n}\nhttp://127.0.0.1:" +
                                    std::to_string(port()) + " {\n  bind 127.0.0.1\n  root * " +
                                    root().string() + "\n  file_server browse\n}\n");
  start();
}

Command CaddyServer::command() const {
  const std::string home = work("");
  return {.arguments = {"/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config",
                        work("Caddyfile")},
          .environment = {{"HOME", home}, {"XDG_CONFIG_HOME", home}, {"XDG_DATA_HOME", home}}};
}

}  // namespace red::testing
