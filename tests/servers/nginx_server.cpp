#include "tests/servers/nginx_server.h"

#include <unistd.h>

#include <sstream>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

std::string on_or_off(bool value) { return value ? "on" : "off"; }

}  // namespace

NginxServer::NginxServer(NginxOptions options)
    : ServerProcess(options.tls ? "https" : "http"), options_(std::move(options)) {
  if (options_.tls) certificate_ = make_certificate(work(""));
  write_configuration();
  start();
}

Command NginxServer::command() const {
  return {.arguments = {"/usr/sbin/nginx", "-p", work(""), "-c", work("nginx.conf"), "-e",
                        work("log")}};
}

std::string NginxServer::location() const {
  std::ostringstream text;
  text << "      root " << root().string() << ";\n"
       << "      autoindex " << on_or_off(options_.autoindex) << ";\n"
       << "      autoindex_format " << options_.autoindex_format << ";\n"
       << "      autoindex_exact_size " << on_or_off(options_.exact_size) << ";\n";
  if (options_.dav) {
    text << "      dav_methods PUT MKCOL DELETE;\n      client_max_body_size 0;\n";
  }
  if (!options_.username.empty()) {
    text << "      auth_basic \"test\";\n      auth_basic_user_file " << work("users").string()
         << ";\n";
  }
  if (options_.requests_per_second > 0) {
    text << "      limit_req zone=requests burst=" << options_.requests_per_second
         << " nodelay;\n      limit_req_status 429;\n";
  }
  if (options_.bytes_per_second > 0) {
    text << "      limit_rate " << options_.bytes_per_second << ";\n";
  }
  text << options_.more << "\n";
  return text.str();
}

void NginxServer::write_configuration() const {
  std::ostringstream text;
  if (::geteuid() == 0) text << "user root;\n";
  text << "daemon off;\nworker_processes 1;\npid " << work("pid").string() << ";\n"
       << "events { worker_connections 1024; }\nhttp {\n"
       << "  types { text/plain txt; text/html html; application/json json; }\n"
       << "  default_type application/octet-stream;\n  sendfile on;\n  tcp_nopush on;\n"
       << "  log_format fields '$request_method $request_uri $status $server_protocol "
       << "\"$http_range\" $connection $bytes_sent';\n"
       << "  access_log " << work("requests").string() << " fields;\n";
  for (const char* path : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    text << "  " << path << "_temp_path " << work(path).string() << ";\n";
  }
  if (options_.requests_per_second > 0) {
    text << "  limit_req_zone $server_port zone=requests:1m rate=" << options_.requests_per_second
         << "r/s;\n";
  }
  text << "  server {\n    listen 127.0.0.1:" << port() << (options_.tls ? " ssl" : "")
       << (options_.http2 ? " http2" : "") << ";\n";
  if (certificate_) {
    text << "    ssl_certificate " << certificate_->certificate.string()
         << ";\n    ssl_certificate_key " << certificate_->key.string() << ";\n";
  }
  text << "    location / {\n" << location() << "    }\n  }\n}\n";
  write_file(work("nginx.conf"), text.str());
  write_file(work("users"), options_.username + ":{PLAIN}" + options_.password + "\n");
}

std::vector<LoggedRequest> NginxServer::requests() const {
  std::vector<LoggedRequest> requests;
  if (!std::filesystem::exists(work("requests"))) return requests;
  std::istringstream log(read_file(work("requests")));
  LoggedRequest request;
  while (log >> request.method >> request.target >> request.status >> request.protocol >>
         request.range >> request.connection >> request.bytes_sent) {
    request.range = request.range.substr(1, request.range.size() - 2);
    requests.push_back(request);
  }
  return requests;
}

}  // namespace red::testing
