#include "common/protocols/sftp/sftp_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/protocols/sftp/sftp_wire.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A packet of the client, as a server sees it.
struct Seen {
  SftpPacketType type{};
  std::uint32_t id = 0;
  std::string body;

  SftpReader reader() const { return SftpReader(std::as_bytes(std::span(body))); }
};

std::string packet(SftpPacketType type, std::string_view body) {
  return SftpWriter()
             .u32(static_cast<std::uint32_t>(body.size() + 1))
             .u8(static_cast<std::uint8_t>(type))
             .take() +
         std::string(body);
}

/// What a receiver got.
struct Received final : SftpReceiver {
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    EXPECT_EQ(offset, begin + text.size());
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.size() < enough;
  }
  void finish(const Error* end) noexcept override {
    ++ends;
    if (end != nullptr) error = *end;
  }

  std::uint64_t begin = 0;
  std::size_t enough = SIZE_MAX;
  std::string text;
  std::optional<Error> error;
  int ends = 0;
};

class SftpRequestsTest : public ::testing::Test {
 protected:
  /// What the client sends now.
  std::vector<Seen> sent() {
    std::vector<std::byte> bytes;
    requests_.gather(bytes, 1 << 20, now_);
    std::vector<Seen> packets;
    SftpReader reader(bytes);
    while (!reader.at_end()) {
      const auto whole = reader.string();
      SftpReader inner(whole);
      Seen seen;
      seen.type = static_cast<SftpPacketType>(inner.u8());
      seen.id = inner.u32();
      seen.body.assign(reinterpret_cast<const char*>(whole.data()) + 5, whole.size() - 5);
      packets.push_back(std::move(seen));
    }
    return packets;
  }

  void answer(SftpPacketType type, std::string_view body) { say(packet(type, body)); }
  void say(std::string_view bytes, std::size_t piece = SIZE_MAX) {
    while (!bytes.empty()) {
      const auto now = bytes.substr(0, piece);
      requests_.receive(std::as_bytes(std::span(now)), now_);
      bytes.remove_prefix(now.size());
    }
  }
  void status(std::uint32_t id, SftpStatusCode code) {
    answer(SftpPacketType::Status,
           SftpWriter().u32(id).u32(static_cast<std::uint32_t>(code)).string("").string("").take());
  }
  void data(std::uint32_t id, std::string_view text) {
    answer(SftpPacketType::Data, SftpWriter().u32(id).string(text).take());
  }

  void introduce(std::string extensions = {}) {
    requests_.start("SSH-2.0-Test");
    const auto first = sent();
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].type, SftpPacketType::Init);
    answer(SftpPacketType::Version, SftpWriter().u32(3).take() + extensions);
  }

  std::uint64_t open(std::string_view name = "h") {
    std::uint64_t handle = 0;
    SftpRequest request;
    request.type = SftpPacketType::Open;
    request.what = "open";
    requests_.ask(std::move(request), {},
                  [&handle](const Error*, SftpReply reply) { handle = reply.handle; });
    const auto packets = sent();
    EXPECT_EQ(packets.size(), 1u);
    answer(SftpPacketType::Handle, SftpWriter().u32(packets.at(0).id).string(name).take());
    EXPECT_NE(handle, 0u);
    return handle;
  }

  std::shared_ptr<Received> read(std::uint64_t handle, std::uint64_t offset, std::uint64_t length,
                                 const RequestContext& context = {}) {
    auto received = std::make_shared<Received>();
    received->begin = offset;
    requests_.read(handle, offset, length, "read", received, context);
    return received;
  }

  void write(std::uint64_t handle, const std::string& bytes) {
    const auto owner = std::make_shared<std::string>(bytes);
    requests_.write(
        handle, 0, {std::as_bytes(std::span(*owner)), owner}, "write", {},
        [this](const Error* error) { ends_.emplace_back(error ? error->what() : "ok"); });
  }

  SftpRequest stat_of(std::uint64_t handle) {
    SftpRequest request;
    request.type = SftpPacketType::Fstat;
    request.handle = handle;
    request.what = "stat";
    return request;
  }

  SftpRequests::Done note(std::string name) {
    return [this, name](const Error* error, SftpReply) {
      ends_.push_back(name + ": " + (error ? error->what() : "ok"));
    };
  }

  TimePoint now_{1h};
  std::vector<std::string> ends_;
  std::vector<SftpRequests::Number> stopped_;
  SftpServer server_;
  SftpRequests requests_{"host:22",
                         [this](SftpRequests::Number number) { stopped_.push_back(number); },
                         [this](const SftpServer& server) { server_ = server; }};
};

