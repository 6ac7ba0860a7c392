#include "tests/servers/lighttpd_server.h"

#include <sstream>

#include "tests/support/file_tree.h"

namespace red::testing {

LighttpdServer::LighttpdServer(LighttpdOptions options) {
  std::ostringstream text;
  text
      << "server.modules = (\"mod_dirlisting\"" << (options.webdav ? ", \"mod_webdav\"" : "")
      << ")\nserver.bind = \"127.0.0.1\"\nserver.port = " << port() << "\nserver.document-root = \""
      << root().string() << "\"\nserver.upload-dirs = (\"" << work("").string()
      << "\")\nserver.errorlog = \"" << work("log").string()
      << "\"\ndir-listing.activate = \"enable\"\ndir-listing.hide-dotfiles = \"disable\"\n"
      << "dir-listing.encoding = \"utf-8\"\nmimetype.assign = (\".txt\" => \"text/plain\", \"\" => "
         "\"application/octet-stream\")\n";
  if (options.webdav) text << "webdav.activate = \"enable\"\nwebdav.is-readonly = \"disable\"\n";
  write_file(work("lighttpd.conf"), text.str());
  start();
}

Command LighttpdServer::command() const {
  return {.arguments = {"/usr/sbin/lighttpd", "-D", "-f", work("lighttpd.conf")}};
}

}  // namespace red::testing
