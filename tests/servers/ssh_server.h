#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/servers/server_process.h"

namespace red::testing {

/// A server of the system that speaks SFTP, with a host key of its own and one account, whose home
/// is root(). As root the account is one that exists for this server only and is no superuser; else
/// it is the current user.
class SshServer : public ServerProcess {
 public:
  std::string host() const { return "127.0.0.1"; }
  const std::string& user() const { return user_; }
  /// Empty if the server takes none here: OpenSSH does so for accounts that are ours to make only.
  const std::string& password() const { return password_; }
  /// The text of a private key (Ed25519, OpenSSH's format) that opens the account.
  const std::string& private_key() const { return private_key_; }
  /// Makes another one by `ssh-keygen OPTIONS`; the text of the private half.
  std::string authorize_new_key(const std::vector<std::string>& options);

  /// "SHA256:..." of the host key.
  std::string fingerprint() const;
  /// The host key as a line of known_hosts.
  std::string known_hosts_line() const;

  /// What clients call root() / name.
  virtual std::string path_of(std::string_view name) const;

  /// Makes the account the owner of all below root(), which is what tests put there; modes and
  /// times stay.
  void own_root() const;
  /// Who the files belong to that clients make.
  uid_t owner() const { return owner_; }

 protected:
  SshServer();

  std::filesystem::path host_key() const { return work("host_key"); }
  /// As in ~/.ssh/authorized_keys.
  std::filesystem::path authorized_keys() const { return work("authorized_keys"); }
  /// The password as crypt(3) has it.
  std::string password_hash() const;
  void take_no_password() { password_.clear(); }

  /// The command in namespaces of its own for mounts and processes, if we are root: what
  /// `preparation` (shell; $1, $2... are `values`) mounts is seen by the server only, and sessions
  /// end with it although they leave its process group.
  Command isolated(Command command, std::string preparation,
                   const std::vector<std::string>& values) const;

 private:
  /// Servers that keep the authorized keys in another form write it now.
  virtual void keys_have_changed() const {}

  std::string user_;
  std::string password_;
  std::string private_key_;
  uid_t owner_;
  int keys_ = 0;
};

}  // namespace red::testing
