// Files and trees from an XNAT site, and the session that brings them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>

#include "tests/integration/xnat_access.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kSession = "projects/P/subjects/S/experiments/E";
constexpr const char* kScan = "projects/P/subjects/S/experiments/E/scans/1/resources/DICOM";

class XnatReceive : public ::testing::Test {
 protected:
  Outcome receive_file(const Json& where) { return receive_file_by(access_to(server_, where)); }
  Outcome receive_file_by(const Json& access) {
    fs::remove(target_);
    return connector_.call("receive-file", access, {target_});
  }
  Outcome receive_dir(const Json& where) { return receive_dir_by(access_to(server_, where)); }
  Outcome receive_dir_by(const Json& access, const std::vector<std::string>& more = {}) {
    fs::remove_all(target_);
    std::vector<std::string> arguments{target_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return connector_.call("receive-dir", access, arguments);
  }
  FileTree received() const { return read_tree(target_); }

  /// One login, and its end.
  void expect_one_session(int logins = 1) {
    const XnatCounters counters = server_.counters();
    EXPECT_EQ(counters.logins, logins);
    EXPECT_EQ(counters.logouts, 1);
    EXPECT_EQ(counters.live_sessions, 0);
  }

  XnatServer server_;
  Connector connector_{"red-connector-xnat-http"};
  TemporaryDirectory directory_;
  fs::path target_ = directory_ / "target";
};

// --- receive-file --------------------------------------------------------------------------------

TEST_F(XnatReceive, BringsAFileOfEveryLevelByLabelAndById) {
  const std::string subject = server_.add("projects/P/subjects/S");
  const std::string session = server_.add(kSession, {.xsi_type = "xnat:mrSessionData"});
  const std::string assessor =
      server_.add(std::string(kSession) + "/assessors/A", {.xsi_type = "xnat:qcAssessmentData"});
  const std::string resource = server_.add(kScan);
  server_.add_file("projects/P/resources/R", "f", "project");
  server_.add_file("projects/P/subjects/S/resources/R", "f", "subject");
  server_.add_file(std::string(kSession) + "/resources/R", "f", "session");
  server_.add_file(kScan, "f", "scan");
  server_.add_file(std::string(kSession) + "/reconstructions/r1/out/resources/R", "f", "recon");
  server_.add_file(std::string(kSession) + "/assessors/A/out/resources/R", "f", "assessor");
  struct Case {
    Json where;
    std::string content;
  };
  const std::vector<Case> cases{
      {{{"resource", "R"}}, "project"},
      {{{"resource", "R"}, {"subject", "S"}}, "subject"},
      {{{"resource", "R"}, {"subject", subject}}, "subject"},
      {{{"resource", "R"}, {"subject", "S"}, {"session", "E"}}, "session"},
      {{{"resource", "R"}, {"subject", subject}, {"session", session}}, "session"},
      {{{"resource", "R"}, {"session", "E"}}, "session"},
      {{{"resource", "R"}, {"session", session}}, "session"},
      {{{"resource", resource}, {"session", "E"}, {"containerType", "scans"}, {"container", "1"}},
       "scan"},
      {{{"resource", "R"},
        {"session", "E"},
        {"containerType", "reconstructions"},
        {"container", "r1"}},
       "recon"},
      {{{"resource", "R"}, {"session", "E"}, {"containerType", "assessors"}, {"container", "A"}},
       "assessor"},
      {{{"resource", "R"},
        {"session", "E"},
        {"containerType", "assessors"},
        {"container", assessor}},
       "assessor"}};
  for (const Case& each : cases) {
    Json where = each.where;
    where.update({{"project", "P"}, {"file", "f"}});
    EXPECT_THAT(receive_file(where), Succeeded()) << where;
    EXPECT_EQ(read_file(target_), each.content) << where;
  }
}

TEST_F(XnatReceive, BringsFilesOfDirectoriesAndWithHardNames) {
  for (const char* name : {"a/b/c.txt", "with blank", "a+b", "#?&=.txt", "\xC3\xA9t\xC3\xA9 [1]",
                           "\xC3\xA9t\xC3\xA9", "it's \"so\""}) {
    server_.add_file("projects/P/resources/R", name, name);
    EXPECT_THAT(receive_file({{"project", "P"}, {"resource", "R"}, {"file", name}}), Succeeded());
    EXPECT_EQ(read_file(target_), name);
  }
}

TEST_F(XnatReceive, TakesAScanByItsTypeUnlessSeveralHaveIt) {
  server_.add(std::string(kSession) + "/scans/1", {.type = "T1w"});
  server_.add_file(kScan, "f", "one");
  const Json where = {{"project", "P"},     {"session", "E"},      {"containerType", "scans"},
                      {"container", "T1w"}, {"resource", "DICOM"}, {"file", "f"}};
  EXPECT_THAT(receive_file(where), Succeeded());
  EXPECT_EQ(read_file(target_), "one");
  server_.add(std::string(kSession) + "/scans/2", {.type = "T1w"});
  const Outcome outcome = receive_file(where);
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors, HasSubstr("1, 2"));
}

