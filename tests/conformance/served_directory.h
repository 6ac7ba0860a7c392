#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/timer.h"
#include "tests/conformance/conformance_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/server_process.h"

namespace red::testing {

/// A real server that serves a local directory. Stores reach it by way of a relay, which can stall.
class ServedDirectory : public ConformanceServer {
 public:
  void put_file(const std::string& path, std::string_view content) override;
  void put_directory(const std::string& path) override;
  void set_modified(const std::string& path, FileTime modified) override;
  void set_mode(const std::string& path, std::uint32_t mode) override;
  void remove(const std::string& path) override;
  std::optional<std::string> content_of(const std::string& path) const override;
  std::vector<std::string> names_in(const std::string& directory) const override;

  std::unique_ptr<RemoteStore> open(const std::string& path, Purpose purpose) override;
  int contacts() const override { return relay_.connections(); }
  void stall() override { relay_.freeze(); }
  void go_on() override { relay_.recover(); }

 protected:
  /// The server must outlive this. What tests put there belongs to `owner`, if we may give it away.
  ServedDirectory(const ServerProcess& server, std::optional<uid_t> owner);

  /// JSON text by which the program gets at `path` through the relay.
  virtual std::string access_to(const std::string& path, Purpose purpose) const = 0;
  const Relay& relay() const { return relay_; }

 private:
  void hand_over(const std::filesystem::path& file) const;

  const std::filesystem::path root_;
  const std::optional<uid_t> owner_;
  Relay relay_;
  Timer timer_;
};

}  // namespace red::testing
