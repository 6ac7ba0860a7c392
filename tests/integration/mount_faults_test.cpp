// Mounts whose server breaks, lies, stalls or goes away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "tests/integration/mount_fixture.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/relay.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start);
}

/// nginx behind a link that can fail, with one big file.
class MountOverABadLink : public MountFixture {
 protected:
  void SetUp() override {
    MountFixture::SetUp();
    write_file(server_.root() / "file", content_);
  }
  std::future<ReadResult> start_reading(int descriptor, std::uint64_t offset, std::size_t count) {
    return std::async(std::launch::async, [=] { return read_at(descriptor, offset, count); });
  }
  bool is_content(const ReadResult& result, std::uint64_t offset, std::size_t count) const {
    return result.error_number == 0 && result.bytes == content_.substr(offset, count);
  }

  const std::string content_ = random_bytes(40'000'000);
  NginxServer server_;
  Relay relay_{server_.port()};
};

TEST_F(MountOverABadLink, AReadWaitsForAServerThatComesBack) {
  ASSERT_THAT(mount(relay_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(is_content(read_at(descriptor.get(), 0, 1000), 0, 1000));
  relay_.refuse();
  auto reading = start_reading(descriptor.get(), 30'000'000, 1000);
  EXPECT_EQ(reading.wait_for(seconds(4)), std::future_status::timeout) << "it waits";
  relay_.recover();
  ASSERT_EQ(reading.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_TRUE(is_content(reading.get(), 30'000'000, 1000));
}

TEST_F(MountOverABadLink, AReadFailsAfterThirtySecondsAndTheFileIsUsableAgainAfterwards) {
  const std::string access = connector_.keep_json({{"url", relay_.url()}});
  ASSERT_THAT(connector_.run({"--log-file", directory_ / "log", "mount-dir", access, mount_}),
              Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(is_content(read_at(descriptor.get(), 0, 1000), 0, 1000));
  relay_.refuse();
  const auto start = std::chrono::steady_clock::now();
  const ReadResult failed = read_at(descriptor.get(), 30'000'000, 1000);
  EXPECT_EQ(failed.error_number, EIO);
  EXPECT_GE(since(start).count(), 25'000);
  EXPECT_LE(since(start).count(), 36'000);
  EXPECT_THAT(read_file(directory_ / "log"), HasSubstr("file"));
  relay_.recover();
  EXPECT_TRUE(eventually(
      [&] { return is_content(read_at(descriptor.get(), 30'000'000, 1000), 30'000'000, 1000); },
      seconds(10)));
  EXPECT_EQ(names_in(mount_).size(), 1u);
}

TEST_F(MountOverABadLink, AReaderDoesNotNoticeThatConnectionsAreCut) {
  ASSERT_THAT(mount(relay_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(read_while_cutting(relay_, descriptor.get(), content_.size()) == content_);
}

TEST_F(MountOverABadLink, AFrozenLinkThatThawsGoesOn) {
  ASSERT_THAT(mount(relay_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  relay_.freeze();
  auto reading = start_reading(descriptor.get(), 1'000'000, 5'000'000);
  EXPECT_EQ(reading.wait_for(seconds(2)), std::future_status::timeout);
  relay_.recover();
  ASSERT_EQ(reading.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_TRUE(is_content(reading.get(), 1'000'000, 5'000'000));
}

TEST_F(MountOverABadLink, ARestartedServerIsFoundAgain) {
  ASSERT_THAT(mount(relay_.url()), Succeeded());
  const FileDescriptor descriptor(open_for_reading(mount_ / "file"));
  EXPECT_TRUE(is_content(read_at(descriptor.get(), 0, 1000), 0, 1000));
  server_.stop();
  auto reading = start_reading(descriptor.get(), 20'000'000, 1000);
  EXPECT_EQ(reading.wait_for(seconds(1)), std::future_status::timeout);
  server_.start();
  ASSERT_EQ(reading.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_TRUE(is_content(reading.get(), 20'000'000, 1000));
}

TEST_F(MountOverABadLink, AKilledReaderDiesAtOnceWhateverTheServerDoes) {
  ASSERT_THAT(mount(relay_.url()), Succeeded());
  relay_.freeze();
  Process reader({.arguments = {"/bin/cat", mount_ / "file"}}, directory_ / "out");
  ASSERT_TRUE(eventually([&] { return has_open(reader.pid(), mount_ / "file"); }));
  EXPECT_FALSE(reader.wait(std::chrono::milliseconds(500)));
  const auto start = std::chrono::steady_clock::now();
  reader.signal(SIGKILL);
  EXPECT_TRUE(reader.wait(seconds(5)));
  EXPECT_LT(since(start).count(), 1000);
}

class MountFaults : public MountFixture {
 protected:
  MountFaults() {
    server_.on("/", page("<title>Index of /</title><a href=\"file\">file</a>"
                         "<a href=\"other\">other</a>"));
    server_.on("/other", file({.body = "other"}));
  }
  /// Reads all of `file`: the bytes must be those of the server, or there must be an error.
  ReadResult read_whole() { return read_at(mount_ / "file", 0, 100'000'000); }

  HostileServer server_;
  const ScriptedFile honest_{.body = random_bytes(3'000'000)};
};

TEST_F(MountFaults, AStatOfAKnownNameIsAnsweredAtOnceHoweverManyReadsAreOutstanding) {
  std::string index = "<title>Index of /</title><a href=\"known\">known</a>";
  server_.on("/known", file({.body = "known"}));
  for (int i = 0; i < 64; ++i) {
    const std::string name = "f" + std::to_string(i);
    index += "<a href=\"" + name + "\">" + name + "</a>";
    server_.on("/" + name, for_method("HEAD", file(honest_), stall_before_head(file(honest_))));
  }
  server_.on("/", page(index));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  struct stat attributes {};
  for (int i = 0; i < 64; ++i) {
    ASSERT_EQ(::stat((mount_ / ("f" + std::to_string(i))).c_str(), &attributes), 0);
  }
  ASSERT_EQ(::stat((mount_ / "known").c_str(), &attributes), 0);
  std::vector<std::future<ReadResult>> readers;
  for (int i = 0; i < 64; ++i) {
    readers.push_back(std::async(std::launch::async, [this, i] {
      return read_at(mount_ / ("f" + std::to_string(i)), 1'000'000, 1000);
    }));
  }
  ASSERT_TRUE(server_.wait_for_stalled(8));
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(::stat((mount_ / "known").c_str(), &attributes), 0);
    struct statvfs figures {};
    EXPECT_EQ(::statvfs(mount_.c_str(), &figures), 0);
    EXPECT_LT(since(start).count(), 200);
  }
  server_.release();
  for (auto& reader : readers) {
    EXPECT_TRUE(reader.get().bytes == honest_.body.substr(1'000'000, 1000));
  }
}

TEST_F(MountFaults, ABusyServerIsAskedAgain) {
  server_.on("/file", for_method("HEAD", file(honest_),
                                 first(4, status(503, {{"Retry-After", "1"}}), file(honest_))));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const ReadResult result = read_whole();
  EXPECT_EQ(result.error_number, 0) << std::strerror(result.error_number);
  EXPECT_TRUE(result.bytes == honest_.body);
}

TEST_F(MountFaults, BrokenAnswersAreTakenUpWhereTheyBroke) {
  for (const auto& broken : {truncated(honest_, 100'000), reset_after(honest_, 100'000), reset()}) {
    server_.on("/file", for_method("HEAD", file(honest_), first(3, broken, file(honest_))));
    ASSERT_THAT(mount(server_.url()), Succeeded());
    const ReadResult result = read_whole();
    EXPECT_EQ(result.error_number, 0) << std::strerror(result.error_number);
    EXPECT_TRUE(result.bytes == honest_.body);
    ASSERT_THAT(umount(), Succeeded());
  }
}

TEST_F(MountFaults, AWrongContentRangeIsAnErrorAndNeverWrongBytes) {
  server_.on("/file", for_method("HEAD", file(honest_), wrong_content_range(honest_, 4096)));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const ReadResult result = read_at(mount_ / "file", 1'000'000, 100'000);
  EXPECT_NE(result.error_number, 0);
  EXPECT_EQ(result.bytes, "");
  EXPECT_EQ(read_file(mount_ / "other"), "other");
}

TEST_F(MountFaults, AnAnswerOfHalfARangeIsNeverTakenForAllOfIt) {
  server_.on("/file", for_method("HEAD", file(honest_), half_of_range(honest_)));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const ReadResult result = read_at(mount_ / "file", 1'000'000, 300'000);
  EXPECT_TRUE(honest_.body.substr(1'000'000, 300'000).starts_with(result.bytes));
  EXPECT_TRUE(result.error_number != 0 || result.bytes.size() == 300'000);
}

TEST_F(MountFaults, AServerThatIgnoresRangesNowAndThenGivesNoWrongBytes) {
  ScriptedFile whole = honest_;
  whole.ranges = false;
  server_.on("/file", first(2, file(honest_), file(whole)));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  for (const std::size_t offset : {2'500'000, 1'000'000, 0, 1'999'999}) {
    const ReadResult result = read_at(mount_ / "file", offset, 50'000);
    if (result.error_number == 0) {
      EXPECT_TRUE(result.bytes == honest_.body.substr(offset, 50'000)) << offset;
    }
  }
}

TEST_F(MountFaults, AnETagThatChangesWithEveryAnswerGivesAnErrorAndNoMixture) {
  server_.on("/file", changing_etag(honest_));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const auto start = std::chrono::steady_clock::now();
  const ReadResult result = read_whole();
  EXPECT_TRUE(honest_.body.starts_with(result.bytes));
  if (result.bytes.size() < honest_.body.size()) {
    EXPECT_THAT(result.error_number, AnyOf(ESTALE, EIO));
  }
  EXPECT_LT(since(start).count(), 36'000);
}

TEST_F(MountFaults, ALengthThatHeadLiesAboutGivesNoWrongBytes) {
  for (const std::uint64_t claimed : {std::uint64_t{10}, std::uint64_t{50'000'000}}) {
    server_.on("/file", lying_head(honest_, claimed));
    ASSERT_THAT(mount(server_.url()), Succeeded());
    const ReadResult result = read_whole();
    EXPECT_TRUE(honest_.body.starts_with(result.bytes)) << claimed;
    if (claimed > honest_.body.size()) {
      EXPECT_TRUE(result.error_number != 0 || result.bytes == honest_.body);
    }
    ASSERT_THAT(umount(), Succeeded());
  }
}

TEST_F(MountFaults, ABodyThatIsTooLongIsCutWhereItWasSaidToEnd) {
  server_.on("/file", too_long({.body = honest_.body, .ranges = false}, "more"));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const ReadResult result = read_whole();
  EXPECT_TRUE(result.error_number != 0 || result.bytes == honest_.body);
}

TEST_F(MountFaults, ABodyThatAlwaysEndsEarlyIsAnErrorAndNoShortFile) {
  server_.on("/file", for_method("HEAD", file(honest_),
                                 truncated({.body = honest_.body, .ranges = false}, 1'000'000)));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const auto start = std::chrono::steady_clock::now();
  const ReadResult result = read_whole();
  EXPECT_EQ(result.error_number, EIO);
  EXPECT_LT(since(start).count(), 36'000);
}

TEST_F(MountFaults, ABrokenStreamOfAServerWithoutRangesStartsAgain) {
  const ScriptedFile whole{.body = honest_.body, .ranges = false};
  server_.on("/file",
             for_method("HEAD", file(whole), first(2, truncated(whole, 1'000'000), file(whole))));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const ReadResult result = read_whole();
  EXPECT_EQ(result.error_number, 0) << std::strerror(result.error_number);
  EXPECT_TRUE(result.bytes == honest_.body);
}

TEST_F(MountFaults, OneBadFileSpoilsNoOther) {
  for (const int code : {403, 404, 410, 500}) {
    server_.on("/file", status(code));
    ASSERT_THAT(mount(server_.url()), Succeeded()) << code;
    EXPECT_THAT(names_in(mount_), ::testing::Contains("other"));
    EXPECT_EQ(read_file(mount_ / "other"), "other");
    const int error_number = read_at(mount_ / "file", 0, 10).error_number;
    if (code == 403) {
      EXPECT_EQ(error_number, EACCES);
    } else if (code == 500) {
      EXPECT_EQ(error_number, EIO);
    } else {
      EXPECT_EQ(error_number, ENOENT);
    }
    ASSERT_THAT(umount(), Succeeded());
  }
}

TEST_F(MountFaults, AnIndexWithoutEndIsAnErrorWithinBounds) {
  server_.on("/", endless_body());
  const Outcome outcome = mount(server_.url());
  EXPECT_THAT(outcome, Failed());
  EXPECT_FALSE(is_mounted(mount_));
}

TEST_F(MountFaults, AHeadWithoutEndIsAnErrorWithinBounds) {
  server_.on("/file", for_method("HEAD", file(honest_), endless_head()));
  ASSERT_THAT(mount(server_.url()), Succeeded());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(read_at(mount_ / "file", 0, 10).error_number, EIO);
  EXPECT_LT(since(start).count(), 36'000);
  EXPECT_LT(server_.bytes_sent(), 500'000'000u);
}

TEST_F(MountFaults, ATreeWithoutEndIsNoHarmToThoseWhoLookAtItsTop) {
  server_.otherwise([](const Request& request, Reply& reply) {
    page("<title>Index of " + request.target + "</title><a href=\"a/\">a/</a>")(request, reply);
  });
  ASSERT_THAT(mount(server_.url("/tree/")), Succeeded());
  EXPECT_THAT(names_in(mount_), ElementsAre("a"));
  EXPECT_THAT(names_in(mount_ / "a/a/a"), ElementsAre("a"));
  EXPECT_LT(server_.requests().size(), 100u);
}

}  // namespace
}  // namespace red::testing
