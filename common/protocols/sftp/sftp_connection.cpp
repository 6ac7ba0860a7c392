#include "common/protocols/sftp/sftp_connection.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/logging.h"
#include "common/protocols/sftp/sftp_error.h"

namespace red {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Decrypted bytes that are handed on at once: they should still be in the processor's cache.
constexpr std::size_t kReadBuffer = 256 * 1024;
// Requests that are encoded ahead of what the connection takes.
constexpr std::size_t kGatherAtOnce = 256 * 1024;
// A connection on which requests wait is given up when nothing has moved for so long.
constexpr Duration kStallAfter = seconds(20);
// Below the time after which home routers and firewalls forget a connection.
constexpr Duration kIdleProbeAfter = seconds(30);
constexpr Duration kEndIdleAfter = seconds(60);
constexpr std::uint64_t kRequestLoad = 1024;
constexpr std::uint64_t kMaxReadLoad = 64 * 1024 * 1024;

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

SftpConnection::SftpConnection(std::uint64_t id, const SftpAccess& access, SshLoginNotes& notes,
                               std::shared_ptr<SftpConnectionOwner> owner)
    : id_(id),
      access_(access),
      notes_(notes),
      authority_(authority_of(access.host, access.port)),
      wakeup_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      owner_(std::move(owner)),
      requests_(
          authority_, [this](SftpRequests::Number number) { post_cancel(number); },
          [this](const SftpServer& server) { introduced(server); }) {
  if (wakeup_.number() < 0) throw Error::local_io(errno, "cannot set up a connection");
}

SftpConnection::~SftpConnection() = default;

// --- Any thread ----------------------------------------------------------------------------------

void SftpConnection::launch() {
  thread_ = std::thread([self = shared_from_this()] { self->run(); });
}

void SftpConnection::stop() {
  is_stopping_ = true;
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    thread = std::move(thread_);
  }
  if (!thread.joinable()) return;
  wake();
  if (thread.get_id() == std::this_thread::get_id()) {
    thread.detach();
  } else {
    thread.join();
  }
}

void SftpConnection::ask(SftpRequest request, const RequestContext& context,
                         SftpRequests::Done done) {
  const auto shared_done = std::make_shared<SftpRequests::Done>(std::move(done));
  const std::string what = request.what;
  post({.run =
            [request = std::move(request), context, shared_done](SftpRequests& requests) mutable {
              requests.ask(std::move(request), context, std::move(*shared_done));
            },
        .fail =
            [what, shared_done](const Error& error) {
              const Error own = error_of_request(error, what);
              (*shared_done)(&own, {});
            },
        .load = kRequestLoad});
}

void SftpConnection::open(SftpRequest request, std::string path, const RequestContext& context,
                          SftpReplied<std::shared_ptr<SftpHandle>> done) {
  // The connection lives while its requests do.
  ask(std::move(request), context,
      [this, path = std::move(path), done = std::move(done)](const Error* error, SftpReply reply) {
        if (error != nullptr) return done(error, nullptr);
        if (reply.handle == 0) {
          const Error broken(ErrorKind::Protocol,
                             authority_ + " opens " + path + " without a handle");
          return done(&broken, nullptr);
        }
        done(nullptr,
             std::shared_ptr<SftpHandle>(new SftpHandle(shared_from_this(), path, reply.handle)));
      });
}

void SftpConnection::read(std::uint64_t handle, std::uint64_t offset, std::uint64_t length,
                          std::string what, std::shared_ptr<SftpReceiver> receiver,
                          const RequestContext& context) {
  post({.run =
            [=](SftpRequests& requests) {
              requests.read(handle, offset, length, what, receiver, context);
            },
        .fail =
            [what, receiver](const Error& error) {
              const Error own = error_of_request(error, what);
              receiver->finish(&own);
            },
        .load = std::min(length, kMaxReadLoad)});
}

void SftpConnection::write(std::uint64_t handle, std::uint64_t offset, SftpBytes bytes,
                           std::string what, const RequestContext& context, SftpDone done) {
  const std::uint64_t load = bytes.bytes.size();
  post({.run =
            [=](SftpRequests& requests) {
              requests.write(handle, offset, bytes, what, context, done);
            },
        .fail =
            [what, done](const Error& error) {
              const Error own = error_of_request(error, what);
              done(&own);
            },
        .load = load});
}