// XNAT answers for the nearest object above that exists.
TEST_F(XnatReceive, NeverTakesTheFileOfSomethingElse) {
  server_.add(kSession);
  server_.add_file("projects/P/resources/R", "f", "project");
  server_.add_file("projects/P/subjects/S/resources/R", "f", "subject");
  server_.add_file(std::string(kSession) + "/resources/R", "f", "session");
  const Json scan = {{"session", "E"}, {"containerType", "scans"}, {"container", "9"}};
  for (Json where :
       {Json{{"subject", "NONE"}}, Json{{"subject", "S"}, {"session", "NONE"}},
        Json{{"session", "NONE"}}, Json{{"subject", "NONE"}, {"session", "E"}}, scan,
        Json{{"project", "NONE"}}, Json{{"resource", "NONE"}}, Json{{"file", "NONE"}}}) {
    Json whole = {{"project", "P"}, {"resource", "R"}, {"file", "f"}};
    whole.update(where);
    const Outcome outcome = receive_file(whole);
    EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound)) << whole;
    EXPECT_FALSE(fs::exists(target_)) << whole;
  }
}

// --- The session ---------------------------------------------------------------------------------

TEST_F(XnatReceive, LogsInOnceAndOut) {
  server_.add_files(kScan, "{}.dcm", 50, 1000);
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  expect_one_session();
}

TEST_F(XnatReceive, LogsOutOfARunThatFailed) {
  server_.add("projects/P");
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "NONE"}}),
              FailedWith(exit_code::kNotFound));
  expect_one_session();
}

TEST_F(XnatReceive, LogsOutWhenItIsInterrupted) {
  server_.add_files(kScan, "{}.dcm", 100, 300'000);
  server_.add_fault({.kind = XnatFault::Kind::Hold, .path = "00050.dcm", .bytes = 1000});
  const std::string access =
      connector_.keep_json(access_to(server_, {{"project", "P"}, {"session", "E"}}));
  Process process(connector_.command({"receive-dir", access, target_}), directory_ / "log");
  ASSERT_TRUE(server_.wait_for_held(1));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.wait(std::chrono::seconds(5)));
  expect_one_session();
}

TEST_F(XnatReceive, WaitsForSlowCatalogs) {
  server_.add_files(kScan, "{}.dcm", 100, 1000);
  server_.set_catalog_time(std::chrono::milliseconds(700));
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  EXPECT_EQ(names_in(target_ / "scans/1/resources/DICOM").size(), 100U);
}

