#include "common/protocols/sftp/sftp_examination.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "common/error.h"
#include "common/net/connection_steps.h"
#include "common/net/tcp_connection.h"
#include "common/protocols/sftp/sftp_error.h"
#include "common/protocols/sftp/ssh_connection.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// Whoever waits for a diagnosis waits less than for the data; and a server that asks the name of
// its client takes some seconds.
constexpr milliseconds kStepLimit = 10s;
constexpr milliseconds kLoginLimit = 25s;

/// What makes a difference to us.
constexpr std::array kExtensions{"posix-rename@openssh.com", "hardlink@openssh.com",
                                 "fsync@openssh.com",        "statvfs@openssh.com",
                                 "limits@openssh.com",       "copy-data"};

SftpAccess bounded(SftpAccess access) {
  for (milliseconds* timeout :
       {&access.connect_timeout, &access.banner_timeout, &access.auth_timeout}) {
    *timeout = std::min(*timeout, kStepLimit);
  }
  return access;
}

/// One login, whose stages are told one after the other.
class LoginExaminer : public std::enable_shared_from_this<LoginExaminer> {
 public:
  explicit LoginExaminer(const SftpAccess& access) : access_(bounded(access)) {}

  void add_steps(std::vector<ExaminationStep>& steps) {
    const auto self = shared_from_this();
    steps.push_back({"connection", kLoginLimit, [self](const RequestContext& context) {
                       self->log_in(context);
                       return self->connection();
                     }});
    steps.push_back(
        {"host key", kStepLimit, [self](const RequestContext&) { return self->host_key(); }});
    steps.push_back({"authentication", kStepLimit,
                     [self](const RequestContext&) { return self->authentication(); }});
  }

 private:
  void log_in(const RequestContext& context) {
    try {
      ContextWaiter waiter(context);
      const SshConnection connection(access_, notes_, waiter);
      return;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::Cancelled) throw;
      failure_ = error;
    }
  }

  void throw_if_failed_at(SshStage stage, const char* advice) const {
    if (!failure_ || notes_.stage != stage) return;
    throw Error(failure_->kind(), failure_->message() + advice);
  }

  std::optional<Finding> connection() const {
    throw_if_failed_at(SshStage::Connecting, ": check host, port and firewalls");
    return Finding{FindingStatus::Ok,
                   authority_of(notes_.peer, access_.port) + ", " + time_text(notes_.connect_time)};
  }

  std::optional<Finding> host_key() const {
    throw_if_failed_at(SshStage::HostKey, "");
    const std::string key = notes_.host_key_type + " " + notes_.host_key_fingerprint;
    if (!access_.host_key.empty()) return Finding{FindingStatus::Ok, key + ", as hostKey says"};
    return Finding{FindingStatus::Note, key +
                                            ": not checked; to accept no other key, add "
                                            "\"hostKey\": \"" +
                                            notes_.host_key_fingerprint + "\""};
  }

  std::optional<Finding> authentication() const {
    throw_if_failed_at(SshStage::Authentication, "; check auth");
    throw_if_failed_at(SshStage::Session, "");
    const std::string method =
        notes_.authentication.empty() ? "no credentials asked for" : notes_.authentication;
    return Finding{FindingStatus::Ok,
                   method + " as " + access_.username +
                       (notes_.offered_methods.empty() ? std::string()
                                                       : "; offered: " + notes_.offered_methods)};
  }

  const SftpAccess access_;
  SshLoginNotes notes_;
  std::optional<Error> failure_;
};

std::string limits_text(const SftpLimits& limits) {
  if (limits.max_read == 0) return {};
  return ", reads of up to " + std::to_string(limits.max_read / 1024) + " KiB";
}

Finding describe(const SftpServer& server) {
  std::string offered;
  std::string missing;
  for (const char* name : kExtensions) {
    std::string& list = server.offers(name) ? offered : missing;
    const std::string_view all(name);
    list += (list.empty() ? "" : ", ") + std::string(all.substr(0, all.find('@')));
  }
  return {FindingStatus::Ok, printable(server.banner) + limits_text(server.limits) +
                                 (offered.empty() ? "" : "; extensions: " + offered) +
                                 (missing.empty() ? "" : "; without: " + missing)};
}

}  // namespace

Examination examine_sftp(const SftpAccess& access, SftpClient& client) {
  Examination examination;
  examination.steps.push_back(resolution_step(access.host, access.port));
  std::make_shared<LoginExaminer>(access)->add_steps(examination.steps);
  examination.steps.push_back({"server", kLoginLimit, [&client](const RequestContext& context) {
                                 return describe(client.connect(context));
                               }});
  examination.small_request = [&client](const RequestContext& context) {
    client.real_path(".", context);
  };
  examination.listing_format = [] { return std::string("SFTP"); };
  return examination;
}

}  // namespace red