void SftpConnection::close(std::uint64_t handle, std::string what, const RequestContext& context,
                           SftpRequests::Done done) {
  post({.run = [=](SftpRequests& requests) { requests.close(handle, what, context, done); },
        .fail =
            [what, done](const Error& error) {
              const Error own = error_of_request(error, what);
              if (done) done(&own, {});
            },
        .load = kRequestLoad});
}

void SftpConnection::post(Mail mail) {
  std::optional<Error> end;
  {
    const std::lock_guard lock(mutex_);
    end = end_;
    if (!end) {
      mailed_load_ += mail.load;
      mail_.push_back(std::move(mail));
    }
  }
  end ? mail.fail(*end) : wake();
}

void SftpConnection::post_cancel(SftpRequests::Number number) {
  {
    const std::lock_guard lock(mutex_);
    called_off_.push_back(number);
  }
  wake();
}

void SftpConnection::wake() {
  // One wake-up for all the mail that lies there when the thread looks.
  if (has_mail_.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wakeup_.number(), &one, sizeof(one));
}

SftpServer SftpConnection::server() const {
  const std::lock_guard lock(mutex_);
  return server_;
}

std::optional<TimePoint> SftpConnection::busy_since() const noexcept {
  const auto since = busy_since_.load();
  if (since == 0) return std::nullopt;
  return TimePoint(TimePoint::duration(since));
}

// --- The connection's thread ---------------------------------------------------------------------

void SftpConnection::run() {
  block_signals();
  const auto owner = owner_;  // it keeps what access_ and notes_ refer to
  try {
    now_ = last_mail_ = last_move_ = steady_clock::now();
    SshConnection ssh(access_, notes_, *this);
    requests_.start(ssh.banner());
    serve(ssh);
  } catch (...) {
    end(current_exception_as_error());
  }
  owner_.reset();
}

void SftpConnection::serve(SshConnection& ssh) {
  received_.resize(kReadBuffer);
  // The server's introduction is waited for as for the login.
  const TimePoint introduction_until = steady_clock::now() + access_.auth_timeout;
  while (true) {
    now_ = steady_clock::now();
    if (!is_ready_ && now_ >= introduction_until) {
      throw Error(ErrorKind::TimedOut, "cannot start SFTP on " + authority_ + ": no answer");
    }
    const bool has_moved = transfer(ssh);
    publish();
    if (has_moved) {
      last_move_ = now_;
      if (has_mail_ || is_stopping_) wait({}, now_);
      continue;
    }
    look_after(ssh);
    if (requests_.is_idle() && now_ - last_mail_ >= kEndIdleAfter && try_to_end()) return;
    pollfd socket = ssh.to_poll();
    wait({&socket, 1}, is_ready_ ? next_look_ : introduction_until);
  }
}

/// True if bytes came or went.
bool SftpConnection::transfer(SshConnection& ssh) {
  const std::size_t count = ssh.read(received_);
  if (count > 0) {
    requests_.receive(std::span(received_).first(count), now_);
  } else if (ssh.is_at_end()) {
    if (is_ready_) throw Error(ErrorKind::Network, authority_ + " ended the SFTP session");
    throw Error(ErrorKind::Unsupported, "cannot start SFTP on " + authority_ +
                                            ": the server's SFTP subsystem does not work");
  }
  const bool has_sent = send(ssh);
  ssh.flush();
  return count > 0 || has_sent;
}

bool SftpConnection::send(SshConnection& ssh) {
  bool has_sent = false;
  while (true) {
    if (unsent_begin_ == unsent_.size()) {
      unsent_.clear();
      unsent_begin_ = 0;
      requests_.gather(unsent_, kGatherAtOnce, now_);
      if (unsent_.empty()) return has_sent;
    }
    const std::size_t taken = ssh.write(std::span(unsent_).subspan(unsent_begin_));
    if (taken == 0) return has_sent;
    unsent_begin_ += taken;
    has_sent = true;
  }
}

void SftpConnection::publish() {
  load_ = requests_.load();
  moved_ = requests_.moved();
  // Reading waits for its window, or writing for the server's.
  const bool is_busy = requests_.has_backlog() || unsent_begin_ < unsent_.size();
  if (!is_busy) {
    busy_since_ = 0;
  } else if (busy_since_ == 0) {
    busy_since_ = now_.time_since_epoch().count();
  }
}

