#pragma once

#include <string>

#include "tests/servers/server_process.h"

namespace red::testing {

struct ApacheOptions {
  enum class Index { None, Plain, Fancy, Table };
  enum class Authentication { None, Basic, Digest };
  Index index = Index::Plain;
  bool dav = false;
  Authentication authentication = Authentication::None;
  std::string username = {};
  std::string password = {};
};

/// Apache httpd; with `dav` it has mod_dav and mod_dav_fs (PROPFIND, PUT, MKCOL, DELETE).
class ApacheServer : public ServerProcess {
 public:
  explicit ApacheServer(ApacheOptions options = {});

 private:
  Command command() const override;
  void write_configuration() const;
  void write_users() const;

  ApacheOptions options_;
};

}  // namespace red::testing
