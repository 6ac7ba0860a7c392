#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/servers/ssh_server.h"

namespace red::testing {

/// Access data but for the path, with the password where the server takes one.
inline nlohmann::json access_to(const SshServer& server) {
  nlohmann::json auth = {{"username", server.user()}};
  if (server.password().empty()) {
    auth["privateKey"] = server.private_key();
  } else {
    auth["password"] = server.password();
  }
  return {{"host", server.host()}, {"port", server.port()}, {"auth", auth}};
}

/// `key` is filePath or dirPath.
inline nlohmann::json access_to(const SshServer& server, const char* key, std::string_view path) {
  nlohmann::json access = access_to(server);
  access[key] = path;
  return access;
}

}  // namespace red::testing
