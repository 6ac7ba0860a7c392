#include "tests/servers/openssh_server.h"

#include <unistd.h>

#include <sstream>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

// Where the server finds root() in a chroot: sshd wants every directory above it to be root's own,
// which nothing below /tmp can be.
constexpr const char* kJail = "/mnt";
constexpr const char* kHomeInJail = "/home";

}  // namespace

OpenSshServer::OpenSshServer(OpenSshOptions options) : options_(std::move(options)) {
  if (can_chroot()) {
    write_accounts();
    std::filesystem::create_directories(work("jail" + std::string(kHomeInJail)));
  } else {
    take_no_password();
  }
  write_configuration();
  start();
}

bool OpenSshServer::can_chroot() { return ::geteuid() == 0; }

std::string OpenSshServer::path_of(std::string_view name) const {
  if (!options_.chrooted) return SshServer::path_of(name);
  return std::filesystem::path(kHomeInJail) / name;
}

Command OpenSshServer::command() const {
  return isolated({.arguments = {"/usr/sbin/sshd", "-D", "-e", "-f", work("sshd_config")}},
                  "mount --bind \"$1\" /etc/passwd\n"
                  "mount --bind \"$2\" /etc/shadow\n"
                  "mount -t tmpfs tmpfs /run\n"
                  "mkdir /run/sshd\n"
                  "mount --bind \"$3\" " +
                      std::string(kJail) +
                      "\n"
                      "mount --bind \"$4\" " +
                      kJail + kHomeInJail,
                  {work("passwd"), work("shadow"), work("jail"), root()});
}

void OpenSshServer::write_configuration() const {
  std::ostringstream text;
  text << "ListenAddress 127.0.0.1:" << port() << "\nHostKey " << host_key().string()
       << "\nAuthorizedKeysFile " << authorized_keys().string()
       << "\nPidFile none\nUsePAM no\nStrictModes no\nUseDNS no\nLogLevel VERBOSE\n"
       << "PasswordAuthentication yes\nMaxStartups 100\nMaxSessions 100\n"
       << options_.more << "\n";
  if (options_.sftp) {
    text << "Subsystem sftp "
         << (options_.chrooted ? "internal-sftp" : "/usr/lib/openssh/sftp-server") << "\n";
  }
  if (options_.chrooted) {
    text << "ChrootDirectory " << kJail << "\nForceCommand internal-sftp\n";
  }
  write_file(work("sshd_config"), text.str());
}

void OpenSshServer::write_accounts() const {
  const std::string home = options_.chrooted ? kHomeInJail : root().string();
  const std::string shell = options_.chrooted ? "/usr/sbin/nologin" : "/bin/sh";
  const std::string number = std::to_string(owner());
  write_file(work("passwd"), read_file("/etc/passwd") + user() + ":x:" + number + ":" + number +
                                 "::" + home + ":" + shell + "\n");
  write_file(work("shadow"), user() + ":" + password_hash() + ":19000:0:99999:7:::\n");
}

}  // namespace red::testing
