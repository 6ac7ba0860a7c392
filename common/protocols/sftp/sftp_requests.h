#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_window.h"
#include "common/protocols/sftp/sftp_wire.h"
#include "common/request_context.h"

namespace red {

/// An answer other than the data of a read.
struct SftpReply {
  SftpPacketType type = SftpPacketType::Status;
  SftpReader body{{}};       ///< valid until the completion returns
  std::uint64_t handle = 0;  ///< our number for the handle that was opened
};

/// One request that is one packet: its fields in their order in the packet, behind the number.
struct SftpRequest {
  SftpPacketType type = SftpPacketType::Stat;
  std::string extension;     ///< of an Extended one; fails if the server does not offer it
  std::uint64_t handle = 0;  ///< 0: none
  std::string body;
  std::uint64_t second_handle = 0;  ///< of copy-data
  std::string tail;  ///< of copy-data; of Symlink the path, where the body is the target
  std::string what;  ///< for messages: "stat /data/x"
};

/// The client's half of an SFTP session without any I/O or clock: bytes to and from the server in
/// and out, requests in, answers out, matched by number. Of one thread. Completions may make
/// further requests.
class SftpRequests {
 public:
  using Number = std::uint64_t;
  using Done = std::function<void(const Error* error, SftpReply reply)>;

  /// `on_stop` is called, from any thread, when the stop of request `number` is requested;
  /// `on_introduced` whenever the server has told something new of itself. `authority` is for
  /// messages.
  SftpRequests(std::string authority, std::function<void(Number)> on_stop,
               std::function<void(const SftpServer&)> on_introduced);
  ~SftpRequests();
  SftpRequests(const SftpRequests&) = delete;
  SftpRequests& operator=(const SftpRequests&) = delete;

  // Requests. They may come before the server has introduced itself.
  void ask(SftpRequest request, const RequestContext& context, Done done);
  void read(std::uint64_t handle, std::uint64_t offset, std::uint64_t length, std::string what,
            std::shared_ptr<SftpReceiver> receiver, const RequestContext& context);
  void write(std::uint64_t handle, std::uint64_t offset, SftpBytes bytes, std::string what,
             const RequestContext& context, SftpDone done);
  /// When what was asked of the handle before allows it; no `done`: nobody cares.
  void close(std::uint64_t handle, std::string what, const RequestContext& context, Done done);
  void cancel(Number number);

  // The wire.
  /// The SSH connection stands: SFTP begins.
  void start(std::string banner);
  /// Appends what is to be sent, about `room` bytes of it.
  void gather(std::vector<std::byte>& out, std::size_t room, TimePoint now);
  /// Throws Error{Protocol} if the server breaks the protocol, which ends the session.
  void receive(std::span<const std::byte> bytes, TimePoint now);
  /// Fails everything.
  void end(const Error& error);

  // Time.
  /// Ends what is overdue.
  void check_deadlines(TimePoint now);
  TimePoint next_deadline() const noexcept { return next_deadline_; }

  // How it stands.
  bool is_waiting() const noexcept { return !in_flight_.empty(); }
  bool is_idle() const noexcept { return operations_.empty() && in_flight_.empty(); }
  bool has_handles() const noexcept { return !handles_.empty() || opening_ > 0; }
  /// More reading is wanted than may be under way, or writing than the connection takes.
  bool has_backlog() const noexcept;
  /// Bytes and requests that are asked for and not answered, as a measure of work.
  std::uint64_t load() const noexcept { return load_; }
  /// Bytes of reads received and writes acknowledged, ever.
  std::uint64_t moved() const noexcept { return moved_; }

 private:
  struct Operation;
  struct PlainOperation;
  struct ReadOperation;
  struct WriteOperation;
  struct Chunk;

  /// A packet that the server has not answered.
  struct InFlight {
    Number number = 0;         ///< of the operation, which may have ended since
    std::uint64_t offset = 0;  ///< of a read
    std::uint64_t bytes = 0;   ///< of a read or write
    SftpPacketType type = SftpPacketType::Stat;
    TimePoint sent{};
  };
  struct Handle {
    std::string name;        ///< the server's
    std::size_t unsent = 0;  ///< requests on it that are not, or not wholly, sent
    std::size_t unsent_writes = 0;
    std::size_t reads = 0;   ///< that have not ended
    Number closing = 0;      ///< the CLOSE that waits for those
    bool is_closed = false;  ///< nothing more may be asked
    bool is_close_queued = false;
  };
  enum class Parsing { Header, Body, Data };