TEST_F(SftpRequestsTest, NothingIsAskedBeforeTheServerHasIntroducedItself) {
  requests_.ask(stat_of(0), {}, note("stat"));
  introduce();
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].type, SftpPacketType::Fstat);
}

TEST_F(SftpRequestsTest, AnswersInAnyOrderAndInAnyPiecesFindTheirRequests) {
  introduce();
  requests_.ask(stat_of(0), {}, note("first"));
  requests_.ask(stat_of(0), {}, note("second"));
  const auto packets = sent();
  const auto reply = [](std::uint32_t id) {
    return packet(SftpPacketType::Attrs, SftpWriter().u32(id).attributes({}).take());
  };
  say(reply(packets.at(1).id) + reply(packets.at(0).id), 3);
  EXPECT_THAT(ends_, ElementsAre("second: ok", "first: ok"));
}

TEST_F(SftpRequestsTest, LimitsAreAskedForAndKept) {
  requests_.ask(stat_of(0), {}, note("stat"));
  introduce(SftpWriter().string("limits@openssh.com").string("1").take());
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].reader().text(), "limits@openssh.com");
  answer(SftpPacketType::ExtendedReply,
         SftpWriter().u32(packets[0].id).u64(0).u64(100'000).u64(50'000).u64(1).take());
  const auto handle = open();
  read(handle, 0, 150'000);
  const auto reads = sent();
  ASSERT_EQ(reads.size(), 2u);
  // No more than one handle: the next file waits until this one is closed.
  SftpRequest another;
  another.type = SftpPacketType::Open;
  requests_.ask(std::move(another), {}, note("open"));
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(SftpRequestsTest, AReadIsCutIntoPiecesAndDeliveredInOrder) {
  introduce();
  const auto handle = open();
  const auto received = read(handle, 10, 80'000);
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 3u);
  data(packets[2].id, std::string(80'000 - 65'536, 'c'));
  data(packets[1].id, std::string(32'768, 'b'));
  EXPECT_EQ(received->text, "");
  data(packets[0].id, std::string(32'768, 'a'));
  EXPECT_EQ(received->text, std::string(32'768, 'a') + std::string(32'768, 'b') +
                                std::string(80'000 - 65'536, 'c'));
  EXPECT_EQ(received->ends, 1);
  EXPECT_FALSE(received->error);
  EXPECT_TRUE(requests_.is_idle());
}

TEST_F(SftpRequestsTest, TheRestOfAShortAnswerIsAskedForAgain) {
  introduce();
  const auto received = read(open(), 0, 40'000);
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 2u);
  data(packets[1].id, std::string(7'232, 'c'));
  data(packets[0].id, std::string(1'000, 'a'));
  const auto again = sent();
  ASSERT_EQ(again.size(), 1u);
  SftpReader reader = again[0].reader();
  EXPECT_EQ(reader.text(), "h");
  EXPECT_EQ(reader.u64(), 1'000u);
  EXPECT_EQ(reader.u32(), 31'768u);
  EXPECT_EQ(received->text.size(), 1'000u);
  data(again[0].id, std::string(31'768, 'b'));
  EXPECT_EQ(received->text.size(), 40'000u);
  EXPECT_EQ(received->ends, 1);
}

TEST_F(SftpRequestsTest, AReadEndsWhereTheFileEnds) {
  introduce();
  const auto received = read(open(), 0, 100'000);
  const auto packets = sent();
  data(packets.at(0).id, std::string(500, 'a'));
  status(packets.at(1).id, SftpStatusCode::Eof);
  EXPECT_EQ(received->ends, 0);
  const auto again = sent();
  ASSERT_EQ(again.size(), 1u);
  status(again[0].id, SftpStatusCode::Eof);
  EXPECT_EQ(received->ends, 1);
  EXPECT_FALSE(received->error);
  EXPECT_EQ(received->text.size(), 500u);
  for (std::size_t i = 2; i < packets.size(); ++i) status(packets[i].id, SftpStatusCode::Eof);
  EXPECT_TRUE(requests_.is_idle());
}

TEST_F(SftpRequestsTest, AReceiverThatHasHadEnoughEndsItsRead) {
  introduce();
  const auto received = read(open(), 0, 100);
  received->enough = 10;
  data(sent().at(0).id, std::string(100, 'a'));
  EXPECT_EQ(received->ends, 1);
  ASSERT_TRUE(received->error);
  EXPECT_EQ(received->error->kind(), ErrorKind::Cancelled);
}

TEST_F(SftpRequestsTest, TheWindowBoundsWhatIsUnderWay) {
  introduce();
  read(open(), 0, 1 << 30);
  EXPECT_EQ(sent().size(), SftpWindow::kInitial / 32'768);
  EXPECT_TRUE(requests_.has_backlog());
}

TEST_F(SftpRequestsTest, WhoWaitsGetsAheadOfWhatIsReadAhead) {
  introduce();
  const auto handle = open();
  RequestContext background;
  background.priority = Priority::Background;
  read(handle, 0, 1 << 30, background);
  EXPECT_LT(sent().size(), SftpWindow::kInitial / 32'768);
  read(handle, 5, 100);
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  SftpReader reader = packets[0].reader();
  reader.string();
  EXPECT_EQ(reader.u64(), 5u);
}

TEST_F(SftpRequestsTest, RequestsOnOneFileKeepTheirOrderBehindWrites) {
  introduce();
  const auto handle = open();
  write(handle, std::string(40'000, 'x'));
  requests_.ask(stat_of(handle), {}, note("stat"));
  read(handle, 0, 10);
  requests_.close(handle, "close", {}, note("close"));
  const auto packets = sent();
  std::vector<SftpPacketType> types;
  for (const auto& each : packets) types.push_back(each.type);
  // The CLOSE waits for the read, which may have to ask again.
  EXPECT_THAT(types, ElementsAre(SftpPacketType::Write, SftpPacketType::Write,
                                 SftpPacketType::Fstat, SftpPacketType::Read));
  data(packets[3].id, "0123456789");
  const auto last = sent();
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].type, SftpPacketType::Close);
}

TEST_F(SftpRequestsTest, ACloseFollowsItsWritesWithoutWaitingForThem) {
  introduce();
  const auto handle = open();
  write(handle, "abc");
  requests_.close(handle, "close", {}, note("close"));
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[1].type, SftpPacketType::Close);
  status(packets[0].id, SftpStatusCode::Failure);
  status(packets[1].id, SftpStatusCode::Ok);
  EXPECT_THAT(ends_, ElementsAre("write: the server reports a failure", "close: ok"));
  requests_.ask(stat_of(handle), {}, note("late"));
  EXPECT_THAT(ends_.back(), ::testing::HasSubstr("closed"));
}

TEST_F(SftpRequestsTest, AFileThatNobodyTakesAnyMoreIsClosed) {
  introduce();
  std::stop_source stop;
  RequestContext context;
  context.stop = stop.get_token();
  SftpRequest request;
  request.type = SftpPacketType::Open;
  request.what = "open";
  requests_.ask(std::move(request), context, note("open"));
  const auto packets = sent();
  stop.request_stop();
  ASSERT_EQ(stopped_.size(), 1u);
  requests_.cancel(stopped_[0]);
  EXPECT_THAT(ends_, ElementsAre("open: open: called off"));
  answer(SftpPacketType::Handle, SftpWriter().u32(packets.at(0).id).string("h").take());
  const auto closing = sent();
  ASSERT_EQ(closing.size(), 1u);
  EXPECT_EQ(closing[0].type, SftpPacketType::Close);
  status(closing[0].id, SftpStatusCode::Ok);
  EXPECT_FALSE(requests_.has_handles());
}

TEST_F(SftpRequestsTest, ACloseThatIsCalledOffStillHappens) {
  introduce();
  const auto handle = open();
  std::stop_source stop;
  stop.request_stop();
  RequestContext context;
  context.stop = stop.get_token();
  requests_.close(handle, "close", context, note("close"));
  requests_.cancel(stopped_.at(0));
  EXPECT_EQ(ends_.size(), 1u);
  const auto packets = sent();
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].type, SftpPacketType::Close);
}

TEST_F(SftpRequestsTest, WhatIsOverdueEndsAndItsLateAnswerIsIgnored) {
  introduce();
  RequestContext context;
  context.deadline = now_ + 5s;
  const auto received = read(open(), 0, 10, context);
  const auto packets = sent();
  EXPECT_EQ(requests_.next_deadline(), context.deadline);
  now_ += 5s;
  requests_.check_deadlines(now_);
  ASSERT_TRUE(received->error);
  EXPECT_EQ(received->error->kind(), ErrorKind::TimedOut);
  data(packets.at(0).id, "0123456789");
  EXPECT_EQ(received->text, "");
  EXPECT_EQ(received->ends, 1);
}

TEST_F(SftpRequestsTest, TheEndFailsEverythingOnce) {
  introduce();
  const auto handle = open();
  const auto received = read(handle, 0, 10);
  write(handle, "abc");
  requests_.end(Error(ErrorKind::Network, "gone"));
  ASSERT_TRUE(received->error);
  EXPECT_EQ(received->error->message(), "read: gone");
  EXPECT_EQ(received->ends, 1);
  EXPECT_THAT(ends_, ElementsAre("write: gone"));
}

TEST_F(SftpRequestsTest, AnExtensionThatIsNotOfferedIsNotAskedFor) {
  introduce();
  SftpRequest request;
  request.type = SftpPacketType::Extended;
  request.extension = "fsync@openssh.com";
  request.what = "fsync";
  requests_.ask(std::move(request), {}, note("fsync"));
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_THAT(ends_, ElementsAre("fsync: fsync: the server does not offer fsync@openssh.com"));
}

/// What a server may say after its introduction and one READ of 10 bytes with number `id`.
struct Hostile {
  const char* name;
  std::string (*bytes)(std::uint32_t id);
};

class SftpRequestsHostileTest : public SftpRequestsTest,
                                public ::testing::WithParamInterface<Hostile> {};

TEST_P(SftpRequestsHostileTest, BreaksOffWithAnError) {
  introduce();
  const auto received = read(open(), 0, 10);
  const auto id = sent().at(0).id;
  try {
    say(GetParam().bytes(id));
    ADD_FAILURE() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    requests_.end(error);
  }
  EXPECT_EQ(received->ends, 1);
}

INSTANTIATE_TEST_SUITE_P(
    Servers, SftpRequestsHostileTest,
    ::testing::Values(
        Hostile{"EmptyPacket", [](std::uint32_t) { return SftpWriter().u32(0).u8(0).take(); }},
        Hostile{"HugePacket",
                [](std::uint32_t) { return SftpWriter().u32(0xffffffff).u8(104).take(); }},
        Hostile{"UnknownNumber",
                [](std::uint32_t id) {
                  return packet(SftpPacketType::Data, SftpWriter().u32(id + 1).string("x").take());
                }},
        Hostile{"MoreThanAskedFor",
                [](std::uint32_t id) {
                  return packet(SftpPacketType::Data,
                                SftpWriter().u32(id).string("0123456789a").take());
                }},
        Hostile{"LengthsThatDisagree",
                [](std::uint32_t id) {
                  return packet(SftpPacketType::Data, SftpWriter().u32(id).u32(9).u8(0).take());
                }},
        Hostile{"NoData",
                [](std::uint32_t id) {
                  return packet(SftpPacketType::Attrs, SftpWriter().u32(id).attributes({}).take());
                }},
        Hostile{"CutStatus",
                [](std::uint32_t id) {
                  return packet(SftpPacketType::Status, SftpWriter().u32(id).u8(0).take());
                }}),
    [](const auto& hostile) { return std::string(hostile.param.name); });

TEST_F(SftpRequestsTest, WhatIsNoSftpIsQuoted) {
  requests_.start("SSH-2.0-Test");
  sent();
  try {
    say("Welcome to the machine\n");
    ADD_FAILURE() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("\"Welcome to the machine\""));
  }
}

}  // namespace
}  // namespace red
