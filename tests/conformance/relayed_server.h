#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/timer.h"
#include "tests/conformance/conformance_server.h"
#include "tests/servers/relay.h"

namespace red::testing {

/// A server with a port of its own. Stores reach it by way of a relay, which can stall.
class RelayedServer : public ConformanceServer {
 public:
  std::unique_ptr<RemoteStore> open(const std::string& path, Purpose purpose) override;
  int contacts() const override { return relay_.connections(); }
  void stall() override { relay_.freeze(); }
  void go_on() override { relay_.recover(); }

 protected:
  explicit RelayedServer(std::uint16_t port) : relay_(port) {}

  /// JSON text by which the program gets at `path` through the relay.
  virtual std::string access_to(const std::string& path, Purpose purpose) const = 0;
  const Relay& relay() const { return relay_; }

 private:
  Relay relay_;
  Timer timer_;
};

}  // namespace red::testing
