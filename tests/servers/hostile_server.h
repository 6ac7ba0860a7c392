#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/file_descriptor.h"

namespace red::testing {

/// Header fields in order, as received or to be sent.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// One request as it arrived.
struct Request {
  std::string method;
  std::string target;  ///< as sent: encoded, with the query
  Fields fields;
  std::string body;
  int connection = 0;  ///< numbers connections from 1
  bool body_complete = true;

  /// The first field of that name (any case), or nothing.
  std::optional<std::string> find(std::string_view name) const;
};

/// The server's end of a connection, while one request is answered. All calls throw ConnectionGone
/// when the client or the server has ended.
class Reply {
 public:
  struct ConnectionGone {};

  /// Status line and fields. The reason phrase is of no account.
  void head(int status, const Fields& fields = {});
  /// Bytes as they are, body or not.
  void send(std::string_view bytes);
  /// One chunk of a chunked body; an empty one ends the body.
  void chunk(std::string_view bytes);
  /// Head with Content-Length, and the body unless the request was HEAD.
  void answer(int status, std::string_view body, Fields fields = {});
  /// Does nothing until the server's release().
  void stall();
  /// Ends the connection after what was sent.
  [[noreturn]] void close();
  /// Ends it with a TCP reset.
  [[noreturn]] void reset();

 private:
  friend class HostileServer;
  Reply(class HostileServer& server, int socket, bool head_only)
      : server_(server), socket_(socket), head_only_(head_only) {}

  class HostileServer& server_;
  int socket_;
  bool head_only_;
};

/// How a path answers. May be called by several connections at once.
using Script = std::function<void(const Request&, Reply&)>;

/// An HTTP/1.1 server on loopback that does what it is told per path, right or wrong, and remembers
/// what it was asked. A thread for each connection. The scripts are in scripts.h.
class HostileServer {
 public:
  HostileServer();
  ~HostileServer();
  HostileServer(const HostileServer&) = delete;
  HostileServer& operator=(const HostileServer&) = delete;

  /// Answers `path` (encoded, without query), in place of an earlier script.
  void on(const std::string& path, Script script);
  /// Answers all other paths; 404 if never called.
  void otherwise(Script script);

  std::uint16_t port() const { return port_; }
  std::string url(std::string_view path = "/") const;

  /// Lets every stalled reply go on, now and later; hold() makes later ones stall again.
  void release();
  void hold();
  /// Waits until at least `count` replies are stalled; false after `limit`.
  bool wait_for_stalled(int count, std::chrono::milliseconds limit = std::chrono::seconds(10));

  /// What was asked so far: heads are recorded before the script runs, bodies whole.
  std::vector<Request> requests() const;
  /// Those for one path (without query), of one method or ("") any.
  std::vector<Request> requests_for(std::string_view path, std::string_view method = "") const;
  int connections() const { return connections_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  void forget_requests();

 private:
  friend class Reply;
  struct Connection {
    FileDescriptor socket;
    std::thread thread;
    std::atomic<bool> ended{false};
  };

  void accept_connections();
  void serve(int socket, int number);
  bool serve_one(int socket, int number, std::string& buffer);
  void join_ended();
  Script script_for(std::string_view target) const;
  void stall(int socket);

  FileDescriptor listener_;
  FileDescriptor released_;  ///< an eventfd, readable while stalled replies may go on
  FileDescriptor stopping_;  ///< an eventfd, readable once the server ends
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<std::uint64_t> bytes_sent_{0};

  mutable std::mutex mutex_;  ///< guards what follows
  std::map<std::string, Script> scripts_;
  Script otherwise_;
  std::vector<Request> requests_;
  std::list<Connection> open_;
  int stalled_ = 0;
  std::condition_variable stalled_changed_;

  std::thread acceptor_;
};

}  // namespace red::testing