void SftpConnection::look_after(SshConnection& ssh) {
  if (std::exchange(drains_, ssh.drains()) != ssh.drains()) last_move_ = now_;
  const bool waits = requests_.is_waiting() || unsent_begin_ < unsent_.size();
  if (waits && !std::exchange(is_waiting_, waits)) last_move_ = now_;
  is_waiting_ = waits;
  waits ? look_after_waiting() : look_after_idle();
}

void SftpConnection::look_after_waiting() {
  if (now_ - last_move_ >= kStallAfter) {
    throw Error(ErrorKind::TimedOut,
                "connection to " + authority_ + ": no byte for " +
                    std::to_string(std::chrono::duration_cast<seconds>(kStallAfter).count()) +
                    " s");
  }
  next_look_ = last_move_ + kStallAfter;
}

/// Answers to keepalives of the SSH layer stay in libssh2 1.10 for good (a list that every read
/// walks along): what keeps an idle connection open is a request of SFTP.
void SftpConnection::look_after_idle() {
  if (now_ - last_move_ >= kIdleProbeAfter && requests_.is_idle()) {
    last_move_ = now_;
    SftpRequest request;
    request.type = SftpPacketType::Realpath;
    request.body = SftpWriter().string(".").take();
    request.what = "keeping the connection";
    requests_.ask(std::move(request), {}, nullptr);
    next_look_ = now_;
    return;
  }
  next_look_ = last_move_ + kIdleProbeAfter;
}

void SftpConnection::wait(std::span<pollfd> sockets, TimePoint until) {
  std::vector<pollfd> all(sockets.begin(), sockets.end());
  all.push_back({wakeup_.number(), POLLIN, 0});
  until = std::min(until, requests_.next_deadline());
  constexpr milliseconds kLongest{60'000};
  milliseconds timeout = kLongest;
  if (until != TimePoint::max()) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now());
    timeout = std::clamp(left, milliseconds(0), kLongest);
  }
  if (has_mail_) timeout = milliseconds(0);
  if (::poll(all.data(), all.size(), static_cast<int>(timeout.count())) < 0 && errno != EINTR) {
    throw Error::local_io(errno, "cannot wait for " + authority_);
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) sockets[i].revents = all[i].revents;
  if (is_stopping_) throw Error(ErrorKind::Cancelled, "the connection is being closed");
  read_mail();
  now_ = steady_clock::now();
  if (now_ >= requests_.next_deadline()) requests_.check_deadlines(now_);
}

void SftpConnection::read_mail() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto drained = ::read(wakeup_.number(), &count, sizeof(count));
  if (!has_mail_.exchange(false)) return;
  std::vector<Mail> mail;
  std::vector<SftpRequests::Number> called_off;
  {
    const std::lock_guard lock(mutex_);
    mail.swap(mail_);
    called_off.swap(called_off_);
  }
  if (!mail.empty()) last_mail_ = now_;
  for (Mail& each : mail) {
    each.run(requests_);
    mailed_load_ -= each.load;
  }
  for (const auto number : called_off) requests_.cancel(number);
}

void SftpConnection::introduced(const SftpServer& server) {
  {
    const std::lock_guard lock(mutex_);
    server_ = server;
  }
  if (!std::exchange(is_ready_, true)) owner_->connection_ready(id_);
}

/// Mail that was left meanwhile keeps it going, though nobody finds it any more.
bool SftpConnection::try_to_end() {
  if (requests_.has_handles() || !owner_->connection_may_end(id_)) return false;
  const std::lock_guard lock(mutex_);
  if (!mail_.empty()) return false;
  end_ = Error(ErrorKind::Network, "the connection to " + authority_ + " was not used any more");
  has_ended_ = true;
  return true;
}

void SftpConnection::end(const Error& error) {
  log(LogLevel::Debug, error.message());
  owner_->connection_ended(id_, error, is_ready_);
  std::vector<Mail> mail;
  {
    const std::lock_guard lock(mutex_);
    end_ = error;
    has_ended_ = true;
    mail.swap(mail_);
  }
  busy_since_ = 0;
  requests_.end(error);
  for (const Mail& each : mail) each.fail(error);
}

}  // namespace red
