// Reaching an SSH server and being let in: credentials, host keys, and all that can go wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>

#include "tests/integration/connector.h"
#include "tests/servers/async_ssh_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/ssh_access.h"
#include "tests/servers/ssh_server_kinds.h"
#include "tests/support/file_tree.h"
#include "tests/support/network.h"

namespace red::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SshLogin : public ::testing::Test {
 protected:
  Outcome receive(const Json& access) const {
    return connector_.call("receive-file", access, {directory_ / "target"});
  }
  /// The least that shows that all is well: it logs in and asks for the home directory.
  Outcome log_in(Json access) const {
    access["dirPath"] = ".";
    return connector_.call("receive-dir-validate", access);
  }
  void expect_nothing_left() const { EXPECT_THAT(names_in(directory_.path()), IsEmpty()); }

  Connector connector_{"red-connector-ssh"};
  TemporaryDirectory directory_;
};

Json with_auth(const SshServer& server, const Json& auth) {
  Json access = access_to(server);
  access["auth"] = auth;
  return access;
}
Json with_key(const SshServer& server, const std::string& key, const std::string& passphrase = "") {
  Json auth = {{"username", server.user()}, {"privateKey", key}};
  if (!passphrase.empty()) auth["passphrase"] = passphrase;
  return with_auth(server, auth);
}

// --- Credentials ---------------------------------------------------------------------------------

class SshLoginTo : public SshLogin, public ::testing::WithParamInterface<SshServerKind> {
 protected:
  std::unique_ptr<SshServer> server_ = GetParam().make();
};

TEST_P(SshLoginTo, TakesThePasswordAndNoOther) {
  if (server_->password().empty()) GTEST_SKIP() << "it takes no passwords here";
  const auto try_password = [&](const std::string& password) {
    return log_in(with_auth(*server_, {{"username", server_->user()}, {"password", password}}));
  };
  EXPECT_THAT(try_password(server_->password()), Succeeded()) << server_->log();
  const Outcome refused = try_password("hunter2-is-wrong");
  EXPECT_THAT(refused, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(refused.errors,
              AllOf(HasSubstr("password"), HasSubstr("publickey"), Not(HasSubstr("hunter2"))));
  EXPECT_EQ(lines_in(refused.errors), 1u);
}

TEST_P(SshLoginTo, TakesEveryKindOfKey) {
  const std::vector<std::vector<std::string>> kinds = {
      {"-t", "rsa", "-b", "2048"},
      {"-t", "rsa", "-b", "3072"},
      {"-t", "rsa", "-b", "4096"},
      {"-t", "ecdsa", "-b", "256"},
      {"-t", "ecdsa", "-b", "384"},
      {"-t", "ecdsa", "-b", "521"},
      {"-t", "ed25519"},
  };
  for (std::vector<std::string> options : kinds) {
    options.insert(options.end(), {"-N", ""});
    EXPECT_THAT(log_in(with_key(*server_, server_->authorize_new_key(options))), Succeeded())
        << options[1] << options[3] << server_->log();
  }
}

TEST_P(SshLoginTo, TakesKeysOfEveryFormat) {
  for (const char* format : {"RFC4716", "PEM", "PKCS8"}) {
    for (const std::string passphrase : {"", "correct horse"}) {
      const std::string key = server_->authorize_new_key(
          {"-t", "rsa", "-b", "2048", "-m", format, "-N", passphrase, "-a", "4"});
      EXPECT_THAT(log_in(with_key(*server_, key, passphrase)), Succeeded())
          << format << passphrase << server_->log();
    }
  }
}

TEST_P(SshLoginTo, RefusesAKeyThatTheServerDoesNotKnow) {
  const OpenSshServer other;
  const Outcome refused = log_in(with_key(*server_, other.private_key()));
  EXPECT_THAT(refused, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("publickey"), Not(HasSubstr("BEGIN"))));
  EXPECT_EQ(lines_in(refused.errors), 1u);
}

TEST_P(SshLoginTo, RefusesAUserThatTheServerDoesNotKnow) {
  EXPECT_THAT(log_in(with_auth(*server_, {{"username", "no-such-user"}, {"password", "hunter2"}})),
              FailedWith(exit_code::kAuthentication));
}

