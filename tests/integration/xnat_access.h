#pragma once

#include "tests/integration/connector.h"
#include "tests/servers/xnat_server.h"

namespace red::testing {

/// Access data of the site's administrator; `where` has the levels and whatever else.
inline Json access_to(const XnatServer& server, const Json& where) {
  Json access = {{"baseUrl", server.base_url()},
                 {"auth", {{"username", server.username()}, {"password", server.password()}}}};
  access.update(where);
  return access;
}

/// The same for somebody else.
inline Json access_as(const XnatServer& server, const std::string& user,
                      const std::string& password, const Json& where) {
  Json access = access_to(server, where);
  access["auth"] = {{"username", user}, {"password", password}};
  return access;
}

}  // namespace red::testing
