#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace red::testing {

/// Docker, Podman, or the command that CONTAINER_ENGINE names, which takes the same arguments.
class ContainerEngine {
 public:
  /// Finds one and tries it.
  ContainerEngine();

  /// Why no container can be run here; empty if it can.
  const std::string& why_not() const { return why_not_; }

  /// Builds docker/Dockerfile or the like; `options` are further ones of `build`.
  Outcome build(const std::string& image, const std::filesystem::path& dockerfile,
                const std::filesystem::path& context,
                const std::vector<std::string>& options = {}) const;

  /// Runs a command in a new privileged container on this machine's network, which is gone
  /// afterwards; `options` are further ones of `run`.
  Outcome run(const std::string& image, const std::vector<std::string>& options,
              const std::vector<std::string>& command) const;

  /// An image that holds nothing but a static busybox.
  static constexpr const char* kBusybox = "red-test-busybox";

 private:
  void find();
  void try_it();
  Outcome call(const std::vector<std::string>& arguments) const;

  std::string command_;
  std::string why_not_;
  std::vector<std::string> network_{"--network", "host"};
};

}  // namespace red::testing
