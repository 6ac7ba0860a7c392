#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/servers/certificate.h"
#include "tests/servers/server_process.h"

namespace red::testing {

struct NginxOptions {
  bool autoindex = true;
  std::string autoindex_format = "html";  ///< or "json"
  bool exact_size = true;
  bool dav = false;  ///< PUT and MKCOL
  bool tls = false;
  bool http2 = false;         ///< needs tls
  std::string username = {};  ///< Basic authentication if not empty
  std::string password = {};
  int requests_per_second = 0;  ///< beyond them: 429; 0: no limit
  long bytes_per_second = 0;    ///< per connection; 0: no limit
  std::string more = {};        ///< further directives for the location
};

/// One request as nginx logged it when it was answered.
struct LoggedRequest {
  std::string method;
  std::string target;
  int status;
  std::string protocol;  ///< "HTTP/1.1" or "HTTP/2.0"
  std::string range;     ///< the Range field, "-" if none
  std::string connection;
  long bytes_sent;
};

class NginxServer : public ServerProcess {
 public:
  explicit NginxServer(NginxOptions options = {});

  /// What to trust to talk to it (TLS only).
  std::filesystem::path authority() const { return certificate_->certificate; }
  std::vector<LoggedRequest> requests() const;

 private:
  Command command() const override;
  void write_configuration() const;
  std::string location() const;

  NginxOptions options_;
  std::optional<Certificate> certificate_;
};

}  // namespace red::testing
