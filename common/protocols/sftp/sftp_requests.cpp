#include "common/protocols/sftp/sftp_requests.h"

#include <algorithm>
#include <utility>

#include "common/protocols/sftp/sftp_error.h"

namespace red {
namespace {

constexpr std::uint32_t kVersion = 3;
// What every server takes (draft-ietf-secsh-filexfer-02 section 3), and the most that pays off:
// OpenSSH's own limit.
constexpr std::uint64_t kPlainPiece = 32 * 1024;
constexpr std::uint64_t kLargestPiece = 255 * 1024;
// Longer answers than any server sends: OpenSSH's longest are 256 KiB.
constexpr std::uint32_t kMaxPacket = 1024 * 1024;
// Answers that may be owed to us. A server that reads ahead keeps all of them in memory.
constexpr std::size_t kMaxInFlight = 1024;
// An OpenSSH channel takes 2 MiB beyond what was acknowledged; other servers may take all we have.
constexpr std::uint64_t kMaxWritesInFlight = 8 * 1024 * 1024;
// Of the window, for what is read ahead: somebody who waits shall not wait for all of it.
constexpr std::uint64_t kBackgroundShare = 75;  // percent
// What a request costs in comparison with bytes.
constexpr std::uint64_t kRequestLoad = 1024;
constexpr std::uint64_t kMaxReadLoad = 64 * 1024 * 1024;
constexpr std::size_t kMaxGreeting = 80;
constexpr std::string_view kLimits = "limits@openssh.com";

void append(std::vector<std::byte>& out, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_u32(std::vector<std::byte>& out, std::uint64_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::byte>((value >> shift) & 0xff));
  }
}

bool opens(SftpPacketType type) {
  return type == SftpPacketType::Open || type == SftpPacketType::Opendir;
}

}  // namespace

/// What was asked for, until it ends.
struct SftpRequests::Operation {
  explicit Operation(std::string what_text) : what(std::move(what_text)) {}
  virtual ~Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  virtual void complete(const Error* error, SftpReply reply) = 0;

  std::string what;
  RequestContext context;
  std::uint64_t handle = 0;
  std::uint64_t load = kRequestLoad;
  bool is_sent = false;  ///< wholly
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
};

struct SftpRequests::PlainOperation final : Operation {
  PlainOperation(SftpRequest asked, Done when_done)
      : Operation(std::move(asked.what)), request(std::move(asked)), done(std::move(when_done)) {
    handle = request.handle;
  }
  void complete(const Error* error, SftpReply reply) override {
    if (done) done(error, reply);
  }

  SftpRequest request;
  Done done;
};

/// One READ on its way.
struct SftpRequests::Chunk {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t received = 0;
  bool is_at_end = false;            ///< the file ends behind what was received
  std::vector<std::byte> held = {};  ///< received, but there is a gap before it
};

struct SftpRequests::ReadOperation final : Operation {
  using Operation::Operation;
  void complete(const Error* error, SftpReply /*reply*/) override { receiver->finish(error); }

  Chunk* chunk_at(std::uint64_t offset) {
    const auto found = std::find_if(chunks.begin(), chunks.end(), [offset](const Chunk& chunk) {
      // A complete one may wait for those before it, and ends where the next begins.
      return chunk.offset + chunk.received == offset && chunk.received < chunk.length;
    });
    return found == chunks.end() ? nullptr : &*found;
  }

  std::shared_ptr<SftpReceiver> receiver;
  std::uint64_t next = 0;  ///< not asked for yet: [next, end)
  std::uint64_t end = 0;
  std::deque<Chunk> chunks;
};

struct SftpRequests::WriteOperation final : Operation {
  using Operation::Operation;
  void complete(const Error* error, SftpReply /*reply*/) override { done(error); }

  SftpBytes bytes;
  std::uint64_t offset = 0;
  std::size_t sent = 0;
  std::size_t unanswered = 0;  ///< packets
  SftpDone done;
};

SftpRequests::SftpRequests(std::string authority, std::function<void(Number)> on_stop,
                           std::function<void(const SftpServer&)> on_introduced)
    : authority_(std::move(authority)),
      on_stop_(std::move(on_stop)),
      on_introduced_(std::move(on_introduced)),
      max_read_(kPlainPiece),
      max_write_(kPlainPiece) {}

SftpRequests::~SftpRequests() = default;

