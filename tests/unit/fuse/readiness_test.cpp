#include "fuse/readiness.h"

#include <gtest/gtest.h>

namespace red {
namespace {

using namespace std::chrono_literals;
using Outcome = DaemonReport::Outcome;

TEST(Readiness, CarriesReadyAndItsConfirmation) {
  ReadinessChannel channel = make_readiness_channel();
  CommandLink link(std::move(channel.daemon_end));
  link.report_ready();
  EXPECT_EQ(await_report(channel.command_end.get(), 1s).outcome, Outcome::Ready);
  EXPECT_TRUE(confirm(channel.command_end.get()));
  channel.command_end.reset();
  EXPECT_TRUE(link.is_confirmed());
}

TEST(Readiness, CarriesKindAndEveryLineOfAnError) {
  ReadinessChannel channel = make_readiness_channel();
  CommandLink link(std::move(channel.daemon_end));
  EXPECT_TRUE(link.report_failure(Error(ErrorKind::Tls, "first\nsecond")));
  const DaemonReport report = await_report(channel.command_end.get(), 1s);
  ASSERT_EQ(report.outcome, Outcome::Failed);
  EXPECT_EQ(report.error->kind(), ErrorKind::Tls);
  EXPECT_EQ(report.error->message(), "first\nsecond");
}

TEST(Readiness, CutsAMessageThatIsTooLong) {
  ReadinessChannel channel = make_readiness_channel();
  CommandLink link(std::move(channel.daemon_end));
  EXPECT_TRUE(link.report_failure(Error(ErrorKind::Tls, std::string(1000000, 'x'))));
  const DaemonReport report = await_report(channel.command_end.get(), 1s);
  ASSERT_EQ(report.outcome, Outcome::Failed);
  EXPECT_EQ(report.error->kind(), ErrorKind::Tls);
}

TEST(Readiness, TellsADeadDaemonFromASilentOne) {
  ReadinessChannel channel = make_readiness_channel();
  EXPECT_EQ(await_report(channel.command_end.get(), 10ms).outcome, Outcome::Silent);
  channel.daemon_end.reset();
  EXPECT_EQ(await_report(channel.command_end.get(), 1s).outcome, Outcome::Died);
  EXPECT_FALSE(confirm(channel.command_end.get()));
}

TEST(Readiness, ACommandThatIsGoneConfirmsNothing) {
  ReadinessChannel channel = make_readiness_channel();
  CommandLink link(std::move(channel.daemon_end));
  channel.command_end.reset();
  EXPECT_FALSE(link.is_confirmed());
  EXPECT_FALSE(link.report_failure(Error(ErrorKind::Tls, "nobody listens")));
}

}  // namespace
}  // namespace red