TEST_F(XnatReceive, NeverTriesRefusedCredentialsAgain) {
  server_.add_files(kScan, "{}.dcm", 50, 1000);
  const Json where = {{"project", "P"}, {"session", "E"}};
  const Outcome outcome = receive_dir_by(access_as(server_, "admin", "wrong", where));
  EXPECT_THAT(outcome, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(outcome.errors, Not(HasSubstr("wrong")));
  EXPECT_EQ(lines_in(outcome.errors), 1U);
  EXPECT_EQ(server_.counters().failed_logins, 1);
}

TEST_F(XnatReceive, SaysThatTheUserHasTooManySessions) {
  server_.add_file("projects/P/resources/R", "f", "x");
  server_.set_max_sessions(0);
  const Outcome outcome = receive_file({{"project", "P"}, {"resource", "R"}, {"file", "f"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(outcome.errors, HasSubstr("sessions"));
}

TEST_F(XnatReceive, RenewsASessionThatExpiresDuringATransfer) {
  server_.add_files(kScan, "{}.dcm", 100, 300'000);
  for (const bool login_page : {false, true}) {
    server_.set_login_page(login_page);
    server_.clear_faults();
    server_.forget_requests();
    server_.add_fault({.kind = XnatFault::Kind::ExpireSession, .path = "00050.dcm", .times = 1});
    EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
    EXPECT_EQ(names_in(target_ / "scans/1/resources/DICOM").size(), 100U);
    expect_one_session(2);
  }
}

TEST_F(XnatReceive, TakesALoginPageForWhatItIs) {
  server_.add_file("projects/P/resources/R", "f", "x");
  server_.add_fault({.kind = XnatFault::Kind::LoginPage, .path = "/files/f"});
  const Outcome outcome = receive_file({{"project", "P"}, {"resource", "R"}, {"file", "f"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kAuthentication));
  EXPECT_THAT(outcome.errors, HasSubstr("login page"));
  EXPECT_FALSE(fs::exists(target_));
  EXPECT_EQ(server_.counters().logins, 2);
  EXPECT_EQ(server_.counters().live_sessions, 0);
}

TEST_F(XnatReceive, LogsOutOfEveryLoginWhereAllFilesAreLoginPages) {
  server_.add_files(kScan, "{}.dcm", 20, 1000);
  server_.add_fault({.kind = XnatFault::Kind::LoginPage, .path = "/files/"});
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}),
                FailedWith(exit_code::kAuthentication));
    EXPECT_EQ(server_.counters().live_sessions, 0) << i;
  }
}

TEST_F(XnatReceive, BringsFilesThatAreWebPages) {
  server_.add_file("projects/P/resources/R", "page.html", "<html></html>");
  EXPECT_THAT(receive_file({{"project", "P"}, {"resource", "R"}, {"file", "page.html"}}),
              Succeeded());
  EXPECT_EQ(read_file(target_), "<html></html>");
  expect_one_session();
}

TEST_F(XnatReceive, TellsWhatTheUserMayNotSee) {
  server_.add_file("projects/P/resources/R", "f", "x");
  server_.add_user("eve", "pw");
  const Json where = {{"project", "P"}, {"resource", "R"}, {"file", "f"}};
  const Outcome outcome = receive_file_by(access_as(server_, "eve", "pw", where));
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("eve may not see it"));
}

TEST_F(XnatReceive, TakesAliasTokensAsNameAndPassword) {
  server_.add_file("projects/P/resources/R", "f", "x");
  const Outcome issued =
      run({.arguments = {"/usr/bin/curl", "-s", "-u", server_.username() + ":" + server_.password(),
                         server_.base_url() + "/data/services/tokens/issue"}});
  const Json token = Json::parse(issued.output);
  const Json where = {{"project", "P"}, {"resource", "R"}, {"file", "f"}};
  EXPECT_THAT(receive_file_by(access_as(server_, token["alias"], token["secret"], where)),
              Succeeded());
  EXPECT_EQ(read_file(target_), "x");
}

TEST(XnatSite, IsNeverAskedOverMoreConnectionsThanAllowed) {
  XnatServer server({.requests_per_connection = 0});
  server.add_files(kScan, "{}.dcm", 100, 20'000);
  const Connector connector("red-connector-xnat-http");
  const TemporaryDirectory directory;
  for (const int bound : {1, 3}) {
    server.forget_requests();
    const Json where = {{"project", "P"}, {"session", "E"}, {"connections", bound}};
    EXPECT_THAT(connector.call("receive-dir", access_to(server, where), {directory / "target"}),
                Succeeded());
    EXPECT_LE(server.counters().most_connections, bound);
  }
}

TEST(XnatSite, MayHaveAPrivateCertificateAndAContext) {
  XnatServer server({.tls = true, .context = "/xnat"});
  server.add_file("projects/P/resources/R", "f", "x");
  Connector connector("red-connector-xnat-http");
  const TemporaryDirectory directory;
  Json access = access_to(server, {{"project", "P"}, {"resource", "R"}, {"file", "f"}});
  EXPECT_THAT(connector.call("receive-file", access, {directory / "f"}),
              FailedWith(exit_code::kTls));
  access["caCertificate"] = read_file(server.authority());
  access["baseUrl"] = server.base_url() + "/";
  EXPECT_THAT(connector.call("receive-file", access, {directory / "f"}), Succeeded());
  EXPECT_EQ(read_file(directory / "f"), "x");
  EXPECT_EQ(server.counters().logouts, 1);
}

TEST(XnatSite, ThatIsOpenNeverShowsAGuestsViewForOurs) {
  for (const bool guest_cookies : {true, false}) {
    XnatServer server({.open = true});
    server.set_guest_cookies(guest_cookies);
    server.add_files("projects/P/resources/R", "{}", 20, 100);
    server.add_fault({.kind = XnatFault::Kind::ExpireSession, .path = "/files/00010", .times = 1});
    Connector connector("red-connector-xnat-http");
    const TemporaryDirectory directory;
    EXPECT_THAT(connector.call("receive-dir", access_to(server, {{"project", "P"}}),
                               {directory / "target"}),
                Succeeded());
    EXPECT_EQ(names_in(directory / "target/resources/R").size(), 20U);
    EXPECT_EQ(server.counters().logins, 2);
    EXPECT_EQ(server.counters().live_sessions, 0);
  }
}

// --- receive-dir ---------------------------------------------------------------------------------

TEST_F(XnatReceive, BringsTheTreeBelowEveryLevel) {
  server_.add(kSession, {.xsi_type = "xnat:mrSessionData"});
  server_.add(std::string(kSession) + "/assessors/A", {.xsi_type = "xnat:qcAssessmentData"});
  server_.add_file("projects/P/resources/R", "p/f", "project");
  server_.add_file("projects/P/subjects/S/resources/R", "f", "subject");
  server_.add_file(std::string(kSession) + "/resources/R", "f", "session");
  server_.add_file(kScan, "sub/f 1.dcm", "scan");
  server_.add_file(kScan, "sub/empty", "");
  server_.add_file(std::string(kSession) + "/reconstructions/r1/out/resources/R", "f", "recon");
  server_.add_file(std::string(kSession) + "/assessors/A/out/resources/R", "f", "out");
  server_.add_file(std::string(kSession) + "/assessors/A/in/resources/R", "f", "in");
  const FileTree session = {{"resources/R/f", "session"},
                            {"scans/1/resources/DICOM/sub/f 1.dcm", "scan"},
                            {"scans/1/resources/DICOM/sub/empty", ""},
                            {"reconstructions/r1/out/resources/R/f", "recon"},
                            {"reconstructions/r1/in/resources/", ""},
                            {"assessors/A/out/resources/R/f", "out"},
                            {"assessors/A/in/resources/R/f", "in"}};
  FileTree project = {{"resources/R/p/f", "project"}, {"subjects/S/resources/R/f", "subject"}};
  for (const auto& [path, content] : session) project["subjects/S/experiments/E/" + path] = content;
  const auto below = [](const FileTree& tree, const std::string& prefix) {
    FileTree part;
    for (const auto& [path, content] : tree) {
      if (path.starts_with(prefix)) part[path.substr(prefix.size())] = content;
    }
    return part;
  };
  struct Case {
    Json where;
    FileTree expected;
  };
  Json at_session = {{"session", "E"}};
  const auto at = [&](const Json& more) {
    Json where = at_session;
    where.update(more);
    return where;
  };
  const std::vector<Case> cases{
      {Json::object(), project},
      {{{"subject", "S"}}, below(project, "subjects/S/")},
      {{{"resource", "R"}}, below(project, "resources/R/")},
      {at_session, session},
      {at({{"subject", "S"}}), session},
      {at({{"containerType", "scans"}}), below(session, "scans/")},
      {at({{"containerType", "scans"}, {"container", "1"}}), below(session, "scans/1/")},
      {at({{"containerType", "scans"}, {"container", "1"}, {"resource", "DICOM"}}),
       below(session, "scans/1/resources/DICOM/")},
      {at({{"containerType", "assessors"}, {"container", "A"}}), below(session, "assessors/A/")},
      {at({{"resource", "R"}}), below(session, "resources/R/")}};
  for (const Case& each : cases) {
    Json where = each.where;
    where["project"] = "P";
    EXPECT_THAT(receive_dir(where), Succeeded()) << where;
    EXPECT_EQ(differences(received(), each.expected), "") << where;
  }
}

/// A session of which everything has resources, on servers that do not list them all at once.
/// The parameter is their answer when asked to.
class XnatAllResources : public XnatReceive, public ::testing::WithParamInterface<int> {
 protected:
  XnatAllResources() {
    for (const auto& [path, content] : tree_) {
      const auto files = path.rfind('/');
      server_.add_file(std::string(kSession) + "/" + path.substr(0, files), path.substr(files + 1),
                       content);
    }
    server_.set_lists_all(false);
    if (GetParam() == 200) return;
    server_.add_fault({.kind = XnatFault::Kind::Status, .path = "all=true", .status = GetParam()});
  }

  const FileTree tree_ = {{"resources/R/f", "session"},
                          {"scans/1/resources/DICOM/f", "scan"},
                          {"scans/2/resources/DICOM/f", "other scan"},
                          {"reconstructions/r1/out/resources/R/f", "recon"},
                          {"assessors/A/out/resources/R/f", "assessor"}};
};

TEST_P(XnatAllResources, AreBroughtAllTheSame) {
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  FileTree files = received();
  std::erase_if(files, [](const auto& each) { return each.first.ends_with('/'); });
  EXPECT_EQ(differences(files, tree_), "");
}

INSTANTIATE_TEST_SUITE_P(IgnoredOrRefused, XnatAllResources,
                         ::testing::Values(200, 400, 403, 404, 500));

TEST_F(XnatReceive, BringsTheSessionsOwnResourcesWhateverTheyAreCalled) {
  server_.add_file(std::string(kSession) + "/resources/R", "f", "session");
  server_.add_file(kScan, "f", "scan");
  server_.set_own_category("_resources");
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  EXPECT_EQ(read_file(target_ / "resources/R/f"), "session");
  EXPECT_EQ(read_file(target_ / "scans/1/resources/DICOM/f"), "scan");
  EXPECT_EQ(names_in(target_ / "resources").size(), 1U);
}

TEST_F(XnatReceive, BringsNoOtherScansResourcesForOneWithout) {
  server_.add(std::string(kSession) + "/scans/1", {.type = "T1w"});
  server_.add_file(std::string(kSession) + "/scans/2/resources/DICOM", "f", "two");
  server_.add(std::string(kSession) + "/scans/2", {.type = "1"});
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}, {"containerType", "scans"}}),
              Succeeded());
  EXPECT_EQ(differences(received(), {{"1/resources/", ""}, {"2/resources/DICOM/f", "two"}}), "");
}

