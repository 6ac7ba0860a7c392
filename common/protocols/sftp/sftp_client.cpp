#include "common/protocols/sftp/sftp_client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/protocols/sftp/sftp_connection.h"
#include "common/protocols/sftp/sftp_error.h"
#include "common/protocols/sftp/sftp_pool.h"

namespace red {
namespace {

// READDIRs under way for one directory: OpenSSH answers each with a hundred names, and the first
// two bring a small directory and its end in one round trip.
constexpr std::size_t kFirstReaddirs = 2;
constexpr std::size_t kMaxReaddirs = 128;
// No directory has more; a server that never comes to an end does.
constexpr std::size_t kMaxNames = 20'000'000;

SftpRequest request_for(SftpPacketType type, std::string body, std::string what) {
  SftpRequest request;
  request.type = type;
  request.body = std::move(body);
  request.what = std::move(what);
  return request;
}

SftpRequest request_for_path(SftpPacketType type, const std::string& path, std::string_view verb) {
  return request_for(type, SftpWriter().string(path).take(), std::string(verb) + " " + path);
}

SftpRequest extended(std::string_view name, std::string body, std::string what) {
  SftpRequest request = request_for(SftpPacketType::Extended, std::move(body), std::move(what));
  request.extension = name;
  return request;
}

SftpRequests::Done status_only(SftpDone done) {
  return [done = std::move(done)](const Error* error, SftpReply) { done(error); };
}

/// Hands on what `parse` makes of an answer of the right type.
template <typename Reply, typename Parse>
SftpRequests::Done parsed(SftpPacketType type, std::string what, Parse parse,
                          SftpReplied<Reply> done) {
  return [type, what = std::move(what), parse, done = std::move(done)](const Error* error,
                                                                       SftpReply reply) {
    if (error != nullptr) return done(error, Reply());
    Reply result;
    try {
      if (reply.type != type) {
        throw Error(ErrorKind::Protocol, "the SFTP server answers something else");
      }
      result = parse(reply.body);
    } catch (const Error& broken) {
      const Error own = error_of_request(broken, what);
      return done(&own, Reply());
    }
    done(nullptr, std::move(result));
  };
}

SftpAttributes parse_attributes(SftpReader body) { return body.attributes(); }

std::string parse_one_name(SftpReader body) {
  auto names = parse_sftp_names(body);
  if (names.size() != 1) throw Error(ErrorKind::Protocol, "not one name, as there must be");
  return std::move(names.front().name);
}

std::vector<SftpName> parse_directory(SftpReader body) {
  auto names = parse_sftp_names(body);
  std::erase_if(names, [](const SftpName& each) { return each.name == "." || each.name == ".."; });
  return names;
}

/// The end of a request, for whoever waits for it.
template <typename Reply>
class Waiting {
 public:
  void end(const Error* error, Reply reply) {
    const std::lock_guard lock(mutex_);
    if (error != nullptr) {
      error_ = *error;
    } else {
      reply_ = std::move(reply);
    }
    has_ended_ = true;
    changed_.notify_all();
  }

  /// Every request ends by itself.
  Reply wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return has_ended_; });
    if (error_) throw *error_;
    return std::move(reply_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_ended_ = false;
  std::optional<Error> error_;
  Reply reply_{};
};

template <typename Reply, typename Start>
Reply wait_for(Start start) {
  // Shared: the other thread may still be on its way out of end() when wait() returns.
  const auto waiting = std::make_shared<Waiting<Reply>>();
  start([waiting](const Error* error, Reply reply) { waiting->end(error, std::move(reply)); });
  return waiting->wait();
}

template <typename Start>
void wait_for_end(Start start) {
  wait_for<bool>([&start](SftpReplied<bool> done) {
    start([done = std::move(done)](const Error* error) { done(error, true); });
  });
}

std::optional<SftpAttributes> if_present(const std::function<SftpAttributes()>& ask) {
  try {
    return ask();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return std::nullopt;
    throw;
  }
}

/// Reads one directory to its end.
class DirectoryReading : public std::enable_shared_from_this<DirectoryReading> {
 public:
  DirectoryReading(const RequestContext& context, SftpReplied<std::vector<SftpName>> done)
      : context_(context), done_(std::move(done)) {}

