#include "tests/servers/server_kinds.h"

#include <ostream>

#include "tests/servers/apache_server.h"
#include "tests/servers/caddy_server.h"
#include "tests/servers/lighttpd_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/python_server.h"

namespace red::testing {
namespace {

using Index = ApacheOptions::Index;

std::function<std::unique_ptr<ServerProcess>()> nginx(NginxOptions options) {
  return [options] { return std::make_unique<NginxServer>(options); };
}
std::function<std::unique_ptr<ServerProcess>()> apache(ApacheOptions options) {
  return [options] { return std::make_unique<ApacheServer>(options); };
}
std::function<std::unique_ptr<ServerProcess>()> lighttpd(LighttpdOptions options) {
  return [options] { return std::make_unique<LighttpdServer>(options); };
}

}  // namespace

void PrintTo(const ServerKind& kind, std::ostream* out) { *out << kind.name; }

std::vector<ServerKind> server_kinds() {
  return {
      {"Nginx", nginx({}), false},
      {"NginxRoundedSizes", nginx({.exact_size = false}), false},
      {"NginxJson", nginx({.autoindex_format = "json"}), false},
      {"ApachePlain", apache({.index = Index::Plain})},
      {"ApacheFancy", apache({.index = Index::Fancy})},
      {"ApacheTable", apache({.index = Index::Table})},
      {"ApacheDav", apache({.index = Index::None, .dav = true})},
      {"Lighttpd", lighttpd({})},
      {"LighttpdDav", lighttpd({.webdav = true})},
      {"Caddy", [] { return std::make_unique<CaddyServer>(); }},
      {"Python", [] { return std::make_unique<PythonServer>(); }},
  };
}

}  // namespace red::testing
