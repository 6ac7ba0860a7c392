#include <nlohmann/json.hpp>

#include "tests/conformance/remote_store_conformance.h"
#include "tests/conformance/served_directory.h"
#include "tests/servers/async_ssh_server.h"
#include "tests/servers/openssh_server.h"
#include "tests/servers/proftpd_server.h"
#include "tests/servers/ssh_access.h"

namespace red::testing {
namespace {

/// The home of an SSH server's account.
template <typename Server>
class SshHome : public ServedDirectory {
 public:
  SshHome() : SshHome(std::make_unique<Server>()) {}

  std::vector<std::string> secrets() const override {
    if (server_->password().empty()) return {server_->private_key()};
    return {server_->password()};
  }

  bool makes_parents_of_uploads() const override { return true; }

 protected:
  std::string access_to(const std::string& path, Purpose purpose) const override {
    const bool is_file = purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
    nlohmann::json access =
        testing::access_to(*server_, is_file ? "filePath" : "dirPath", server_->path_of(path));
    access["port"] = relay().port();
    if (purpose == Purpose::MountDir) access["writable"] = true;
    return access.dump();
  }

 private:
  explicit SshHome(std::unique_ptr<Server> server)
      : ServedDirectory(*server, server->owner()), server_(std::move(server)) {}

  const std::unique_ptr<Server> server_;
};

class OpenSsh final : public SshHome<OpenSshServer> {};

class AsyncSsh final : public SshHome<AsyncSshServer> {};

class ProFtpd final : public SshHome<ProFtpdServer> {};

INSTANTIATE_TEST_SUITE_P(OpenSsh, RemoteStoreConformance, ::testing::Values(start<OpenSsh>));
INSTANTIATE_TEST_SUITE_P(OpenSsh, UploaderConformance, ::testing::Values(start<OpenSsh>));
INSTANTIATE_TEST_SUITE_P(OpenSsh, TreeEditorConformance, ::testing::Values(start<OpenSsh>));
INSTANTIATE_TEST_SUITE_P(AsyncSsh, RemoteStoreConformance, ::testing::Values(start<AsyncSsh>));
INSTANTIATE_TEST_SUITE_P(AsyncSsh, UploaderConformance, ::testing::Values(start<AsyncSsh>));
INSTANTIATE_TEST_SUITE_P(AsyncSsh, TreeEditorConformance, ::testing::Values(start<AsyncSsh>));
INSTANTIATE_TEST_SUITE_P(ProFtpd, RemoteStoreConformance, ::testing::Values(start<ProFtpd>));
INSTANTIATE_TEST_SUITE_P(ProFtpd, UploaderConformance, ::testing::Values(start<ProFtpd>));
INSTANTIATE_TEST_SUITE_P(ProFtpd, TreeEditorConformance, ::testing::Values(start<ProFtpd>));

}  // namespace
}  // namespace red::testing
