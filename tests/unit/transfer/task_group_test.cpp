#include "transfer/task_group.h"

#include <gtest/gtest.h>

#include <atomic>

namespace red {
namespace {

using namespace std::chrono_literals;

TEST(TaskGroup, EndsWhenAllTasksAndTheirTasksHaveEnded) {
  TaskGroup group({});
  WorkerPool pool(4);
  std::atomic<int> ran{0};
  for (int i = 0; i < 10; ++i) {
    group.run(pool, [&] {
      ++ran;
      group.run(pool, [&] { ++ran; });
    });
  }
  EXPECT_TRUE(group.wait_for(20s));
  EXPECT_EQ(ran, 20);
  group.throw_if_failed();
}

TEST(TaskGroup, ReportsTheFirstErrorAndStopsTheRest) {
  TaskGroup group({});
  WorkerPool pool(1);
  bool later_ran = false;
  group.run(pool, [] { throw Error(ErrorKind::NotFound, "first"); });
  group.run(pool, [&] { later_ran = true; });
  EXPECT_TRUE(group.wait_for(20s));
  EXPECT_FALSE(later_ran);
  EXPECT_TRUE(group.stop().stop_requested());
  group.fail(Error(ErrorKind::Network, "second"));
  try {
    group.throw_if_failed();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "first");
  }
}

TEST(TaskGroup, WaitsForWorkWithoutAThread) {
  TaskGroup group({});
  group.begin();
  EXPECT_FALSE(group.wait_for(1ms));
  group.end();
  EXPECT_TRUE(group.wait_for(1ms));
}

TEST(TaskGroup, FailsAsCancelledWhenItIsStoppedFromOutside) {
  std::stop_source outer;
  TaskGroup group(outer.get_token());
  outer.request_stop();
  try {
    group.throw_if_failed();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
}

}  // namespace
}  // namespace red