  void start(std::shared_ptr<SftpHandle> handle) {
    handle_ = std::move(handle);
    ask();
  }

  void end(const Error* error) {
    if (!done_) return;
    const auto done = std::exchange(done_, nullptr);
    handle_.reset();
    error != nullptr ? done(error, {}) : done(nullptr, std::move(names_));
  }

 private:
  void ask() {
    while (under_way_ < wanted_) {
      ++under_way_;
      handle_->read_directory(
          context_, [self = shared_from_this()](const Error* error, std::vector<SftpName> names) {
            self->answered(error, std::move(names));
          });
    }
  }

  void answered(const Error* error, std::vector<SftpName> names) {
    --under_way_;
    if (!done_) return;
    if (error != nullptr) return end(error);
    // Answers to several requests may come in any order: the end is when all have been answered.
    if (names.empty()) is_at_end_ = true;
    names_.insert(names_.end(), std::make_move_iterator(names.begin()),
                  std::make_move_iterator(names.end()));
    if (names_.size() > kMaxNames) {
      const Error endless(ErrorKind::Protocol, handle_->path() + ": the listing has no end");
      return end(&endless);
    }
    if (is_at_end_) {
      if (under_way_ == 0) end(nullptr);
      return;
    }
    wanted_ = std::min(wanted_ * 2, kMaxReaddirs);
    ask();
  }

  const RequestContext context_;
  SftpReplied<std::vector<SftpName>> done_;
  std::shared_ptr<SftpHandle> handle_;
  std::vector<SftpName> names_;
  std::size_t wanted_ = kFirstReaddirs;
  std::size_t under_way_ = 0;
  bool is_at_end_ = false;
};

}  // namespace

bool SftpServer::offers(std::string_view extension) const {
  return std::any_of(extensions.begin(), extensions.end(),
                     [extension](const SftpExtension& each) { return each.name == extension; });
}

// --- SftpHandle ----------------------------------------------------------------------------------

SftpHandle::SftpHandle(std::shared_ptr<SftpConnection> connection, std::string path,
                       std::uint64_t id)
    : connection_(std::move(connection)), path_(std::move(path)), id_(id) {}

SftpHandle::~SftpHandle() {
  if (!is_closed_) connection_->close(id_, "close " + path_, {}, nullptr);
}

void SftpHandle::read(std::uint64_t offset, std::uint64_t length,
                      std::shared_ptr<SftpReceiver> receiver, const RequestContext& context) {
  connection_->read(id_, offset, length, "read " + path_, std::move(receiver), context);
}

void SftpHandle::write(std::uint64_t offset, SftpBytes bytes, const RequestContext& context,
                       SftpDone done) {
  connection_->write(id_, offset, std::move(bytes), "write " + path_, context, std::move(done));
}

void SftpHandle::stat(const RequestContext& context, SftpReplied<SftpAttributes> done) {
  SftpRequest request = request_for(SftpPacketType::Fstat, {}, "stat " + path_);
  request.handle = id_;
  connection_->ask(
      std::move(request), context,
      parsed(SftpPacketType::Attrs, "stat " + path_, parse_attributes, std::move(done)));
}

void SftpHandle::set_attributes(const SftpAttributes& attributes, const RequestContext& context,
                                SftpDone done) {
  SftpRequest request =
      request_for(SftpPacketType::Fsetstat, SftpWriter().attributes(attributes).take(),
                  "set attributes of " + path_);
  request.handle = id_;
  connection_->ask(std::move(request), context, status_only(std::move(done)));
}

void SftpHandle::sync(const RequestContext& context, SftpDone done) {
  SftpRequest request = extended("fsync@openssh.com", {}, "fsync " + path_);
  request.handle = id_;
  connection_->ask(std::move(request), context, status_only(std::move(done)));
}

