#include "common/protocols/xnat/xnat_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/net/curl_http_client.h"
#include "tests/unit/common/net/scripted_server.h"

namespace red::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// A site that answers to paths with lists of rows; everything else is 404.
class XnatFinderTest : public ::testing::Test {
 protected:
  XnatFinderTest()
      : server_(ScriptedServer::answering([this](const WireRequest& request) {
          log_.add(request);
          const std::string path = request.target.substr(0, request.target.find('?'));
          if (path == "/data/auth") return http_answer(200, "User '" + user_ + "' is logged in");
          const auto found = lists_.find(path);
          if (found == lists_.end()) return http_answer(404, "<html>");
          return http_answer(200, R"({"ResultSet":{"Result":[)" + found->second + "]}}",
                             "Content-Type: application/json\r\n");
        })) {
    access_.base = Url::parse(server_.url(""));
    access_.base.path.clear();
    access_.username = "ada";
    access_.project = "P";
    queries_.emplace(std::make_shared<CurlHttpClient>(access_.client), access_.base);
    finder_.emplace(access_, *queries_);
  }

  static RequestContext soon() { return RequestContext::within(30s); }
  template <typename Call>
  Error error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return {ErrorKind::Internal, "no error"};
  }

  std::string user_ = "ada";
  std::map<std::string, std::string> lists_;
  XnatAccess access_;
  RequestLog log_;
  ScriptedServer server_;
  std::optional<XnatQueries> queries_;
  std::optional<XnatFinder> finder_;
};

TEST_F(XnatFinderTest, FindsASessionByLabelOrIdWithOneRequest) {
  lists_["/data/projects/P/experiments"] =
      R"({"ID":"XNAT_E1","label":"MR1"},{"ID":"XNAT_E2","label":"MR2"})";
  for (const char* name : {"MR2", "XNAT_E2"}) {
    access_.session = name;
    EXPECT_EQ(finder_->session(soon()).object->id, "XNAT_E2");
  }
  EXPECT_EQ(log_.all().size(), 2U);
}

TEST_F(XnatFinderTest, PrefersALabelToAnIdThatIsTheSame) {
  lists_["/data/projects/P/experiments"] =
      R"({"ID":"XNAT_E1","label":"MR1"},{"ID":"XNAT_E2","label":"XNAT_E1"})";
  access_.session = "XNAT_E1";
  EXPECT_EQ(finder_->session(soon()).object->id, "XNAT_E2");
}

TEST_F(XnatFinderTest, AsksForASubjectWhoseLabelNoUrlCanHold) {
  lists_["/data/projects/P/subjects"] = R"({"ID":"XNAT_S1","label":"A B"})";
  lists_["/data/projects/P/subjects/XNAT_S1/experiments"] = R"({"ID":"XNAT_E1","label":"MR1"})";
  access_.subject = "A B";
  access_.session = "MR1";
  EXPECT_EQ(finder_->session(soon()).object->id, "XNAT_E1");
}

TEST_F(XnatFinderTest, KnowsAProjectByItsTitle) {
  lists_["/data/projects"] = R"({"ID":"P7","secondary_ID":"The study","name":"A study of all"},
                                {"ID":"P8","secondary_ID":"P8","name":"Other"})";
  lists_["/data/projects/P7/subjects"] = "";
  for (const char* title : {"The study", "A study of all"}) {
    access_.project = title;
    EXPECT_EQ(finder_->project(soon()), "P7");
  }
  access_.project = "NONE";
  EXPECT_EQ(error_of([&] { finder_->project(soon()); }).kind(), ErrorKind::NotFound);
}

TEST_F(XnatFinderTest, DoesNotGuessBetweenProjectsOfOneTitle) {
  lists_["/data/projects"] = R"({"ID":"P7","secondary_ID":"x","name":"Study"},
                                {"ID":"P8","secondary_ID":"y","name":"Study"})";
  access_.project = "Study";
  EXPECT_EQ(error_of([&] { finder_->project(soon()); }).kind(), ErrorKind::NotFound);
}

TEST_F(XnatFinderTest, TellsWhatCanBeTheReasonOfAMissingProject) {
  lists_["/data/projects"] = "";
  const Error error = error_of([&] { finder_->project(soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.message(), HasSubstr("the user ada may not see it"));
}

TEST_F(XnatFinderTest, NoticesThatItIsTakenForAGuest) {
  user_ = "guest";
  const Error error = error_of([&] { finder_->project(soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Authentication);
  EXPECT_THAT(error.message(), HasSubstr("guest"));
}

TEST_F(XnatFinderTest, NamesWhatIsMissing) {
  lists_["/data/projects/P/experiments"] = "";
  lists_["/data/experiments/E1/scans"] = "";
  access_.session = "MR1";
  EXPECT_THAT(error_of([&] { finder_->session(soon()); }).message(),
              HasSubstr("/data/projects/P: there is no session MR1"));
  access_.container_type = XnatContainerType::Scans;
  access_.container = "5";
  EXPECT_THAT(error_of([&] { finder_->container("E1", soon()); }).message(),
              HasSubstr("there is no scan 5"));
}

TEST_F(XnatFinderTest, TakesAScanByIdBeforeItsType) {
  access_.container_type = XnatContainerType::Scans;
  access_.container = "T1";
  lists_["/data/experiments/E1/scans"] =
      R"({"ID":"1","type":"T1"},{"ID":"T1","type":"T2"},{"ID":"2","type":"T1"})";
  EXPECT_EQ(finder_->container("E1", soon()).id, "T1");
  lists_["/data/experiments/E1/scans"] = R"({"ID":"1","type":"T1"},{"ID":"2","type":"T2"})";
  EXPECT_EQ(finder_->container("E1", soon()).id, "1");
  lists_["/data/experiments/E1/scans"] = R"({"ID":"1","type":"T1"},{"ID":"2","type":"T1"})";
  EXPECT_EQ(error_of([&] { finder_->container("E1", soon()); }).kind(), ErrorKind::InvalidAccess);
}

}  // namespace
}  // namespace red::testing
