#include "tests/servers/proftpd_server.h"

#include <unistd.h>

#include <sstream>
#include <stdexcept>

#include "tests/support/file_tree.h"

namespace red::testing {

ProFtpdServer::ProFtpdServer() {
  const std::string number = std::to_string(owner());
  write_file(work("users"), user() + ":" + password_hash() + ":" + number + ":" + number +
                                "::" + root().string() + ":/bin/sh\n");
  // It takes this file from nobody else.
  std::filesystem::permissions(work("users"), std::filesystem::perms(0600));
  keys_have_changed();
  write_configuration();
  start();
}

Command ProFtpdServer::command() const {
  return isolated({.arguments = {"/usr/sbin/proftpd", "-n", "-q", "-c", work("proftpd.conf")}}, "",
                  {});
}

void ProFtpdServer::keys_have_changed() const {
  // It reads them in the form of RFC 4716, several in a file.
  std::istringstream lines(read_file(authorized_keys()));
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    write_file(work("one.pub"), line + "\n");
    const Outcome outcome =
        run({.arguments = {"/usr/bin/ssh-keygen", "-e", "-m", "RFC4716", "-f", work("one.pub")}});
    if (outcome.exit_code != 0) throw std::runtime_error("ssh-keygen: " + outcome.errors);
    all += outcome.output;
  }
  write_file(work("keys"), all);
}

void ProFtpdServer::write_configuration() const {
  std::ostringstream text;
  text << "ModulePath /usr/lib/proftpd\nLoadModule mod_sftp.c\n"
       << "ServerType standalone\nDefaultAddress 127.0.0.1\nPort " << port()
       << "\nUseIPv6 off\nUseReverseDNS off\nRequireValidShell off\nRootLogin off\nUmask 022\n"
       << "MaxInstances 100\nWtmpLog off\nTransferLog none\nAllowOverwrite on\n"
       << "AllowStoreRestart on\nAllowRetrieveRestart on\nShowSymlinks on\n"
       << "User " << (::geteuid() == 0 ? "nobody" : user()) << "\n"
       << "PidFile " << work("pid").string() << "\nScoreboardFile " << work("scoreboard").string()
       << "\nSystemLog " << work("log").string() << "\nAuthOrder mod_auth_file.c\nAuthUserFile "
       << work("users").string() << "\n"
       << "<IfModule mod_delay.c>\n  DelayEngine off\n</IfModule>\n"
       << "<IfModule mod_auth_pam.c>\n  AuthPAM off\n</IfModule>\n"
       << "<IfModule mod_ident.c>\n  IdentLookups off\n</IfModule>\n"
       << "SFTPEngine on\nSFTPLog " << work("log").string() << "\nSFTPHostKey "
       << host_key().string() << "\nSFTPAuthMethods publickey password\n"
       << "SFTPAuthorizedUserKeys file:" << work("keys").string() << "\n"
       << "<Directory />\n  AllowOverwrite on\n</Directory>\n";
  write_file(work("proftpd.conf"), text.str());
}

}  // namespace red::testing
