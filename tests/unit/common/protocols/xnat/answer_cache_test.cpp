#include "common/protocols/xnat/answer_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace red {
namespace {

using namespace std::chrono_literals;

class AnswerCacheTest : public ::testing::Test {
 protected:
  int get(const std::string& key, const RequestContext& context = {}) {
    return *cache_.get(key, context, [this] { return ++fetches_; });
  }

  std::atomic<int> fetches_ = 0;
  AnswerCache<int> cache_{1h, 3, [](int) { return std::size_t{1}; }};
};

TEST_F(AnswerCacheTest, AsksOnceForEachKey) {
  EXPECT_EQ(cache_.find("a"), nullptr);
  EXPECT_EQ(get("a"), 1);
  EXPECT_EQ(get("a"), 1);
  EXPECT_EQ(get("b"), 2);
  EXPECT_EQ(*cache_.find("a"), 1);
}

TEST_F(AnswerCacheTest, AsksAgainWhenToldTo) {
  EXPECT_EQ(get("a"), 1);
  EXPECT_EQ(*cache_.renew("a", {}, [this] { return ++fetches_; }), 2);
  EXPECT_EQ(get("a"), 2);
}

TEST_F(AnswerCacheTest, ForgetsAfterItsTime) {
  AnswerCache<int> forgetful(0s, 3, [](int) { return std::size_t{1}; });
  for (int i = 1; i <= 2; ++i) {
    std::this_thread::sleep_for(1ms);
    EXPECT_EQ(*forgetful.get("a", {}, [this] { return ++fetches_; }), i);
  }
}

TEST_F(AnswerCacheTest, ForgetsTheOldestWhenItIsFull) {
  for (const char* key : {"a", "b", "c", "d"}) get(key);
  EXPECT_EQ(cache_.find("a"), nullptr);
  EXPECT_NE(cache_.find("b"), nullptr);
  EXPECT_NE(cache_.find("d"), nullptr);
}

TEST_F(AnswerCacheTest, LetsOthersWaitForWhatIsOnItsWay) {
  std::promise<void> began;
  std::promise<void> release;
  std::thread first([&] {
    cache_.get("a", {}, [&] {
      began.set_value();
      release.get_future().wait();
      return 7;
    });
  });
  began.get_future().wait();
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) others.emplace_back([&] { EXPECT_EQ(get("a"), 7); });
  EXPECT_THROW(get("a", RequestContext::within(10ms)), Error);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(get("a", {.stop = stop.get_token()}), Error);
  release.set_value();
  first.join();
  for (std::thread& other : others) other.join();
  EXPECT_EQ(fetches_, 0);
}

TEST_F(AnswerCacheTest, DoesNotRememberFailures) {
  const auto fail = []() -> int { throw Error(ErrorKind::Network, "reset"); };
  EXPECT_THROW(cache_.get("a", {}, fail), Error);
  EXPECT_EQ(get("a"), 1);
}

}  // namespace
}  // namespace red