// --- Requests ------------------------------------------------------------------------------------

void SftpRequests::ask(SftpRequest request, const RequestContext& context, Done done) {
  add(std::make_unique<PlainOperation>(std::move(request), std::move(done)), context);
}

void SftpRequests::read(std::uint64_t handle, std::uint64_t offset, std::uint64_t length,
                        std::string what, std::shared_ptr<SftpReceiver> receiver,
                        const RequestContext& context) {
  auto operation = std::make_unique<ReadOperation>(std::move(what));
  operation->handle = handle;
  operation->receiver = std::move(receiver);
  operation->next = offset;
  operation->end = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
  operation->load += std::min(length, kMaxReadLoad);
  add(std::move(operation), context);
}

void SftpRequests::write(std::uint64_t handle, std::uint64_t offset, SftpBytes bytes,
                         std::string what, const RequestContext& context, SftpDone done) {
  auto operation = std::make_unique<WriteOperation>(std::move(what));
  operation->handle = handle;
  operation->offset = offset;
  operation->bytes = std::move(bytes);
  operation->done = std::move(done);
  operation->load += operation->bytes.bytes.size();
  add(std::move(operation), context);
}

void SftpRequests::close(std::uint64_t handle, std::string what, const RequestContext& context,
                         Done done) {
  SftpRequest request;
  request.type = SftpPacketType::Close;
  request.handle = handle;
  request.what = std::move(what);
  ask(std::move(request), context, std::move(done));
}

void SftpRequests::cancel(Number number) {
  if (const Operation* operation = find(number)) {
    const Error error = named(ErrorKind::Cancelled, *operation, "called off");
    finish(number, &error, {});
  }
}

SftpRequests::Number SftpRequests::add(std::unique_ptr<Operation> operation,
                                       const RequestContext& context) {
  const Number number = next_number_++;
  Operation& added = *operations_.emplace(number, std::move(operation)).first->second;
  added.context = context;
  load_ += added.load;
  next_deadline_ = std::min(next_deadline_, context.deadline);
  if (context.stop.stop_possible()) {
    added.on_stop.emplace(context.stop, [this, number] { on_stop_(number); });
  }
  enqueue(number, added);
  // What is called off already is not sent: the server would do it all the same.
  if (context.stop.stop_requested()) cancel(number);
  return number;
}

SftpRequests::Operation* SftpRequests::find(Number number) const {
  const auto found = operations_.find(number);
  return found == operations_.end() ? nullptr : found->second.get();
}

template <typename Kind>
Kind* SftpRequests::find_as(Number number) const {
  return dynamic_cast<Kind*>(find(number));
}

void SftpRequests::enqueue(Number number, Operation& operation) {
  auto* plain = dynamic_cast<PlainOperation*>(&operation);
  if (operation.handle == 0) {
    return (opens(plain->request.type) ? opens_ : urgent_).push_back(number);
  }
  const auto found = handles_.find(operation.handle);
  if (found == handles_.end() || found->second.is_closed) {
    const Error error = named(ErrorKind::Internal, operation, "its handle has been closed");
    operation.is_sent = true;
    operation.handle = 0;
    return finish(number, &error, {});
  }
  Handle& handle = found->second;
  if (plain != nullptr && plain->request.type == SftpPacketType::Close) {
    handle.is_closed = true;
    handle.closing = number;
    return maybe_close(operation.handle);
  }
  ++handle.unsent;
  const bool must_queue = handle.unsent_writes > 0;
  if (dynamic_cast<WriteOperation*>(&operation) != nullptr) {
    ++handle.unsent_writes;
    return ordered_.push_back(number);
  }
  if (plain == nullptr) ++handle.reads;
  if (must_queue) return ordered_.push_back(number);
  if (plain != nullptr) return urgent_.push_back(number);
  (operation.context.priority == Priority::Demand ? demand_reads_ : background_reads_)
      .push_back(number);
}

/// Nothing of it is left to be sent.
void SftpRequests::operation_sent(Operation& operation) {
  if (std::exchange(operation.is_sent, true)) return;
  const auto found = handles_.find(operation.handle);
  if (found == handles_.end()) return;
  auto* plain = dynamic_cast<PlainOperation*>(&operation);
  if (plain != nullptr && plain->request.type == SftpPacketType::Close) return;
  --found->second.unsent;
  if (dynamic_cast<WriteOperation*>(&operation) != nullptr) --found->second.unsent_writes;
  maybe_close(operation.handle);
}

