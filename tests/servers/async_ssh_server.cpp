#include "tests/servers/async_ssh_server.h"

#include <unistd.h>

#include <sstream>

#include "tests/support/file_tree.h"

namespace red::testing {

AsyncSshServer::AsyncSshServer(AsyncSshOptions options) : options_(options) {
  write_configuration();
  start();
}

Command AsyncSshServer::command() const {
  return isolated({.arguments = {"/usr/bin/python3", "-W", "ignore",
                                 RED_TEST_SERVERS "/async_ssh_server.py", work("settings.json")},
                   .environment = {{"HOME", root()}, {"PYTHONDONTWRITEBYTECODE", "1"}},
                   .directory = root()},
                  "", {});
}

void AsyncSshServer::write_configuration() const {
  std::ostringstream text;
  text << std::boolalpha << "{\"port\": " << port() << ", \"owner\": " << owner()
       << ", \"host_key\": " << host_key() << ", \"authorized_keys\": " << authorized_keys()
       << ", \"user\": \"" << user() << "\", \"secret\": \"" << password()
       << "\", \"password\": " << options_.password
       << ", \"keyboard_interactive\": " << options_.keyboard_interactive
       << ", \"public_key\": " << options_.public_key << ", \"rename\": " << options_.rename
       << ", \"posix_rename\": " << options_.posix_rename
       << ", \"extensions\": " << options_.extensions << "}\n";
  write_file(work("settings.json"), text.str());
}

}  // namespace red::testing
