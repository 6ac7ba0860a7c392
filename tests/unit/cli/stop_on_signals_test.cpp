#include "cli/stop_on_signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

namespace red {
namespace {

/// Returns when the token's stop was requested.
void wait_for_stop(const std::stop_token& token) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait(lock, token, [] { return false; });
}

// In child processes: signals concern a whole process.
TEST(StopOnSignalsDeathTest, ASignalAsksForAStop) {
  EXPECT_EXIT(
      {
        const StopOnSignals signals;
        ::kill(::getpid(), SIGTERM);
        wait_for_stop(signals.token());
        ::_exit(StopOnSignals::received() == SIGTERM ? 7 : 8);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(StopOnSignalsDeathTest, ASecondSignalEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        const StopOnSignals signals;
        ::kill(::getpid(), SIGINT);
        wait_for_stop(signals.token());
        ::kill(::getpid(), SIGINT);
        for (;;) ::pause();
      },
      ::testing::ExitedWithCode(130), "");
}

TEST(StopOnSignalsDeathTest, AnIgnoredSignalStaysIgnored) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_IGN);
        const StopOnSignals signals;
        ::kill(::getpid(), SIGHUP);
        ::kill(::getpid(), SIGTERM);
        wait_for_stop(signals.token());
        ::_exit(StopOnSignals::received() == SIGTERM ? 7 : 8);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(StopOnSignalsDeathTest, AfterwardsSignalsDoWhatTheyDidBefore) {
  EXPECT_EXIT(
      {
        { const StopOnSignals signals; }
        ::kill(::getpid(), SIGTERM);
        for (;;) ::pause();
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(StopOnSignals, WithoutASignalNothingStops) {
  const StopOnSignals signals;
  EXPECT_FALSE(signals.token().stop_requested());
  EXPECT_EQ(StopOnSignals::received(), 0);
}

}  // namespace
}  // namespace red