TEST_P(SshLoginTo, ManyAtATimeAreLetIn) {
  write_file(server_->root() / "file", "content");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] { EXPECT_THAT(log_in(access_to(*server_)), Succeeded()); });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Every, SshLoginTo, ::testing::ValuesIn(ssh_server_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST_F(SshLogin, TakesAKeyWhoseLineBreaksAreSpoilt) {
  OpenSshServer server;
  const std::string key = server.authorize_new_key({"-t", "rsa", "-b", "2048", "-N", ""});
  for (const std::string line_break : {"\\n", "\r\n", " ", ""}) {
    std::string spoilt;
    for (const char c : key) spoilt += c == '\n' ? line_break : std::string(1, c);
    EXPECT_THAT(log_in(with_key(server, spoilt)), Succeeded()) << line_break;
  }
}

TEST_F(SshLogin, AnswersQuestionsWithThePassword) {
  const AsyncSshServer server({.password = false, .public_key = false});
  EXPECT_THAT(log_in(access_to(server)), Succeeded()) << server.log();
  const Outcome refused =
      log_in(with_auth(server, {{"username", server.user()}, {"password", "hunter2"}}));
  EXPECT_THAT(refused, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("keyboard-interactive"), Not(HasSubstr("hunter2"))));
}

TEST_F(SshLogin, SaysWhatTheServerTakesInstead) {
  const AsyncSshServer keys_only({.password = false, .keyboard_interactive = false});
  const Outcome no_password = log_in(access_to(keys_only));
  EXPECT_THAT(no_password, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(no_password.errors, HasSubstr("publickey"));
  const AsyncSshServer passwords_only({.keyboard_interactive = false, .public_key = false});
  const Outcome no_key = log_in(with_key(passwords_only, passwords_only.private_key()));
  EXPECT_THAT(no_key, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(no_key.errors, HasSubstr("password"));
}

TEST_F(SshLogin, FindsAnUnusableKeyWithoutANetwork) {
  OpenSshServer server;
  const std::string encrypted =
      server.authorize_new_key({"-t", "ed25519", "-N", "correct horse", "-a", "4"});
  server.stop();
  const Outcome missing = log_in(with_key(server, encrypted));
  EXPECT_THAT(missing, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(missing.errors, HasSubstr("/auth/passphrase: missing"));
  const Outcome wrong = log_in(with_key(server, encrypted, "hunter2"));
  EXPECT_THAT(wrong, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(wrong.errors, AllOf(HasSubstr("/auth/passphrase: does not open the private key"),
                                  Not(HasSubstr("hunter2"))));
  const Outcome garbage = log_in(with_key(server, "hunter2"));
  EXPECT_THAT(garbage, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(garbage.errors, AllOf(HasSubstr("/auth/privateKey"), Not(HasSubstr("hunter2"))));
}

// --- Host keys -----------------------------------------------------------------------------------

TEST_F(SshLogin, KeepsToTheHostKeyThatIsPinned) {
  OpenSshServer server;
  for (const std::string& pin : {server.fingerprint(), server.known_hosts_line()}) {
    Json access = access_to(server);
    access["hostKey"] = pin;
    EXPECT_THAT(log_in(access), Succeeded()) << pin;
  }
}

TEST_F(SshLogin, RefusesAnotherHostKeyLoudly) {
  const OpenSshServer server;
  const OpenSshServer other;
  for (const std::string& pin : {other.fingerprint(), other.known_hosts_line()}) {
    Json access = access_to(server, "filePath", "file");
    access["hostKey"] = pin;
    const Outcome outcome = receive(access);
    EXPECT_THAT(outcome, FailedWith(exit_code::kAuthentication)) << pin;
    EXPECT_THAT(outcome.errors,
                AllOf(HasSubstr(server.fingerprint()), HasSubstr(other.fingerprint())));
  }
  EXPECT_THAT(server.log(), Not(HasSubstr("Accepted"))) << "no credential was shown";
  expect_nothing_left();
}

TEST_F(SshLogin, FindsThePinnedKeyAmongSeveral) {
  const TemporaryDirectory keys;
  const std::string file = keys / "ecdsa";
  ASSERT_EQ(run({.arguments = {"/usr/bin/ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", file}})
                .exit_code,
            0);
  const OpenSshServer server({.more = "HostKey " + file});
  const std::string ecdsa =
      run({.arguments = {"/usr/bin/ssh-keygen", "-l", "-f", file}}).output.substr(4, 50);
  ASSERT_THAT(ecdsa, HasSubstr("SHA256:"));
  for (const std::string& pin :
       {server.fingerprint(), ecdsa, "any-host " + read_file(file + ".pub"),
        server.known_hosts_line()}) {
    Json access = access_to(server);
    access["hostKey"] = pin;
    EXPECT_THAT(log_in(access), Succeeded()) << pin;
  }
}

TEST_F(SshLogin, LogsTheHostKeyThatItAccepts) {
  const OpenSshServer server;
  const std::string access = connector_.keep_json(access_to(server, "dirPath", "."));
  const Outcome outcome = connector_.run({"--verbose", "receive-dir-validate", access});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_THAT(outcome.errors,
              AllOf(HasSubstr(server.fingerprint()), Not(HasSubstr(server.password()))));
}

// --- What is not there ---------------------------------------------------------------------------

/// Takes connections and treats each as told, until it ends.
class Acceptor {
 public:
  explicit Acceptor(std::function<void(int connection)> treat)
      : listener_(listen_on(port_.number())), thread_([this, treat = std::move(treat)] {
          for (;;) {
            const FileDescriptor connection(::accept(listener_.get(), nullptr, nullptr));
            if (!connection) return;
            treat(connection.get());
          }
        }) {}
  ~Acceptor() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  std::uint16_t port() const { return port_.number(); }

 private:
  ReservedPort port_;
  FileDescriptor listener_;
  std::thread thread_;
};

Json access_at(std::uint16_t port) {
  return {{"host", "127.0.0.1"},
          {"port", port},
          {"auth", {{"username", "me"}, {"password", "hunter2"}}},
          {"filePath", "file"}};
}

TEST_F(SshLogin, TellsAnUnknownHostFromAServerThatIsDown) {
  Json unknown = access_at(22);
  unknown["host"] = "no-such-host.invalid";
  const Outcome not_found = receive(unknown);
  EXPECT_THAT(not_found, FailedWith(exit_code::kNetwork));
  EXPECT_THAT(not_found.errors, HasSubstr("no-such-host.invalid"));
  const ReservedPort nobody;
  const Outcome refused = receive(access_at(nobody.number()));
  EXPECT_THAT(refused, FailedWith(exit_code::kNetwork));
  EXPECT_THAT(refused.errors, HasSubstr("refused"));
  EXPECT_LT(refused.duration.count(), 10'000);
  expect_nothing_left();
}

void wait_for_close(int connection) {
  char byte = 0;
  while (::recv(connection, &byte, 1, 0) > 0) {
  }
}

TEST_F(SshLogin, SaysWhenTheServerIsNoSshServer) {
  const Acceptor server([](int connection) {
    const std::string_view greeting = "220 ftp.example.com ready\r\n";
    ::send(connection, greeting.data(), greeting.size(), MSG_NOSIGNAL);
    wait_for_close(connection);
  });
  // A server may say other things before it says that it speaks SSH (RFC 4253 section 4.2).
  Json access = access_at(server.port());
  access["bannerTimeout"] = 1;
  const Outcome outcome = receive(access);
  EXPECT_THAT(outcome, FailedWith(exit_code::kProtocol));
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("SSH"), HasSubstr("220 ftp.example.com ready")));
  EXPECT_LT(outcome.duration.count(), 10'000);
}

TEST_F(SshLogin, SaysWhenTheServerHangsUp) {
  const Acceptor server([](int) {});
  const Outcome outcome = receive(access_at(server.port()));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 15'000);
}

TEST_F(SshLogin, DoesNotWaitForABannerForEver) {
  const Acceptor server([](int connection) { wait_for_close(connection); });
  Json access = access_at(server.port());
  access["bannerTimeout"] = 1;
  const Outcome outcome = receive(access);
  EXPECT_THAT(outcome, FailedWith(exit_code::kTimedOut));
  EXPECT_GE(outcome.duration.count(), 900);
  EXPECT_LT(outcome.duration.count(), 15'000);
}

TEST_F(SshLogin, DoesNotReadABannerWithoutEnd) {
  const Acceptor server([](int connection) {
    const std::string line(1000, 'x');
    while (::send(connection, line.data(), line.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  const Outcome outcome = receive(access_at(server.port()));
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 15'000);
  EXPECT_LT(outcome.max_resident_kib, 200'000);
}

TEST_F(SshLogin, DoesNotWaitForAnAnswerToThePasswordForEver) {
  const OpenSshServer server;
  Relay relay(server.port());
  relay.freeze();
  Json access = access_to(server, "filePath", "file");
  access["port"] = relay.port();
  access["authTimeout"] = 1;
  access["bannerTimeout"] = 1;
  const Outcome outcome = receive(access);
  EXPECT_THAT(outcome, FailedWith(exit_code::kTimedOut));
  EXPECT_LT(outcome.duration.count(), 15'000);
}

TEST_F(SshLogin, SaysWhenThereIsNoSftp) {
  const OpenSshServer server({.sftp = false});
  const Outcome outcome = receive(access_to(server, "filePath", "file"));
  EXPECT_THAT(outcome, FailedWith(exit_code::kUnsupported)) << server.log();
  EXPECT_THAT(outcome.errors, HasSubstr("SFTP"));
  EXPECT_LT(outcome.duration.count(), 10'000);
}

TEST_F(SshLogin, SaysWhenTheSftpProgramEndsOrTalksNonsense) {
  for (const char* program : {"/bin/false", "/bin/echo no protocol at all", "/no/such/program"}) {
    const OpenSshServer server({.sftp = false, .more = "Subsystem sftp " + std::string(program)});
    const Outcome outcome = receive(access_to(server, "filePath", "file"));
    EXPECT_THAT(outcome, Failed()) << program;
    EXPECT_LT(outcome.duration.count(), 15'000) << program;
  }
}

TEST_F(SshLogin, UsesTheCiphersThatAreNamed) {
  const OpenSshServer server({.more = "Ciphers aes128-ctr,aes256-ctr"});
  for (const Json& ciphers :
       {Json("aes256-ctr"), Json("aes256-gcm@openssh.com,aes128-ctr"), Json({"aes128-ctr"})}) {
    Json access = access_to(server);
    access["ciphers"] = ciphers;
    EXPECT_THAT(log_in(access), Succeeded()) << ciphers;
  }
  Json access = access_to(server);
  access["ciphers"] = "aes192-cbc";
  EXPECT_THAT(log_in(access), FailedWith(exit_code::kProtocol));
  access["ciphers"] = "rot13";
  const Outcome unknown = log_in(access);
  EXPECT_THAT(unknown, Failed());
  EXPECT_THAT(unknown.errors, HasSubstr("rot13"));
}

TEST_F(SshLogin, TakesNamesThatHaveSeveralAddresses) {
  // The server listens at 127.0.0.1 only; localhost may mean ::1 first.
  const OpenSshServer server;
  Json access = access_to(server);
  access["host"] = "localhost";
  EXPECT_THAT(log_in(access), Succeeded());
}

TEST_F(SshLogin, TakesIpv6) {
  const FileDescriptor socket(::socket(AF_INET6, SOCK_STREAM, 0));
  if (!std::filesystem::exists("/proc/net/if_inet6") || !socket) GTEST_SKIP() << "no IPv6 here";
  const ReservedPort port;
  const OpenSshServer server({.more = "ListenAddress [::1]:" + std::to_string(port.number())});
  Json access = access_to(server);
  access["port"] = port.number();
  for (const char* host : {"::1", "[::1]"}) {
    access["host"] = host;
    EXPECT_THAT(log_in(access), Succeeded()) << server.log();
  }
}

// --- Access data ---------------------------------------------------------------------------------

TEST_F(SshLogin, ReportsAllProblemsOfTheAccessDataAtOnce) {
  const Outcome outcome =
      connector_.call("mount-dir-validate",
                      {{"host", ""}, {"port", 0}, {"auth", {{"username", "u"}}}, {"dirpath", "x"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("/host"), HasSubstr("/port"), HasSubstr("/auth"),
                                    HasSubstr("did you mean \"dirPath\"?")));
  EXPECT_GE(lines_in(outcome.errors), 5u);
}

TEST_F(SshLogin, ThePlainNameTakesTheProtocolFromTheAccessData) {
  const OpenSshServer server;
  write_file(server.root() / "file", "content");
  const Connector connector("red-connector");
  EXPECT_THAT(connector.call("receive-file", access_to(server, "filePath", "file"),
                             {directory_ / "target"}),
              Succeeded());
  EXPECT_EQ(read_file(directory_ / "target"), "content");
}

}  // namespace
}  // namespace red::testing