/// The operation is forgotten before anybody is told.
void SftpRequests::finish(Number number, const Error* error, SftpReply reply) {
  auto node = operations_.extract(number);
  if (node.empty()) return;
  const std::unique_ptr<Operation> operation = std::move(node.mapped());
  operation->on_stop.reset();
  load_ -= operation->load;
  const auto found = handles_.find(operation->handle);
  if (found != handles_.end()) {
    const bool is_close = found->second.closing == number;
    const bool was_sent = operation->is_sent;
    operation_sent(*operation);
    if (dynamic_cast<ReadOperation*>(operation.get()) != nullptr) {
      --found->second.reads;
      maybe_close(operation->handle);
    }
    if (is_close && !was_sent) {
      // Whoever wanted it closed waits no longer, but the server shall know all the same.
      found->second.is_closed = false;
      found->second.is_close_queued = false;
      found->second.closing = 0;
      close(operation->handle, operation->what, {}, nullptr);
    }
  }
  operation->complete(error, reply);
}

Error SftpRequests::named(ErrorKind kind, const Operation& operation, std::string_view why) const {
  return error_of_request({kind, std::string(why)}, operation.what);
}

void SftpRequests::maybe_close(std::uint64_t number) {
  const auto found = handles_.find(number);
  if (found == handles_.end()) return;
  Handle& handle = found->second;
  // A read may have to ask for the rest of a short answer. All else may be under way: servers keep
  // the order of requests on one file (draft-ietf-secsh-filexfer-02 section 6.1).
  if (handle.closing == 0 || handle.is_close_queued) return;
  if (handle.unsent > 0 || handle.reads > 0) return;
  handle.is_close_queued = true;
  urgent_.push_back(handle.closing);
}

bool SftpRequests::has_backlog() const noexcept {
  return !demand_reads_.empty() || !background_reads_.empty() || !ordered_.empty();
}

void SftpRequests::end(const Error& error) {
  handles_.clear();
  while (!operations_.empty()) {
    const auto& [number, operation] = *operations_.begin();
    const Error own = error_of_request(error, operation->what);
    finish(number, &own, {});
  }
  in_flight_.clear();
  data_left_ = 0;
}

void SftpRequests::check_deadlines(TimePoint now) {
  std::vector<Number> overdue;
  next_deadline_ = TimePoint::max();
  for (const auto& [number, operation] : operations_) {
    if (operation->context.deadline <= now) {
      overdue.push_back(number);
    } else {
      next_deadline_ = std::min(next_deadline_, operation->context.deadline);
    }
  }
  for (const Number number : overdue) {
    const Operation* operation = find(number);
    if (operation == nullptr) continue;
    const Error error =
        named(ErrorKind::TimedOut, *operation, "no answer from " + authority_ + " in time");
    finish(number, &error, {});
  }
}

// --- Sending -------------------------------------------------------------------------------------

void SftpRequests::start(std::string banner) {
  server_.banner = std::move(banner);
  is_started_ = true;
}

void SftpRequests::gather(std::vector<std::byte>& out, std::size_t room, TimePoint now) {
  if (is_started_ && !std::exchange(is_init_sent_, true)) {
    append_u32(out, 5);
    out.push_back(static_cast<std::byte>(SftpPacketType::Init));
    append_u32(out, kVersion);
  }
  if (!is_introduced_) return;
  while (out.size() < room && gather_next(out, now)) {
  }
}

bool SftpRequests::gather_next(std::vector<std::byte>& out, TimePoint now) {
  if (in_flight_.size() >= kMaxInFlight) return false;
  if (gather_plain(urgent_, out, now)) return true;
  const auto handles = handles_.size() + opening_;
  const bool may_open = server_.limits.max_handles == 0 || handles < server_.limits.max_handles;
  if (may_open && gather_plain(opens_, out, now)) return true;
  if (gather_short_read(out, now)) return true;
  const std::uint64_t limit = window_.limit();
  if (gather_read(demand_reads_, limit, out, now)) return true;
  if (gather_read(background_reads_, limit * kBackgroundShare / 100, out, now)) return true;
  return gather_ordered(out, now);
}