void SftpHandle::copy_to(const SftpHandle& target, std::uint64_t offset, std::uint64_t length,
                         std::uint64_t target_offset, const RequestContext& context,
                         SftpDone done) {
  SftpRequest request = extended("copy-data", SftpWriter().u64(offset).u64(length).take(),
                                 "copy " + path_ + " to " + target.path_);
  request.handle = id_;
  request.second_handle = target.id_;
  request.tail = SftpWriter().u64(target_offset).take();
  connection_->ask(std::move(request), context, status_only(std::move(done)));
}

void SftpHandle::copy_to(const SftpHandle& target, std::uint64_t offset, std::uint64_t length,
                         std::uint64_t target_offset, const RequestContext& context) {
  wait_for_end(
      [&](auto done) { copy_to(target, offset, length, target_offset, context, std::move(done)); });
}

void SftpHandle::read_directory(const RequestContext& context,
                                SftpReplied<std::vector<SftpName>> done) {
  const std::string what = "list " + path_;
  SftpRequest request = request_for(SftpPacketType::Readdir, {}, what);
  request.handle = id_;
  auto names = parsed<std::vector<SftpName>>(SftpPacketType::Name, what, parse_directory, done);
  connection_->ask(std::move(request), context,
                   [names = std::move(names), done](const Error* error, SftpReply reply) {
                     // The only status that is no error is the end.
                     const bool is_end = error == nullptr && reply.type == SftpPacketType::Status;
                     is_end ? done(nullptr, {}) : names(error, reply);
                   });
}

void SftpHandle::close(const RequestContext& context, SftpDone done) {
  is_closed_ = true;
  connection_->close(id_, "close " + path_, context, status_only(std::move(done)));
}

SftpAttributes SftpHandle::stat(const RequestContext& context) {
  return wait_for<SftpAttributes>([&](auto done) { stat(context, std::move(done)); });
}

void SftpHandle::set_attributes(const SftpAttributes& attributes, const RequestContext& context) {
  wait_for_end([&](auto done) { set_attributes(attributes, context, std::move(done)); });
}

void SftpHandle::sync(const RequestContext& context) {
  wait_for_end([&](auto done) { sync(context, std::move(done)); });
}

void SftpHandle::write(std::uint64_t offset, SftpBytes bytes, const RequestContext& context) {
  wait_for_end([&](auto done) { write(offset, std::move(bytes), context, std::move(done)); });
}

void SftpHandle::close(const RequestContext& context) {
  wait_for_end([&](auto done) { close(context, std::move(done)); });
}

SftpPlace SftpHandle::place() const noexcept { return {connection_->id()}; }

bool SftpHandle::is_alive() const noexcept { return connection_->is_alive(); }

// --- SftpClient ----------------------------------------------------------------------------------

SftpClient::SftpClient(SftpAccess access) : pool_(std::make_shared<SftpPool>(std::move(access))) {}

SftpClient::~SftpClient() { stop(); }

void SftpClient::stop() { pool_->stop(); }

SftpServer SftpClient::connect(const RequestContext& context) {
  std::shared_ptr<SftpConnection> connection = pool_->connection({});
  // Behind the server's introduction.
  wait_for_end([&](SftpDone done) {
    // Without words of its own: what fails is the login.
    connection->ask(
        request_for(SftpPacketType::Realpath, SftpWriter().string(".").take(), std::string()),
        context, status_only(std::move(done)));
  });
  return connection->server();
}

SftpPlace SftpClient::best_place() { return pool_->best_place(); }

std::size_t SftpClient::connection_count() const { return pool_->size(); }

void SftpClient::ask(SftpRequest request, const RequestContext& context,
                     std::function<void(const Error*, SftpReply)> done) {
  std::shared_ptr<SftpConnection> connection;
  try {
    connection = pool_->connection({});
  } catch (const Error& error) {
    const Error own = error_of_request(error, request.what);
    return done(&own, {});
  }
  connection->ask(std::move(request), context, std::move(done));
}

void SftpClient::open_by(SftpRequest request, const std::string& path, SftpPlace place,
                         const RequestContext& context,
                         SftpReplied<std::shared_ptr<SftpHandle>> done) {
  std::shared_ptr<SftpConnection> connection;
  try {
    connection = pool_->connection(place);
  } catch (const Error& error) {
    const Error own = error_of_request(error, request.what);
    return done(&own, nullptr);
  }
  connection->open(std::move(request), path, context, std::move(done));
}

