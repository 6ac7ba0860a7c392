#include "tests/servers/apache_server.h"

#include <sstream>
#include <stdexcept>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

constexpr const char* kRealm = "test";

std::string index_options(ApacheOptions::Index index) {
  switch (index) {
    case ApacheOptions::Index::None:
      return "";
    case ApacheOptions::Index::Plain:
      return "  IndexOptions Charset=UTF-8\n";
    case ApacheOptions::Index::Fancy:
      return "  IndexOptions FancyIndexing Charset=UTF-8\n";
    case ApacheOptions::Index::Table:
      return "  IndexOptions FancyIndexing HTMLTable Charset=UTF-8\n";
  }
  return "";
}

std::string first_line_of(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string openssl(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"/usr/bin/openssl"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const Outcome outcome = run({.arguments = all});
  if (outcome.exit_code != 0) throw std::runtime_error("openssl: " + outcome.errors);
  return first_line_of(outcome.output);
}

}  // namespace

ApacheServer::ApacheServer(ApacheOptions options) : options_(std::move(options)) {
  // It refuses to serve as root, and its log and lock files must be writable all the same.
  write_file(work("log"), "");
  std::filesystem::permissions(work("log"), std::filesystem::perms::all);
  std::filesystem::permissions(work(""), std::filesystem::perms::all);
  write_users();
  write_configuration();
  start();
}

Command ApacheServer::command() const {
  return {
      .arguments = {"/usr/sbin/apache2", "-d", work(""), "-f", work("apache.conf"), "-DFOREGROUND"},
      .user = server_user()};
}

void ApacheServer::write_users() const {
  const std::string& user = options_.username;
  if (options_.authentication == ApacheOptions::Authentication::Basic) {
    write_file(work("users"), user + ":" + openssl({"passwd", "-apr1", options_.password}) + "\n");
  } else if (options_.authentication == ApacheOptions::Authentication::Digest) {
    const std::string secret = user + ":" + kRealm + ":" + options_.password;
    write_file(work("secret"), secret);
    const std::string digest = openssl({"dgst", "-md5", "-r", work("secret")}).substr(0, 32);
    write_file(work("users"), user + ":" + kRealm + ":" + digest + "\n");
  }
}

void ApacheServer::write_configuration() const {
  std::ostringstream text;
  text << "ServerName 127.0.0.1\nListen 127.0.0.1:" << port() << "\nPidFile "
       << work("pid").string() << "\nErrorLog " << work("log").string()
       << "\nMutex file:" << work("").string() << "\nDefaultRuntimeDir " << work("").string()
       << "\n";
  for (const char* module :
       {"mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic",
        "auth_digest", "autoindex", "dav", "dav_fs", "dir", "mime"}) {
    text << "LoadModule " << module << "_module /usr/lib/apache2/modules/mod_" << module << ".so\n";
  }
  text << "StartServers 1\nTypesConfig /dev/null\nAddType text/plain .txt\nDirectorySlash On\n"
       << "DocumentRoot " << root().string() << "\nDavLockDB " << work("locks").string()
       << "\nLimitXMLRequestBody 0\n"
       << "<Directory " << root().string() << ">\n";
  if (options_.index != ApacheOptions::Index::None) text << "  Options +Indexes\n";
  text << "  IndexIgnore . ..\n" << index_options(options_.index);
  if (options_.dav) text << "  Dav On\n";
  switch (options_.authentication) {
    case ApacheOptions::Authentication::None:
      text << "  Require all granted\n";
      break;
    case ApacheOptions::Authentication::Basic:
      text << "  AuthType Basic\n  AuthBasicProvider file\n";
      break;
    case ApacheOptions::Authentication::Digest:
      text << "  AuthType Digest\n  AuthDigestProvider file\n";
      break;
  }
  if (options_.authentication != ApacheOptions::Authentication::None) {
    text << "  AuthName \"" << kRealm << "\"\n  AuthUserFile " << work("users").string()
         << "\n  Require valid-user\n";
  }
  text << "</Directory>\n";
  write_file(work("apache.conf"), text.str());
}

}  // namespace red::testing
