#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "tests/support/file_descriptor.h"
#include "tests/support/network.h"

namespace red::testing {

/// A TCP relay on loopback: a link between client and server that can be long, and can fail.
class Relay {
 public:
  /// Forwards to 127.0.0.1:`target`; every byte takes `delay` each way.
  explicit Relay(std::uint16_t target, std::chrono::milliseconds delay = {});
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint16_t port() const { return port_.number(); }
  std::string url(std::string_view path = "/") const;

  /// Resets all connections there are; new ones are welcome.
  void cut();
  /// Resets all connections and refuses new ones.
  void refuse();
  /// Accepts, but forwards nothing any more in either direction, on old and new connections.
  void freeze();
  /// Back to forwarding; what was frozen is forwarded now.
  void recover();

  int connections() const { return connections_; }
  std::uint64_t bytes_to_client() const { return bytes_to_client_; }
  std::uint64_t bytes_to_server() const { return bytes_to_server_; }

 private:
  struct Connection;
  enum class Order { None, Cut, Refuse, Freeze, Recover };

  void give(Order order);
  void relay();
  void obey();
  void accept_one();
  void wait_for_events();

  const std::uint16_t target_;
  const std::chrono::milliseconds delay_;
  ReservedPort port_;
  FileDescriptor wake_;
  std::atomic<int> connections_{0};
  std::atomic<std::uint64_t> bytes_to_client_{0};
  std::atomic<std::uint64_t> bytes_to_server_{0};

  std::mutex mutex_;  ///< guards what follows
  Order order_ = Order::None;
  bool ending_ = false;
  std::condition_variable obeyed_;

  // Only for the relay's thread.
  FileDescriptor listener_;
  std::list<Connection> open_;
  bool frozen_ = false;

  std::thread thread_;
};

}  // namespace red::testing
