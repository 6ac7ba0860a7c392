#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {

/// A server of the system that serves a directory of its own on a free loopback port, from its
/// construction on, and that ends with this object.
class ServerProcess {
 public:
  virtual ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  /// The directory that is served as "/".
  const std::filesystem::path& root() const { return root_; }
  std::uint16_t port() const { return port_.number(); }
  /// scheme://127.0.0.1:port plus `path`, which begins with '/' and is already encoded.
  std::string url(std::string_view path = "/") const;

  /// All that the server has logged so far, for failure messages.
  std::string log() const;

  /// Makes all below root() readable and writable for the server, whoever it runs as.
  void open_root() const;

  /// Stops and starts again on the same port.
  void stop();
  void start();

 protected:
  explicit ServerProcess(std::string scheme = "http");
  /// How to run the server in the foreground; called by start().
  virtual Command command() const = 0;

  /// A place for configuration and state, not served.
  std::filesystem::path work(std::string_view name) const { return directory_ / name; }

 private:
  std::string scheme_;
  TemporaryDirectory directory_;
  std::filesystem::path root_;
  ReservedPort port_;
  std::unique_ptr<Process> process_;
};

/// The user that servers give up root for; empty when not root.
std::optional<uid_t> server_user();

}  // namespace red::testing