bool SftpRequests::gather_plain(std::deque<Number>& queue, std::vector<std::byte>& out,
                                TimePoint now) {
  while (!queue.empty()) {
    const Number number = queue.front();
    queue.pop_front();
    auto* operation = find_as<PlainOperation>(number);
    if (operation == nullptr) continue;
    send_plain(number, *operation, out, now);
    return true;
  }
  return false;
}

bool SftpRequests::gather_short_read(std::vector<std::byte>& out, TimePoint now) {
  while (!short_reads_.empty()) {
    const auto [number, offset] = short_reads_.front();
    short_reads_.pop_front();
    auto* operation = find_as<ReadOperation>(number);
    const Chunk* chunk = operation == nullptr ? nullptr : operation->chunk_at(offset);
    if (chunk == nullptr) continue;
    send_read(number, *operation, offset, chunk->length - chunk->received, out, now);
    return true;
  }
  return false;
}

bool SftpRequests::gather_read(std::deque<Number>& lane, std::uint64_t limit,
                               std::vector<std::byte>& out, TimePoint now) {
  while (!lane.empty()) {
    const Number number = lane.front();
    auto* operation = find_as<ReadOperation>(number);
    if (operation == nullptr || operation->next >= operation->end) {
      lane.pop_front();
      continue;
    }
    // At least one may always be under way, whatever its size.
    if (read_bytes_in_flight_ > 0 && read_bytes_in_flight_ >= limit) return false;
    const std::uint64_t length = std::min(max_read_, operation->end - operation->next);
    const std::uint64_t offset = std::exchange(operation->next, operation->next + length);
    operation->chunks.push_back({.offset = offset, .length = length});
    send_read(number, *operation, offset, length, out, now);
    if (operation->next == operation->end) {
      lane.pop_front();
      operation_sent(*operation);
    }
    return true;
  }
  return false;
}

bool SftpRequests::gather_ordered(std::vector<std::byte>& out, TimePoint now) {
  while (!ordered_.empty()) {
    const Number number = ordered_.front();
    if (auto* write = find_as<WriteOperation>(number)) {
      if (write_bytes_in_flight_ >= kMaxWritesInFlight) return false;
      send_write(number, *write, out, now);
      if (write->is_sent) ordered_.pop_front();
      return true;
    }
    ordered_.pop_front();
    if (auto* plain = find_as<PlainOperation>(number)) {
      send_plain(number, *plain, out, now);
      return true;
    }
    if (const auto* read = find_as<ReadOperation>(number)) {
      (read->context.priority == Priority::Demand ? demand_reads_ : background_reads_)
          .push_back(number);
      return true;
    }
  }
  return false;
}

void SftpRequests::send_plain(Number number, PlainOperation& operation, std::vector<std::byte>& out,
                              TimePoint now) {
  const SftpRequest& request = operation.request;
  const bool is_extended = request.type == SftpPacketType::Extended;
  if (is_extended && !server_.offers(request.extension)) {
    const Error error =
        named(ErrorKind::Unsupported, operation, "the server does not offer " + request.extension);
    return finish(number, &error, {});
  }
  const std::string body = body_of(request);
  const std::uint32_t id = put_in_flight({.number = number, .type = request.type, .sent = now});
  append_u32(out, 5 + body.size());
  out.push_back(static_cast<std::byte>(request.type));
  append_u32(out, id);
  append(out, body);
  if (opens(request.type)) ++opening_;
  operation_sent(operation);
  if (request.type == SftpPacketType::Close) handles_.erase(request.handle);
}

std::string SftpRequests::body_of(const SftpRequest& request) const {
  std::string body;
  const auto add_handle = [&](std::uint64_t number) {
    if (number == 0) return;
    const auto found = handles_.find(number);
    body +=
        SftpWriter().string(found == handles_.end() ? std::string() : found->second.name).take();
  };
  if (request.type == SftpPacketType::Symlink) {
    // The draft has the new path first. OpenSSH has the target first, and nearly everybody
    // followed; AsyncSSH follows for clients only that call themselves OpenSSH.
    const bool is_by_draft = server_.banner.find("AsyncSSH") != std::string::npos;
    return is_by_draft ? request.tail + request.body : request.body + request.tail;
  }
  if (!request.extension.empty()) body = SftpWriter().string(request.extension).take();
  add_handle(request.handle);
  body += request.body;
  add_handle(request.second_handle);
  return body + request.tail;
}