  // Requests.
  Number add(std::unique_ptr<Operation> operation, const RequestContext& context);
  Operation* find(Number number) const;
  template <typename Kind>
  Kind* find_as(Number number) const;
  void enqueue(Number number, Operation& operation);
  void operation_sent(Operation& operation);
  void finish(Number number, const Error* error, SftpReply reply);
  Error named(ErrorKind kind, const Operation& operation, std::string_view why) const;
  void maybe_close(std::uint64_t handle);

  // Sending.
  /// False when there is nothing to be sent, or may not be for now.
  bool gather_next(std::vector<std::byte>& out, TimePoint now);
  bool gather_plain(std::deque<Number>& queue, std::vector<std::byte>& out, TimePoint now);
  bool gather_short_read(std::vector<std::byte>& out, TimePoint now);
  bool gather_read(std::deque<Number>& lane, std::uint64_t limit, std::vector<std::byte>& out,
                   TimePoint now);
  bool gather_ordered(std::vector<std::byte>& out, TimePoint now);
  void send_plain(Number number, PlainOperation& operation, std::vector<std::byte>& out,
                  TimePoint now);
  std::string body_of(const SftpRequest& request) const;
  void send_read(Number number, ReadOperation& operation, std::uint64_t offset,
                 std::uint64_t length, std::vector<std::byte>& out, TimePoint now);
  void send_write(Number number, WriteOperation& operation, std::vector<std::byte>& out,
                  TimePoint now);
  std::uint32_t put_in_flight(const InFlight& packet);

  // Receiving.
  void header_complete(TimePoint now);
  void body_complete(TimePoint now);
  void introduced(SftpReader body);
  void limits_known(SftpReply reply);
  void data_begins(std::uint32_t id, std::uint32_t length, TimePoint now);
  void take_data(std::span<const std::byte> bytes);
  void data_complete();
  InFlight take_in_flight(std::uint32_t id, TimePoint now);
  void answered(const InFlight& packet, SftpReply reply);
  void opened(const InFlight& packet, SftpReply reply);
  void read_refused(const InFlight& packet, const SftpStatus& status);
  void write_answered(const InFlight& packet, WriteOperation& operation, const SftpReply& reply);
  static void at_end(ReadOperation& operation, std::uint64_t offset);
  bool deliver(Number number, ReadOperation& operation, std::uint64_t offset,
               std::span<const std::byte> bytes);
  void advance(Number number);
  Error broken(std::string_view what) const;

  // set once
  const std::string authority_;
  const std::function<void(Number)> on_stop_;
  const std::function<void(const SftpServer&)> on_introduced_;

  SftpServer server_;
  bool is_started_ = false;     ///< INIT may be sent
  bool is_introduced_ = false;  ///< VERSION has come
  bool is_init_sent_ = false;
  std::string greeting_;  ///< the first bytes, in case they are none of SFTP
  std::uint64_t max_read_;
  std::uint64_t max_write_;
  SftpWindow window_;

  Number next_number_ = 1;
  std::uint32_t next_id_ = 1;
  std::unordered_map<Number, std::unique_ptr<Operation>> operations_;
  std::unordered_map<std::uint32_t, InFlight> in_flight_;
  std::unordered_map<std::uint64_t, Handle> handles_;
  std::uint64_t next_handle_ = 1;
  std::size_t opening_ = 0;  ///< OPEN and OPENDIR under way

  std::deque<Number> urgent_;   ///< one packet each
  std::deque<Number> opens_;    ///< that the number of handles may hold back
  std::deque<Number> ordered_;  ///< writes, and what must not overtake them
  std::deque<Number> demand_reads_;
  std::deque<Number> background_reads_;
  std::deque<std::pair<Number, std::uint64_t>> short_reads_;  ///< offset of the chunk to complete
  std::uint64_t read_bytes_in_flight_ = 0;
  std::uint64_t write_bytes_in_flight_ = 0;
  std::uint64_t load_ = 0;
  std::uint64_t moved_ = 0;
  TimePoint next_deadline_ = TimePoint::max();

  // The packet that is being received.
  Parsing parsing_ = Parsing::Header;
  std::array<std::byte, 13> header_ = {};
  std::size_t header_size_ = 0;
  std::size_t header_wanted_ = 5;
  std::vector<std::byte> body_;
  std::size_t body_left_ = 0;
  std::uint64_t data_left_ = 0;
  InFlight data_of_;
  std::uint64_t data_offset_ = 0;
};

}  // namespace red
