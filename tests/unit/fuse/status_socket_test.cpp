#include "fuse/status_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <future>
#include <thread>

#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

using namespace std::chrono_literals;

/// Serves as a daemon does, on a thread of its own.
class StatusSocketTest : public ::testing::Test {
 protected:
  StatusSocketTest() {
    thread_ = std::thread([this] {
      while (!finished_) {
        std::vector<pollfd> events;
        for (const int fd : server_.descriptors()) events.push_back({fd, POLLIN, 0});
        ::poll(events.data(), events.size(), 10);
        server_.serve([](std::string_view question) {
          if (question == status_question::kCacheUse) return std::string("1/2 MiB");
          if (question == status_question::kStats) return std::string(200'000, 'x');
          return std::string();
        });
      }
    });
  }
  ~StatusSocketTest() override {
    finished_ = true;
    thread_.join();
  }

  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  testing::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "socket";
  StatusServer server_{path_};
  std::atomic<bool> finished_ = false;
  std::thread thread_;
};

TEST_F(StatusSocketTest, AnswersWhatItIsAsked) {
  EXPECT_EQ(ask_status(path_, status_question::kCacheUse, 10s), "1/2 MiB");
  EXPECT_EQ(ask_status(path_, status_question::kStats, 10s), std::string(200'000, 'x'));
  EXPECT_EQ(ask_status(path_, "weather", 10s), "");
}

TEST_F(StatusSocketTest, AnswersOthersWhileSomeKeepSilent) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(connect());
    EXPECT_EQ(ask_status(path_, status_question::kCacheUse, 10s), "1/2 MiB");
  }
}

TEST_F(StatusSocketTest, TakesAQuestionThatComesInParts) {
  const UniqueFd client = connect();
  ::send(client.get(), "cac", 3, 0);
  EXPECT_EQ(ask_status(path_, status_question::kCacheUse, 10s), "1/2 MiB");
  ::send(client.get(), "he\n", 3, 0);
  char answer[16] = {};
  EXPECT_EQ(::recv(client.get(), answer, 7, MSG_WAITALL), 7);
  EXPECT_STREQ(answer, "1/2 MiB");
}

TEST_F(StatusSocketTest, LeavesWhoAsksEndlessly) {
  const UniqueFd client = connect();
  const std::string endless(1000, 'x');
  ::send(client.get(), endless.data(), endless.size(), MSG_NOSIGNAL);
  char byte = 0;
  EXPECT_LE(::recv(client.get(), &byte, 1, 0), 0);
}

TEST(StatusSocket, SilenceIsNoAnswer) {
  const testing::TemporaryDirectory directory;
  const StatusServer hung(directory.path() / "socket");
  EXPECT_EQ(ask_status(directory.path() / "socket", status_question::kStats, 50ms), std::nullopt);
  EXPECT_EQ(ask_status(directory.path() / "nobody", status_question::kStats, 50ms), std::nullopt);
}

}  // namespace
}  // namespace red
