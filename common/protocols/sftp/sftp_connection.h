#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/net/tcp_connection.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_requests.h"
#include "common/protocols/sftp/ssh_connection.h"

namespace red {

/// Who is told how a connection fares; on the connection's thread.
class SftpConnectionOwner {
 public:
  virtual ~SftpConnectionOwner() = default;

  virtual void connection_ready(std::uint64_t id) = 0;
  /// Told before the requests are.
  virtual void connection_ended(std::uint64_t id, const Error& error, bool was_ready) = 0;
  /// A connection has had nothing to do for a while. True: it is no longer handed out, and may end.
  virtual bool connection_may_end(std::uint64_t id) = 0;
};

/// One connection with the thread that logs in and serves it. Other threads leave mail.
class SftpConnection final : public SocketWaiter,
                             public std::enable_shared_from_this<SftpConnection> {
 public:
  /// `access` and `notes` must live as long as the owner.
  SftpConnection(std::uint64_t id, const SftpAccess& access, SshLoginNotes& notes,
                 std::shared_ptr<SftpConnectionOwner> owner);
  ~SftpConnection() override;
  SftpConnection(const SftpConnection&) = delete;
  SftpConnection& operator=(const SftpConnection&) = delete;

  /// Once, before any other thread can know the connection.
  void launch();
  /// Ends everything with Error{Cancelled}, and the thread.
  void stop();

  // Thread-safe. What has ended fails its requests at once.
  void ask(SftpRequest request, const RequestContext& context, SftpRequests::Done done);
  void open(SftpRequest request, std::string path, const RequestContext& context,
            SftpReplied<std::shared_ptr<SftpHandle>> done);
  void read(std::uint64_t handle, std::uint64_t offset, std::uint64_t length, std::string what,
            std::shared_ptr<SftpReceiver> receiver, const RequestContext& context);
  void write(std::uint64_t handle, std::uint64_t offset, SftpBytes bytes, std::string what,
             const RequestContext& context, SftpDone done);
  void close(std::uint64_t handle, std::string what, const RequestContext& context,
             SftpRequests::Done done);

  std::uint64_t id() const noexcept { return id_; }
  bool is_alive() const noexcept { return !has_ended_; }
  SftpServer server() const;
  /// A measure of what it has to do.
  std::uint64_t load() const noexcept { return mailed_load_ + load_; }
  /// Bytes of file content moved so far.
  std::uint64_t moved() const noexcept { return moved_; }
  /// Since when there has been more to do than it could; nothing: it keeps up.
  std::optional<TimePoint> busy_since() const noexcept;

  void wait(std::span<pollfd> sockets, TimePoint until) override;

 private:
  struct Mail {
    std::function<void(SftpRequests&)> run;
    std::function<void(const Error&)> fail;
    std::uint64_t load = 0;
  };

  // Any thread.
  void post(Mail mail);
  void post_cancel(SftpRequests::Number number);
  void wake();

  // The connection's thread.
  void run();
  void serve(SshConnection& ssh);
  bool transfer(SshConnection& ssh);
  bool send(SshConnection& ssh);
  void look_after(SshConnection& ssh);
  void look_after_waiting();
  void look_after_idle();
  void read_mail();
  void publish();
  bool try_to_end();
  void end(const Error& error);
  void introduced(const SftpServer& server);

  // set once
  const std::uint64_t id_;
  const SftpAccess& access_;
  SshLoginNotes& notes_;
  const std::string authority_;
  const OwnedDescriptor wakeup_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::vector<Mail> mail_;
  std::vector<SftpRequests::Number> called_off_;
  SftpServer server_;
  std::optional<Error> end_;  ///< why it has ended
  std::thread thread_;

  std::atomic<bool> has_mail_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<bool> has_ended_ = false;
  std::atomic<std::uint64_t> mailed_load_ = 0;
  std::atomic<std::uint64_t> load_ = 0;
  std::atomic<std::uint64_t> moved_ = 0;
  std::atomic<TimePoint::rep> busy_since_ = 0;  ///< 0: is not

  // of the connection's thread
  std::shared_ptr<SftpConnectionOwner> owner_;
  SftpRequests requests_;
  bool is_ready_ = false;
  std::vector<std::byte> received_;
  std::vector<std::byte> unsent_;
  std::size_t unsent_begin_ = 0;
  TimePoint now_{};
  TimePoint last_mail_{};
  TimePoint next_look_ = TimePoint::max();
  bool is_waiting_ = false;
  TimePoint last_move_{};  ///< of bytes, in either direction
  std::uint64_t drains_ = 0;
};

}  // namespace red