void SftpRequests::send_read(Number number, ReadOperation& operation, std::uint64_t offset,
                             std::uint64_t length, std::vector<std::byte>& out, TimePoint now) {
  const std::uint32_t id = put_in_flight({.number = number,
                                          .offset = offset,
                                          .bytes = length,
                                          .type = SftpPacketType::Read,
                                          .sent = now});
  read_bytes_in_flight_ += length;
  const std::string& name = handles_.at(operation.handle).name;
  append_u32(out, 1 + 4 + 4 + name.size() + 8 + 4);
  out.push_back(static_cast<std::byte>(SftpPacketType::Read));
  append_u32(out, id);
  append_u32(out, name.size());
  append(out, name);
  append_u32(out, offset >> 32);
  append_u32(out, offset);
  append_u32(out, length);
}

void SftpRequests::send_write(Number number, WriteOperation& operation, std::vector<std::byte>& out,
                              TimePoint now) {
  const auto left = operation.bytes.bytes.subspan(operation.sent);
  const auto piece = left.first(std::min<std::size_t>(left.size(), max_write_));
  const std::uint64_t offset = operation.offset + operation.sent;
  const std::uint32_t id = put_in_flight(
      {.number = number, .bytes = piece.size(), .type = SftpPacketType::Write, .sent = now});
  write_bytes_in_flight_ += piece.size();
  const std::string& name = handles_.at(operation.handle).name;
  append_u32(out, 1 + 4 + 4 + name.size() + 8 + 4 + piece.size());
  out.push_back(static_cast<std::byte>(SftpPacketType::Write));
  append_u32(out, id);
  append_u32(out, name.size());
  append(out, name);
  append_u32(out, offset >> 32);
  append_u32(out, offset);
  append_u32(out, piece.size());
  out.insert(out.end(), piece.begin(), piece.end());
  operation.sent += piece.size();
  ++operation.unanswered;
  if (operation.sent == operation.bytes.bytes.size()) operation_sent(operation);
}

std::uint32_t SftpRequests::put_in_flight(const InFlight& packet) {
  while (in_flight_.contains(next_id_)) ++next_id_;
  const std::uint32_t id = next_id_++;
  in_flight_.emplace(id, packet);
  return id;
}

// --- Receiving -----------------------------------------------------------------------------------

void SftpRequests::receive(std::span<const std::byte> bytes, TimePoint now) {
  if (!is_introduced_ && greeting_.size() < kMaxGreeting) {
    const auto told = bytes.first(std::min(bytes.size(), kMaxGreeting - greeting_.size()));
    greeting_.append(reinterpret_cast<const char*>(told.data()), told.size());
  }
  while (!bytes.empty()) {
    if (parsing_ == Parsing::Header) {
      const std::size_t count = std::min(bytes.size(), header_wanted_ - header_size_);
      std::copy_n(bytes.begin(), count,
                  header_.begin() + static_cast<std::ptrdiff_t>(header_size_));
      header_size_ += count;
      bytes = bytes.subspan(count);
      if (header_size_ == header_wanted_) header_complete(now);
    } else if (parsing_ == Parsing::Body) {
      const std::size_t count = std::min(bytes.size(), body_left_);
      body_.insert(body_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
      body_left_ -= count;
      bytes = bytes.subspan(count);
      if (body_left_ == 0) body_complete(now);
    } else {
      const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), data_left_));
      bytes = bytes.subspan(piece.size());
      data_left_ -= piece.size();
      window_.received(piece.size(), now);
      take_data(piece);
      if (data_left_ == 0) data_complete();
    }
  }
}

void SftpRequests::header_complete(TimePoint now) {
  const std::uint32_t length = sftp_u32_at(header_.data());
  const auto type = static_cast<SftpPacketType>(header_[4]);
  if (!is_introduced_ && type != SftpPacketType::Version) {
    throw Error(ErrorKind::Protocol, authority_ + " does not speak SFTP, but says \"" +
                                         printable(greeting_) +
                                         "\": perhaps its login scripts print something");
  }
  if (length < 5 || length > kMaxPacket) {
    throw broken("a packet of " + std::to_string(length) + " bytes");
  }
  if (type == SftpPacketType::Data) {
    if (header_wanted_ == 5) {
      if (length < 9) throw broken("a packet of data that is too short");
      header_wanted_ = header_.size();
      return;
    }
    header_wanted_ = 5;
    header_size_ = 0;
    const std::uint32_t count = sftp_u32_at(header_.data() + 9);
    if (count != length - 9) throw broken("data of another length than its packet");
    return data_begins(sftp_u32_at(header_.data() + 5), count, now);
  }
  header_size_ = 0;
  body_.clear();
  body_left_ = length - 1;
  parsing_ = Parsing::Body;
}