void SftpClient::open(const std::string& path, std::uint32_t flags,
                      const SftpAttributes& attributes, SftpPlace place,
                      const RequestContext& context,
                      SftpReplied<std::shared_ptr<SftpHandle>> done) {
  open_by(request_for(SftpPacketType::Open,
                      SftpWriter().string(path).u32(flags).attributes(attributes).take(),
                      "open " + path),
          path, place, context, std::move(done));
}

void SftpClient::open_directory(const std::string& path, const RequestContext& context,
                                SftpReplied<std::shared_ptr<SftpHandle>> done) {
  open_by(request_for_path(SftpPacketType::Opendir, path, "list"), path, {}, context,
          std::move(done));
}

void SftpClient::list(const std::string& path, const RequestContext& context,
                      SftpReplied<std::vector<SftpName>> done) {
  const auto listing = std::make_shared<DirectoryReading>(context, std::move(done));
  open_directory(path, context, [listing](const Error* error, std::shared_ptr<SftpHandle> handle) {
    error != nullptr ? listing->end(error) : listing->start(std::move(handle));
  });
}

void SftpClient::stat(const std::string& path, const RequestContext& context,
                      SftpReplied<SftpAttributes> done) {
  ask(request_for_path(SftpPacketType::Stat, path, "stat"), context,
      parsed(SftpPacketType::Attrs, "stat " + path, parse_attributes, std::move(done)));
}

void SftpClient::lstat(const std::string& path, const RequestContext& context,
                       SftpReplied<SftpAttributes> done) {
  ask(request_for_path(SftpPacketType::Lstat, path, "stat"), context,
      parsed(SftpPacketType::Attrs, "stat " + path, parse_attributes, std::move(done)));
}

void SftpClient::real_path(const std::string& path, const RequestContext& context,
                           SftpReplied<std::string> done) {
  ask(request_for_path(SftpPacketType::Realpath, path, "resolve"), context,
      parsed(SftpPacketType::Name, "resolve " + path, parse_one_name, std::move(done)));
}

void SftpClient::read_link(const std::string& path, const RequestContext& context,
                           SftpReplied<std::string> done) {
  ask(request_for_path(SftpPacketType::Readlink, path, "read link"), context,
      parsed(SftpPacketType::Name, "read link " + path, parse_one_name, std::move(done)));
}

void SftpClient::set_attributes(const std::string& path, const SftpAttributes& attributes,
                                const RequestContext& context, SftpDone done) {
  ask(request_for(SftpPacketType::Setstat, SftpWriter().string(path).attributes(attributes).take(),
                  "set attributes of " + path),
      context, status_only(std::move(done)));
}

void SftpClient::remove(const std::string& path, const RequestContext& context, SftpDone done) {
  ask(request_for_path(SftpPacketType::Remove, path, "remove"), context,
      status_only(std::move(done)));
}

void SftpClient::make_directory(const std::string& path, const SftpAttributes& attributes,
                                const RequestContext& context, SftpDone done) {
  ask(request_for(SftpPacketType::Mkdir, SftpWriter().string(path).attributes(attributes).take(),
                  "make directory " + path),
      context, status_only(std::move(done)));
}

void SftpClient::remove_directory(const std::string& path, const RequestContext& context,
                                  SftpDone done) {
  ask(request_for_path(SftpPacketType::Rmdir, path, "remove directory"), context,
      status_only(std::move(done)));
}

void SftpClient::rename(const std::string& from, const std::string& to,
                        const RequestContext& context, SftpDone done) {
  ask(request_for(SftpPacketType::Rename, SftpWriter().string(from).string(to).take(),
                  "rename " + from + " to " + to),
      context, status_only(std::move(done)));
}

void SftpClient::replace(const std::string& from, const std::string& to,
                         const RequestContext& context, SftpDone done) {
  ask(extended("posix-rename@openssh.com", SftpWriter().string(from).string(to).take(),
               "rename " + from + " to " + to),
      context, status_only(std::move(done)));
}

