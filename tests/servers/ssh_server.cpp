#include "tests/servers/ssh_server.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

/// Of no account that a system has.
constexpr uid_t kOwner = 54'321;

std::string output_of(const std::vector<std::string>& arguments) {
  const Outcome outcome = run({.arguments = arguments});
  if (outcome.exit_code != 0) throw std::runtime_error(arguments[0] + ": " + outcome.errors);
  return outcome.output;
}

/// Keys are made in the directory of the server: FILE and FILE.pub.
void make_key(const std::filesystem::path& file, const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"/usr/bin/ssh-keygen", "-q", "-C",
                                     "key for tests",       "-f", file};
  arguments.insert(arguments.end(), options.begin(), options.end());
  output_of(arguments);
}

std::string name_of_current_user() {
  const passwd* user = ::getpwuid(::geteuid());
  if (user == nullptr) throw std::runtime_error("the current user has no name");
  return user->pw_name;
}

void give_to(uid_t owner, const std::filesystem::path& path) {
  if (::lchown(path.c_str(), owner, owner) != 0) {
    throw std::system_error(errno, std::generic_category(), path.string());
  }
}

}  // namespace

SshServer::SshServer()
    : ServerProcess("sftp"),
      user_(::geteuid() == 0 ? "tester" : name_of_current_user()),
      password_("pass word \xC3\xA4"),
      owner_(::geteuid() == 0 ? kOwner : ::geteuid()) {
  make_key(host_key(), {"-t", "ed25519", "-N", ""});
  private_key_ = authorize_new_key({"-t", "ed25519", "-N", ""});
  std::filesystem::permissions(root(), std::filesystem::perms(0755));
  own_root();
}

std::string SshServer::authorize_new_key(const std::vector<std::string>& options) {
  const std::filesystem::path file = work("key-" + std::to_string(++keys_));
  make_key(file, options);
  std::string all = std::filesystem::exists(authorized_keys()) ? read_file(authorized_keys()) : "";
  all += read_file(file.string() + ".pub");
  write_file(authorized_keys(), all);
  keys_have_changed();
  return read_file(file);
}

std::string SshServer::fingerprint() const {
  std::istringstream words(output_of({"/usr/bin/ssh-keygen", "-l", "-f", host_key()}));
  std::string bits;
  std::string fingerprint;
  words >> bits >> fingerprint;
  return fingerprint;
}

std::string SshServer::known_hosts_line() const {
  return "[" + host() + "]:" + std::to_string(port()) + " " +
         read_file(host_key().string() + ".pub");
}

std::string SshServer::path_of(std::string_view name) const { return root() / name; }

void SshServer::own_root() const {
  if (::geteuid() != 0) return;
  give_to(owner_, root());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root())) {
    give_to(owner_, entry.path());
  }
}

std::string SshServer::password_hash() const {
  write_file(work("password"), password_ + "\n");
  std::string hash = output_of({"/usr/bin/openssl", "passwd", "-6", "-in", work("password")});
  hash.pop_back();  // the line break
  return hash;
}

Command SshServer::isolated(Command command, std::string preparation,
                            const std::vector<std::string>& values) const {
  if (::geteuid() != 0) return command;
  std::vector<std::string> arguments{
      "/usr/bin/unshare",
      "--mount",
      "--propagation",
      "slave",
      "--pid",
      "--fork",
      "--kill-child",
      "/bin/sh",
      "-ec",
      preparation + "\nshift " + std::to_string(values.size()) + "\nexec \"$@\"",
      "sh"};
  arguments.insert(arguments.end(), values.begin(), values.end());
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  command.arguments = std::move(arguments);
  return command;
}

}  // namespace red::testing