void SftpRequests::body_complete(TimePoint now) {
  parsing_ = Parsing::Header;
  SftpReader body(body_);
  const auto type = static_cast<SftpPacketType>(header_[4]);
  if (!is_introduced_) return introduced(body);
  const InFlight packet = take_in_flight(body.u32(), now);
  answered(packet, {type, body, 0});
}

void SftpRequests::introduced(SftpReader body) {
  const std::uint32_t version = body.u32();
  if (version != kVersion) {
    throw Error(ErrorKind::Unsupported,
                authority_ + " speaks SFTP version " + std::to_string(version) + ", not 3");
  }
  server_.extensions = parse_sftp_extensions(body);
  is_introduced_ = true;
  greeting_ = {};
  on_introduced_(server_);
  if (!server_.offers(kLimits)) return;
  SftpRequest request;
  request.type = SftpPacketType::Extended;
  request.extension = kLimits;
  request.what = "asking for limits";
  ask(std::move(request), {}, [this](const Error* error, SftpReply reply) {
    if (error == nullptr) limits_known(reply);
  });
  // In front of what has been waiting for the introduction.
  std::rotate(urgent_.rbegin(), urgent_.rbegin() + 1, urgent_.rend());
}

void SftpRequests::limits_known(SftpReply reply) {
  if (reply.type != SftpPacketType::ExtendedReply) return;
  server_.limits = parse_sftp_limits(reply.body);
  const auto piece = [](std::uint64_t limit) {
    return limit == 0 ? kPlainPiece : std::min(limit, kLargestPiece);
  };
  max_read_ = piece(server_.limits.max_read);
  max_write_ = piece(server_.limits.max_write);
  on_introduced_(server_);
}

void SftpRequests::data_begins(std::uint32_t id, std::uint32_t length, TimePoint now) {
  data_of_ = take_in_flight(id, now);
  if (data_of_.type != SftpPacketType::Read || length > data_of_.bytes) {
    throw broken("data that nobody asked for");
  }
  data_offset_ = data_of_.offset;
  data_left_ = length;
  parsing_ = Parsing::Data;
  if (length == 0) data_complete();
}

void SftpRequests::take_data(std::span<const std::byte> bytes) {
  const std::uint64_t offset = std::exchange(data_offset_, data_offset_ + bytes.size());
  auto* operation = find_as<ReadOperation>(data_of_.number);
  Chunk* chunk = operation == nullptr ? nullptr : operation->chunk_at(offset);
  if (chunk == nullptr) return;
  moved_ += bytes.size();
  chunk->received += bytes.size();
  if (chunk == &operation->chunks.front()) {
    deliver(data_of_.number, *operation, offset, bytes);
  } else {
    chunk->held.reserve(chunk->length);
    chunk->held.insert(chunk->held.end(), bytes.begin(), bytes.end());
  }
}

void SftpRequests::data_complete() {
  parsing_ = Parsing::Header;
  auto* operation = find_as<ReadOperation>(data_of_.number);
  if (operation == nullptr) return;
  // A chunk that is complete is found by the chunk behind it, which nobody asks for here.
  const bool is_short = data_offset_ < data_of_.offset + data_of_.bytes;
  if (is_short && data_offset_ > data_of_.offset) {
    short_reads_.emplace_back(data_of_.number, data_offset_);
  } else if (is_short) {
    at_end(*operation, data_offset_);
  }
  advance(data_of_.number);
}

SftpRequests::InFlight SftpRequests::take_in_flight(std::uint32_t id, TimePoint now) {
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) throw broken("an answer to a request that was not made");
  const InFlight packet = found->second;
  in_flight_.erase(found);
  window_.answered(packet.sent, now);
  if (packet.type == SftpPacketType::Read) read_bytes_in_flight_ -= packet.bytes;
  if (packet.type == SftpPacketType::Write) write_bytes_in_flight_ -= packet.bytes;
  if (opens(packet.type)) --opening_;
  return packet;
}