TEST_F(XnatReceive, BringsExactlyWhatAListingNames) {
  server_.add_files(kScan, "{}.dcm", 30, 1000);
  const std::string listing = connector_.keep_json(Json::parse(
      R"([{"class": "Directory", "basename": "scans", "listing": [
           {"class": "Directory", "basename": "1", "listing": [
            {"class": "Directory", "basename": "resources", "listing": [
             {"class": "Directory", "basename": "DICOM", "listing": [
              {"class": "File", "basename": "00007.dcm", "size": 1000},
              {"class": "File", "basename": "00009.dcm"}]}]}]}]}])"));
  const Json access = access_to(server_, {{"project", "P"}, {"session", "E"}});
  EXPECT_THAT(receive_dir_by(access, {"--listing", listing}), Succeeded());
  EXPECT_EQ(
      differences(received(),
                  {{"scans/1/resources/DICOM/00007.dcm", XnatServer::generated_content(7, 1000)},
                   {"scans/1/resources/DICOM/00009.dcm", XnatServer::generated_content(9, 1000)}}),
      "");
  expect_one_session();
}

TEST_F(XnatReceive, ChecksSizesAndDigests) {
  server_.add_file(kScan, "f", "content");
  const Json where = {{"project", "P"}, {"session", "E"}};
  server_.change_file(kScan, "f", "CONTENT");
  server_.set_entry(kScan, "f", "7", "9a0364b9e99bb480dd25e1f0284c8555");
  Outcome outcome = receive_dir(where);
  EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(outcome.errors, HasSubstr("MD5"));
  server_.set_entry(kScan, "f", "8", "");
  outcome = receive_dir(where);
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("scans/1/resources/DICOM/f"));
  server_.set_entry(kScan, "f", "", "");
  EXPECT_THAT(receive_dir(where), Succeeded());
  EXPECT_EQ(read_file(target_ / "scans/1/resources/DICOM/f"), "CONTENT");
}

