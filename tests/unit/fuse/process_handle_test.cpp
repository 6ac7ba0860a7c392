#include "fuse/process_handle.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include "tests/unit/fuse/mount_fixtures.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using testing::ChildProcess;

int pause_for_ever() {
  ::pause();
  return 0;
}

TEST(ProcessHandle, FindsAProcessByPidAndStartTime) {
  ChildProcess child(pause_for_ever);
  const auto ticks = start_ticks_of(child.pid());
  ASSERT_TRUE(ticks);
  const auto handle = ProcessHandle::find(child.pid(), *ticks);
  ASSERT_TRUE(handle);
  EXPECT_EQ(handle->user(), ::geteuid());
  EXPECT_FALSE(handle->wait_until_ended(10ms));
}

TEST(ProcessHandle, DoesNotTakeAProcessForAnEarlierOneWithItsPid) {
  ChildProcess child(pause_for_ever);
  EXPECT_FALSE(ProcessHandle::find(child.pid(), *start_ticks_of(child.pid()) - 1));
}

TEST(ProcessHandle, CountsAZombieAsEnded) {
  ChildProcess child(pause_for_ever);
  const auto handle = ProcessHandle::find(child.pid(), *start_ticks_of(child.pid()));
  ASSERT_TRUE(handle);
  handle->signal(SIGTERM);
  EXPECT_TRUE(handle->wait_until_ended(10s));  // nobody has reaped it
  EXPECT_FALSE(start_ticks_of(child.pid()));
  EXPECT_FALSE(handle->user());
}

TEST(ProcessHandle, ReadsTheStartTimeBehindANameThatLooksLikeTheEnd) {
  const auto expected = start_ticks_of(::getpid());
  ::prctl(PR_SET_NAME, "a) Z 1 (b");
  EXPECT_EQ(start_ticks_of(::getpid()), expected);
}

TEST(ProcessHandle, WaitingForAChildIsBounded) {
  ChildProcess child(pause_for_ever);
  EXPECT_FALSE(wait_for_child(child.pid(), 10ms));
}

}  // namespace
}  // namespace red
