#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/conformance/relayed_server.h"
#include "tests/servers/server_process.h"

namespace red::testing {

/// A real server that serves a local directory.
class ServedDirectory : public RelayedServer {
 public:
  void put_file(const std::string& path, std::string_view content) override;
  void put_directory(const std::string& path) override;
  void set_modified(const std::string& path, FileTime modified) override;
  void set_mode(const std::string& path, std::uint32_t mode) override;
  void remove(const std::string& path) override;
  std::optional<std::string> content_of(const std::string& path) const override;
  std::vector<std::string> names_in(const std::string& directory) const override;

 protected:
  /// The server must outlive this. What tests put there belongs to `owner`, if we may give it away.
  ServedDirectory(const ServerProcess& server, std::optional<uid_t> owner);

 private:
  void hand_over(const std::filesystem::path& file) const;

  const std::filesystem::path root_;
  const std::optional<uid_t> owner_;
};

}  // namespace red::testing