void SftpClient::make_symlink(const std::string& path, const std::string& target,
                              const RequestContext& context, SftpDone done) {
  SftpRequest request = request_for(SftpPacketType::Symlink, SftpWriter().string(target).take(),
                                    "make symbolic link " + path);
  request.tail = SftpWriter().string(path).take();
  ask(std::move(request), context, status_only(std::move(done)));
}

void SftpClient::make_hard_link(const std::string& existing, const std::string& path,
                                const RequestContext& context, SftpDone done) {
  ask(extended("hardlink@openssh.com", SftpWriter().string(existing).string(path).take(),
               "link " + path + " to " + existing),
      context, status_only(std::move(done)));
}

void SftpClient::file_system(const std::string& path, const RequestContext& context,
                             SftpReplied<SftpFileSystem> done) {
  const std::string what = "statvfs " + path;
  ask(extended("statvfs@openssh.com", SftpWriter().string(path).take(), what), context,
      parsed(SftpPacketType::ExtendedReply, what, parse_sftp_file_system, std::move(done)));
}

// --- The same, waiting ---------------------------------------------------------------------------

std::shared_ptr<SftpHandle> SftpClient::open(const std::string& path, std::uint32_t flags,
                                             const SftpAttributes& attributes, SftpPlace place,
                                             const RequestContext& context) {
  return wait_for<std::shared_ptr<SftpHandle>>(
      [&](auto done) { open(path, flags, attributes, place, context, std::move(done)); });
}

std::vector<SftpName> SftpClient::list(const std::string& path, const RequestContext& context) {
  return wait_for<std::vector<SftpName>>([&](auto done) { list(path, context, std::move(done)); });
}

std::optional<SftpAttributes> SftpClient::stat(const std::string& path,
                                               const RequestContext& context) {
  return if_present([&] {
    return wait_for<SftpAttributes>([&](auto done) { stat(path, context, std::move(done)); });
  });
}

std::optional<SftpAttributes> SftpClient::lstat(const std::string& path,
                                                const RequestContext& context) {
  return if_present([&] {
    return wait_for<SftpAttributes>([&](auto done) { lstat(path, context, std::move(done)); });
  });
}

std::string SftpClient::real_path(const std::string& path, const RequestContext& context) {
  return wait_for<std::string>([&](auto done) { real_path(path, context, std::move(done)); });
}

std::string SftpClient::read_link(const std::string& path, const RequestContext& context) {
  return wait_for<std::string>([&](auto done) { read_link(path, context, std::move(done)); });
}

void SftpClient::set_attributes(const std::string& path, const SftpAttributes& attributes,
                                const RequestContext& context) {
  wait_for_end([&](auto done) { set_attributes(path, attributes, context, std::move(done)); });
}

void SftpClient::remove(const std::string& path, const RequestContext& context) {
  wait_for_end([&](auto done) { remove(path, context, std::move(done)); });
}

void SftpClient::make_directory(const std::string& path, const SftpAttributes& attributes,
                                const RequestContext& context) {
  wait_for_end([&](auto done) { make_directory(path, attributes, context, std::move(done)); });
}

void SftpClient::remove_directory(const std::string& path, const RequestContext& context) {
  wait_for_end([&](auto done) { remove_directory(path, context, std::move(done)); });
}

void SftpClient::rename(const std::string& from, const std::string& to,
                        const RequestContext& context) {
  wait_for_end([&](auto done) { rename(from, to, context, std::move(done)); });
}

void SftpClient::replace(const std::string& from, const std::string& to,
                         const RequestContext& context) {
  wait_for_end([&](auto done) { replace(from, to, context, std::move(done)); });
}

void SftpClient::make_symlink(const std::string& path, const std::string& target,
                              const RequestContext& context) {
  wait_for_end([&](auto done) { make_symlink(path, target, context, std::move(done)); });
}

void SftpClient::make_hard_link(const std::string& existing, const std::string& path,
                                const RequestContext& context) {
  wait_for_end([&](auto done) { make_hard_link(existing, path, context, std::move(done)); });
}

SftpFileSystem SftpClient::file_system(const std::string& path, const RequestContext& context) {
  return wait_for<SftpFileSystem>([&](auto done) { file_system(path, context, std::move(done)); });
}

}  // namespace red
