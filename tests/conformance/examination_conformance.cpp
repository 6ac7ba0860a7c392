// How every store examines the way to its server.
#include "tests/conformance/remote_store_conformance.h"

namespace red::testing {
namespace {

using namespace std::chrono_literals;

bool is_good(FindingStatus status) {
  return status == FindingStatus::Ok || status == FindingStatus::Note;
}

TEST_P(RemoteStoreConformance, EveryStepToItsServerIsTaken) {
  put("file", "content");
  const auto store = open("", Purpose::MountDir);
  const Examination examination = store->examination();
  EXPECT_FALSE(examination.steps.empty());
  EXPECT_TRUE(examination.reads);
  for (const ExaminationStep& step : examination.steps) {
    const auto finding = step.run(RequestContext::within(step.limit));
    EXPECT_LE(step.limit, 30s) << step.what;
    if (!finding) continue;
    EXPECT_TRUE(is_good(finding->status)) << step.what << ": " << finding->text;
    EXPECT_FALSE(finding->text.empty()) << step.what;
    expect_no_secret(finding->text);
  }
  store->list({}, soon());
  EXPECT_FALSE(examination.listing_format().empty());
  examination.small_request(soon());
  EXPECT_EQ(names_in(), std::vector<std::string>{"file"});
}

TEST_P(RemoteStoreConformance, StepsEndWhenStoppedOrLate) {
  put("file", "content");
  for (const RequestContext& context : {stopped(), too_late()}) {
    const auto store = open("", Purpose::MountDir);
    const Examination examination = store->examination();
    EXPECT_NE(error_of([&] {
                for (const ExaminationStep& step : examination.steps) step.run(context);
                examination.small_request(context);
              }).kind(),
              ErrorKind::Internal);
  }
}

}  // namespace
}  // namespace red::testing