void SftpRequests::answered(const InFlight& packet, SftpReply reply) {
  if (reply.type == SftpPacketType::Handle && opens(packet.type)) return opened(packet, reply);
  if (packet.type == SftpPacketType::Read) {
    if (reply.type != SftpPacketType::Status) throw broken("no data in answer to a read");
    return read_refused(packet, parse_sftp_status(reply.body));
  }
  if (auto* write = find_as<WriteOperation>(packet.number)) {
    return write_answered(packet, *write, reply);
  }
  const auto* operation = find_as<PlainOperation>(packet.number);
  if (operation == nullptr) return;
  if (reply.type == SftpPacketType::Status) {
    const SftpStatus status = parse_sftp_status(reply.body);
    const bool is_end_of_names =
        packet.type == SftpPacketType::Readdir && status.code == SftpStatusCode::Eof;
    if (status.code != SftpStatusCode::Ok && !is_end_of_names) {
      const Error error = error_from_sftp_status(status, operation->what);
      return finish(packet.number, &error, {});
    }
  }
  finish(packet.number, nullptr, reply);
}

/// Nobody may be waiting for it any more: then it is closed again.
void SftpRequests::opened(const InFlight& packet, SftpReply reply) {
  const std::uint64_t number = next_handle_++;
  handles_[number].name = reply.body.text();
  if (find(packet.number) == nullptr) return close(number, "closing a file", {}, nullptr);
  reply.handle = number;
  finish(packet.number, nullptr, reply);
}

void SftpRequests::read_refused(const InFlight& packet, const SftpStatus& status) {
  auto* operation = find_as<ReadOperation>(packet.number);
  if (operation == nullptr) return;
  if (status.code == SftpStatusCode::Eof) {
    at_end(*operation, packet.offset);
    return advance(packet.number);
  }
  if (status.code == SftpStatusCode::Ok) throw broken("\"ok\" in answer to a read");
  const Error error = error_from_sftp_status(status, operation->what);
  finish(packet.number, &error, {});
}

void SftpRequests::write_answered(const InFlight& packet, WriteOperation& operation,
                                  const SftpReply& reply) {
  if (reply.type != SftpPacketType::Status) throw broken("no status in answer to a write");
  const SftpStatus status = parse_sftp_status(reply.body);
  if (status.code != SftpStatusCode::Ok) {
    const Error error = error_from_sftp_status(status, operation.what);
    return finish(packet.number, &error, {});
  }
  moved_ += packet.bytes;
  --operation.unanswered;
  if (operation.is_sent && operation.unanswered == 0) finish(packet.number, nullptr, {});
}

/// The file ends at `offset`, or before.
void SftpRequests::at_end(ReadOperation& operation, std::uint64_t offset) {
  if (Chunk* chunk = operation.chunk_at(offset)) chunk->is_at_end = true;
  operation.end = std::min(operation.end, std::max(offset, operation.next));
}

/// False if the receiver has had enough, which ends the operation.
bool SftpRequests::deliver(Number number, ReadOperation& operation, std::uint64_t offset,
                           std::span<const std::byte> bytes) {
  if (operation.receiver->receive(offset, bytes)) return true;
  const Error error = named(ErrorKind::Cancelled, operation, "no longer wanted");
  finish(number, &error, {});
  return false;
}

/// Hands out what has become deliverable, and ends the read if that was all.
void SftpRequests::advance(Number number) {
  auto* operation = find_as<ReadOperation>(number);
  while (!operation->chunks.empty()) {
    Chunk& chunk = operation->chunks.front();
    if (!chunk.held.empty()) {
      const std::vector<std::byte> held = std::exchange(chunk.held, {});
      if (!deliver(number, *operation, chunk.offset, held)) return;
    }
    if (chunk.received == chunk.length) {
      operation->chunks.pop_front();
    } else if (chunk.is_at_end) {
      return finish(number, nullptr, {});
    } else {
      return;
    }
  }
  if (operation->next >= operation->end) finish(number, nullptr, {});
}

Error SftpRequests::broken(std::string_view what) const {
  return {ErrorKind::Protocol,
          "the SFTP server at " + authority_ + " breaks the protocol: " + std::string(what)};
}

}  // namespace red