TEST_F(XnatReceive, NamesAFileThatTheCatalogHasAndTheDiskHasNot) {
  server_.add_files(kScan, "{}.dcm", 20, 1000);
  server_.lose_file(kScan, "00010.dcm");
  const Outcome outcome = receive_dir({{"project", "P"}, {"session", "E"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("00010.dcm"));
  EXPECT_FALSE(fs::exists(target_ / "scans/1/resources/DICOM/00010.dcm"));
  expect_one_session();
}

TEST_F(XnatReceive, GoesOnAfterAnErrorInTheMiddle) {
  server_.add_files(kScan, "{}.dcm", 50, 50'000);
  server_.add_fault(
      {.kind = XnatFault::Kind::Status, .path = "00020.dcm", .times = 1, .status = 500});
  server_.add_fault(
      {.kind = XnatFault::Kind::Truncate, .path = "00030.dcm", .times = 1, .bytes = 10'000});
  server_.add_fault({.kind = XnatFault::Kind::Status, .path = "/scans", .times = 1, .status = 502});
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  EXPECT_EQ(read_file(target_ / "scans/1/resources/DICOM/00030.dcm"),
            XnatServer::generated_content(30, 50'000));
  EXPECT_EQ(names_in(target_ / "scans/1/resources/DICOM").size(), 50U);
}

TEST_F(XnatReceive, BringsAResourceOfTenThousandFiles) {
  server_.add_files(kScan, "{}.dcm", 10'000, 100);
  EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}}), Succeeded());
  EXPECT_EQ(names_in(target_ / "scans/1/resources/DICOM").size(), 10'000U);
  EXPECT_EQ(read_file(target_ / "scans/1/resources/DICOM/09999.dcm"),
            XnatServer::generated_content(9999, 100));
  EXPECT_EQ(server_.counters().requests["files"], 1);
  EXPECT_EQ(server_.counters().requests["archive"], 1);
  EXPECT_EQ(server_.counters().requests["file"], 0);
  expect_one_session();
}

/// Resources of many small files, which come packed; things that can go wrong with that.
class XnatPacked : public XnatReceive {
 protected:
  static constexpr int kFiles = 300;

  XnatPacked() { server_.add_files(kScan, "d/{}.dcm", kFiles, 3000); }

  void expect_all() {
    const fs::path directory = target_ / "scans/1/resources/DICOM/d";
    ASSERT_EQ(names_in(directory).size(), kFiles);
    for (int i = 0; i < kFiles; ++i) {
      const std::string name = XnatServer::generated_name("{}.dcm", i);
      ASSERT_EQ(read_file(directory / name), XnatServer::generated_content(i, 3000)) << name;
    }
  }
  Outcome receive() { return receive_dir({{"project", "P"}, {"session", "E"}}); }
};

TEST_F(XnatPacked, ComeInOneRequest) {
  EXPECT_THAT(receive(), Succeeded());
  expect_all();
  EXPECT_EQ(server_.counters().requests["archive"], 1);
  EXPECT_EQ(server_.counters().requests["file"], 0);
}

TEST_F(XnatPacked, ComeOneByOneWhereTheServerPacksNothing) {
  server_.add_fault({.kind = XnatFault::Kind::Status, .path = "format=tar", .status = 501});
  EXPECT_THAT(receive(), Succeeded());
  expect_all();
}

TEST_F(XnatPacked, ComeOneByOneAfterAnArchiveThatWasCut) {
  for (const auto kind : {XnatFault::Kind::Truncate, XnatFault::Kind::Reset}) {
    server_.clear_faults();
    server_.add_fault({.kind = kind, .path = "format=tar", .bytes = 400'000});
    EXPECT_THAT(receive(), Succeeded());
    expect_all();
  }
}

TEST_F(XnatPacked, ComeOneByOneWhereAPageIsInTheArchivesPlace) {
  server_.add_fault({.kind = XnatFault::Kind::LoginPage, .path = "format=tar"});
  EXPECT_THAT(receive(), Succeeded());
  expect_all();
}

TEST_F(XnatPacked, AreMissedWhereTheArchiveLeavesThemOut) {
  server_.lose_file(kScan, "d/00200.dcm");
  const Outcome outcome = receive();
  EXPECT_THAT(outcome, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(outcome.errors, HasSubstr("00200.dcm"));
  expect_one_session();
}

TEST_F(XnatPacked, AreCheckedAsAllOthers) {
  server_.set_entry(kScan, "d/00200.dcm", "3000", "0a0364b9e99bb480dd25e1f0284c8555");
  const Outcome outcome = receive();
  EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(outcome.errors, HasSubstr("00200.dcm"));
}

TEST_F(XnatPacked, ComeOneByOneWithoutDigestsToProveThem) {
  server_.set_checksums(false);
  EXPECT_THAT(receive(), Succeeded());
  expect_all();
  EXPECT_EQ(server_.counters().requests["archive"], 0);
}

TEST_F(XnatPacked, ComeWhateverTheBoundOfConnections) {
  server_.add_files("projects/P/subjects/S/experiments/E/scans/2/resources/DICOM", "{}", 200, 9000);
  server_.add_files("projects/P/subjects/S/experiments/E/scans/3/resources/DICOM", "{}", 9,
                    900'000);
  for (const int connections : {1, 2, 3}) {
    EXPECT_THAT(receive_dir({{"project", "P"}, {"session", "E"}, {"connections", connections}}),
                Succeeded());
    expect_all();
    EXPECT_EQ(names_in(target_ / "scans/2/resources/DICOM").size(), 200U);
    EXPECT_EQ(names_in(target_ / "scans/3/resources/DICOM").size(), 9U);
  }
}

TEST_F(XnatReceive, NamesWhatCollidesById) {
  const std::string first = server_.add("projects/P/subjects/S1", {.label = "same"});
  const std::string second = server_.add("projects/P/subjects/S2", {.label = "same"});
  server_.add("projects/P/subjects/S3", {.label = "a/b"});
  EXPECT_THAT(receive_dir({{"project", "P"}}), Succeeded());
  std::vector<std::string> expected{first, second, "a%2Fb"};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(target_ / "subjects"), expected);
}

// --- Validation ----------------------------------------------------------------------------------

TEST_F(XnatReceive, ValidatesWithoutReadingAnything) {
  server_.add_file(kScan, "f", "x");
  Json where = {{"project", "P"},   {"session", "E"},      {"containerType", "scans"},
                {"container", "1"}, {"resource", "DICOM"}, {"file", "f"}};
  const auto validate = [&](const char* subcommand) {
    return connector_.call(subcommand, access_to(server_, where));
  };
  EXPECT_THAT(validate("receive-file-validate"), Succeeded());
  where["file"] = "g";
  EXPECT_THAT(validate("receive-file-validate"), FailedWith(exit_code::kNotFound));
  where.erase("file");
  EXPECT_THAT(validate("receive-dir-validate"), Succeeded());
  where["resource"] = "NONE";
  EXPECT_THAT(validate("receive-dir-validate"), FailedWith(exit_code::kNotFound));
  const XnatCounters counters = server_.counters();
  EXPECT_EQ(counters.logins, 4);
  EXPECT_EQ(counters.logouts, 4);
}

}  // namespace
}  // namespace red::testing
