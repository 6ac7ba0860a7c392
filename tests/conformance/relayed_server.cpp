#include "tests/conformance/relayed_server.h"

#include "cli/connectors.h"
#include "common/json/json_document.h"
#include "common/remote/retry.h"

namespace red::testing {

std::unique_ptr<RemoteStore> RelayedServer::open(const std::string& path, Purpose purpose) {
  const Remote remote = prepare_remote(
      "red-connector", parse_json(access_to(path, purpose), "access data"), purpose, {});
  return with_retries(remote.open(), RetryPolicy::for_commands(), timer_);
}

}  // namespace red::testing
