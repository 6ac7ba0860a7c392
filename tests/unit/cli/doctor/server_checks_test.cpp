#include "cli/doctor/server_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "common/error.h"
#include "tests/fakes/fake_store.h"

namespace red {
namespace {

using testing::FakeCall;
using testing::FakeStore;
using ::testing::HasSubstr;

const std::vector<Purpose> kDirectory{Purpose::MountDir, Purpose::ReceiveDir, Purpose::SendDir};
const std::vector<Purpose> kFile{Purpose::ReceiveFile, Purpose::SendFile};

class ServerChecks : public ::testing::Test {
 protected:
  ServerVerdict check(const std::vector<Purpose>& purposes) {
    rows_.clear();
    return check_server(store_, {purposes, is_archive_}, stop_.get_token(),
                        [this](const FindingRow& row) {
                          rows_[row.what] = row.finding;
                          order_.push_back(row.what);
                        });
  }
  FindingStatus status(const std::string& what) { return rows_.at(what).status; }
  std::string text(const std::string& what) { return rows_.at(what).text; }

  FakeStore store_;
  bool is_archive_ = false;
  std::stop_source stop_;
  std::map<std::string, Finding> rows_;
  std::vector<std::string> order_;
};

TEST_F(ServerChecks, TellOfADirectoryStepByStep) {
  store_.set_file("small", "content");
  store_.set_file("sub/large", std::string(3 << 20, 'x'));
  EXPECT_FALSE(check(kDirectory).is_file);
  EXPECT_EQ(order_, (std::vector<std::string>{"access data", "connection", "path", "listing",
                                              "ranges", "round-trip time", "rate"}));
  EXPECT_THAT(text("path"), HasSubstr("a directory, for mount-dir, receive-dir, send-dir"));
  EXPECT_THAT(text("listing"), HasSubstr("a map in memory: 2 entries (1 file)"));
  EXPECT_THAT(text("ranges"), HasSubstr("sub/large"));
  EXPECT_THAT(text("rate"), HasSubstr("3.0 MiB in"));
  for (const auto& [what, finding] : rows_) EXPECT_EQ(finding.status, FindingStatus::Ok) << what;
}

TEST_F(ServerChecks, AskForSizesThatAListingDoesNotTell) {
  store_.set_file("a", "small");
  store_.set_file("b", std::string(2 << 20, 'x'));
  store_.tell_list_sizes(false);
  check(kDirectory);
  EXPECT_THAT(text("rate"), HasSubstr("2.0 MiB in"));
}

TEST_F(ServerChecks, TellOfAFile) {
  store_.set_file("", "some content");
  EXPECT_TRUE(check(kFile).is_file);
  EXPECT_THAT(text("path"), HasSubstr("a file of 12 B, for receive-file, send-file"));
  EXPECT_FALSE(rows_.contains("listing"));
  EXPECT_EQ(status("ranges"), FindingStatus::Ok);
  EXPECT_EQ(status("rate"), FindingStatus::Note) << "too small";
}

TEST_F(ServerChecks, TakeAnArchiveForAFileThatADirectoryComesFrom) {
  store_.set_file("", "some content");
  is_archive_ = true;
  EXPECT_TRUE(check({Purpose::ReceiveDir}).is_file);
  EXPECT_THAT(text("path"), HasSubstr("a file of 12 B, for receive-dir"));
  EXPECT_FALSE(rows_.contains("listing"));
}

TEST_F(ServerChecks, SkipWhatNeedsAStepThatHasFailed) {
  store_.fail_next(FakeCall::Examine, 1, Error(ErrorKind::Network, "refused"));
  check(kDirectory);
  EXPECT_EQ(status("connection"), FindingStatus::Failed);
  EXPECT_EQ(text("connection"), "refused");
  for (const char* what : {"path", "listing", "ranges", "round-trip time", "rate"}) {
    EXPECT_EQ(status(what), FindingStatus::Skipped) << what;
  }
}

TEST_F(ServerChecks, MissWhatIsToBeRead) {
  FakeStore below(store_, "nothing/here");
  check_server(below, {kDirectory}, {},
               [this](const FindingRow& row) { rows_[row.what] = row.finding; });
  EXPECT_EQ(status("path"), FindingStatus::Failed);
  EXPECT_EQ(status("listing"), FindingStatus::Skipped);
  EXPECT_EQ(status("ranges"), FindingStatus::Skipped);
  EXPECT_EQ(status("rate"), FindingStatus::Skipped);
}

TEST_F(ServerChecks, MissNothingWhereSomethingIsToBeSent) {
  FakeStore below(store_, "nothing/here");
  const std::vector<Purpose> sending{Purpose::SendDir};
  check_server(below, {sending}, {},
               [this](const FindingRow& row) { rows_[row.what] = row.finding; });
  EXPECT_EQ(status("path"), FindingStatus::Note);
  EXPECT_FALSE(rows_.contains("listing"));
  EXPECT_FALSE(rows_.contains("rate"));
}

TEST_F(ServerChecks, RefuseADirectoryWhereAFileIsWanted) {
  store_.set_file("sub/file", "x");
  check(kFile);
  EXPECT_EQ(status("path"), FindingStatus::Failed);
  EXPECT_THAT(text("path"), HasSubstr("a directory, but the access data is for receive-file"));
}

TEST_F(ServerChecks, SayWhatGoesWithoutAListing) {
  store_.fail_next(FakeCall::List, 100, Error(ErrorKind::PermissionDenied, "HTTP 403"));
  check(kDirectory);
  EXPECT_EQ(status("listing"), FindingStatus::Failed);
  EXPECT_THAT(text("listing"), HasSubstr("--listing"));
  EXPECT_EQ(status("ranges"), FindingStatus::Skipped);
  EXPECT_EQ(status("round-trip time"), FindingStatus::Ok);
}

TEST_F(ServerChecks, NoteAServerWithoutRanges) {
  store_.set_file("file", std::string(100'000, 'x'));
  store_.serve_ranges(false);
  check(kDirectory);
  EXPECT_EQ(status("ranges"), FindingStatus::Note);
  EXPECT_THAT(text("ranges"), HasSubstr("not served"));
}

TEST_F(ServerChecks, NoteThatThereIsNoFileToTry) {
  store_.make_directory("empty");
  check(kDirectory);
  EXPECT_EQ(status("ranges"), FindingStatus::Note);
  EXPECT_NE(status("rate"), FindingStatus::Failed);
}

TEST_F(ServerChecks, TellHowFarABrokenReadCame) {
  store_.set_file("file", std::string(3 << 20, 'x'));
  store_.answer_reads_with([](const testing::FakeRead& read) {
    testing::FakeAnswer answer;
    if (read.number == 2) answer.break_after = 1 << 20;
    return answer;
  });
  check(kDirectory);
  EXPECT_EQ(status("rate"), FindingStatus::Note);
  EXPECT_THAT(text("rate"), HasSubstr("1.0 MiB in"));
}

TEST_F(ServerChecks, EndWhenAStopIsAskedFor) {
  stop_.request_stop();
  try {
    check(kDirectory);
    ADD_FAILURE() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
}

}  // namespace
}  // namespace red
