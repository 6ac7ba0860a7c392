// Files and trees to an XNAT site, which says yes to nearly everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/integration/xnat_access.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kSession = "projects/P/subjects/S/experiments/E";
constexpr const char* kResource = "projects/P/resources/R";

class XnatSend : public ::testing::Test {
 protected:
  XnatSend() { server_.add(kSession, {.xsi_type = "xnat:mrSessionData"}); }

  Outcome send_file(const Json& where, const std::string& content) {
    write_file(directory_ / "file", content);
    return connector_.call("send-file", access_to(server_, where), {directory_ / "file"});
  }
  Outcome send_dir(const Json& where, const FileTree& tree,
                   const std::vector<std::string>& more = {}) {
    fs::remove_all(directory_ / "tree");
    write_tree(directory_ / "tree", tree);
    std::vector<std::string> arguments{directory_ / "tree"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return connector_.call("send-dir", access_to(server_, where), arguments);
  }
  FileTree at(const std::string& resource) const { return server_.files(resource); }

  int requests(const std::string& method) const {
    const auto all = server_.requests();
    return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const XnatRequest& request) {
      return request.method == method && request.kind != "logout";
    }));
  }
  void expect_nothing_was_changed() {
    EXPECT_EQ(requests("PUT") + requests("POST") + requests("DELETE"), 0);
  }

  XnatServer server_;
  Connector connector_{"red-connector-xnat-http"};
  TemporaryDirectory directory_;
};

TEST(XnatOpenSiteSend, RenewsASessionThatExpiresAtTheUpload) {
  XnatServer server({.open = true});
  server.set_guest_cookies(false);
  server.add("projects/P");
  server.add_fault(
      {.kind = XnatFault::Kind::ExpireSession, .method = "PUT", .path = "/files/", .times = 1});
  const TemporaryDirectory directory;
  const FileTree tree = {{"a", "1"}, {"d/b", "2"}};
  write_tree(directory / "tree", tree);
  const Connector connector("red-connector-xnat-http");
  EXPECT_THAT(connector.call("send-dir", access_to(server, {{"project", "P"}, {"resource", "R"}}),
                             {directory / "tree"}),
              Succeeded());
  EXPECT_EQ(server.files(kResource), tree);
  EXPECT_EQ(server.counters().logins, 2);
}

// --- send-file -----------------------------------------------------------------------------------

TEST_F(XnatSend, SendsAFileToEveryLevel) {
  server_.add(std::string(kSession) + "/scans/1", {.xsi_type = "xnat:mrScanData"});
  struct Case {
    Json where;
    std::string resource;
  };
  const Json scan = {{"session", "E"}, {"containerType", "scans"}, {"container", "1"}};
  for (const Case& each :
       {Case{{{"resource", "R"}}, "projects/P/resources/R"},
        Case{{{"subject", "S"}, {"resource", "R"}}, "projects/P/subjects/S/resources/R"},
        Case{{{"subject", "S"}, {"session", "E"}, {"resource", "R"}},
             std::string(kSession) + "/resources/R"},
        Case{scan, std::string(kSession) + "/scans/1/resources/OTHER"}}) {
    Json where = each.where;
    where.update({{"project", "P"}, {"file", "sub/f.txt"}});
    EXPECT_THAT(send_file(where, each.resource), Succeeded()) << where;
    EXPECT_EQ(at(each.resource), (FileTree{{"sub/f.txt", each.resource}}));
  }
  const XnatCounters counters = server_.counters();
  EXPECT_EQ(counters.logins, 4);
  EXPECT_EQ(counters.logouts, 4);
}

TEST_F(XnatSend, MakesAContainerOfTheTypeThatIsAskedFor) {
  Json where = {{"project", "P"},
                {"session", "E"},
                {"containerType", "scans"},
                {"container", "7"},
                {"file", "f"}};
  const Outcome without_type = send_file(where, "x");
  EXPECT_THAT(without_type, FailedWith(exit_code::kNotFound));
  EXPECT_THAT(without_type.errors, HasSubstr("xsiType"));
  expect_nothing_was_changed();
  where["xsiType"] = "xnat:mrScanData";
  EXPECT_THAT(send_file(where, "x"), Succeeded());
  EXPECT_EQ(at(std::string(kSession) + "/scans/7/resources/OTHER"), (FileTree{{"f", "x"}}));
  where["file"] = "g";
  EXPECT_THAT(send_file(where, "y"), Succeeded());
  for (const auto& [type, xsi_type] :
       {std::pair{"reconstructions", ""}, std::pair{"assessors", "xnat:qcAssessmentData"}}) {
    where["containerType"] = type;
    where["xsiType"] = xsi_type;
    if (*xsi_type == '\0') where.erase("xsiType");
    EXPECT_THAT(send_file(where, type), Succeeded());
    EXPECT_EQ(at(std::string(kSession) + "/" + type + "/7/out/resources/OTHER"),
              (FileTree{{"g", type}}));
  }
}

TEST_F(XnatSend, RefusesAContainerOfAnotherTypeBeforeAnythingIsSent) {
  server_.add(std::string(kSession) + "/scans/1", {.xsi_type = "xnat:ctScanData"});
  const Json where = {{"project", "P"},   {"session", "E"}, {"containerType", "scans"},
                      {"container", "1"}, {"file", "f"},    {"xsiType", "xnat:mrScanData"}};
  const Outcome outcome = send_file(where, "x");
  EXPECT_THAT(outcome, Failed());
  EXPECT_THAT(outcome.errors, HasSubstr("xnat:ctScanData"));
  EXPECT_THAT(connector_.call("send-file-validate", access_to(server_, where)), Failed());
  expect_nothing_was_changed();
}

TEST_F(XnatSend, MakesASessionOfTheTypeThatIsAskedFor) {
  const Json where = {{"project", "P"},  {"subject", "S"}, {"session", "NEW"},
                      {"resource", "R"}, {"file", "f"},    {"xsiType", "xnat:petSessionData"}};
  EXPECT_THAT(send_file(where, "x"), Succeeded());
  EXPECT_EQ(at("projects/P/subjects/S/experiments/NEW/resources/R"), (FileTree{{"f", "x"}}));
}

TEST_F(XnatSend, ReplacesAFileOnlyIfItMay) {
  server_.add_file(kResource, "f", "old");
  server_.add_file(kResource, "f.txt", "neighbour");
  Json where = {{"project", "P"}, {"resource", "R"}, {"file", "f"}};
  EXPECT_THAT(send_file(where, "new"), FailedWith(exit_code::kAlreadyExists));
  EXPECT_THAT(connector_.call("send-file-validate", access_to(server_, where)),
              FailedWith(exit_code::kAlreadyExists));
  expect_nothing_was_changed();
  EXPECT_EQ(at(kResource)["f"], "old");
  where["overwriteExistingFile"] = true;
  EXPECT_THAT(send_file(where, "new"), Succeeded());
  EXPECT_EQ(at(kResource), (FileTree{{"f", "new"}, {"f.txt", "neighbour"}}));
  EXPECT_EQ(requests("DELETE"), 0);
}

TEST_F(XnatSend, KeepsNamesAndEmptyFiles) {
  FileTree expected;
  for (const char* name : {"with blank", "a+b", "#?&=.txt", "\xC3\xA9t\xC3\xA9", "a/b/c", "[x]"}) {
    EXPECT_THAT(send_file({{"project", "P"}, {"resource", "R"}, {"file", name}}, name), Succeeded())
        << name;
    expected[name] = name;
  }
  EXPECT_THAT(send_file({{"project", "P"}, {"resource", "R"}, {"file", "empty"}}, ""), Succeeded());
  expected["empty"] = "";
  EXPECT_EQ(differences(at(kResource), expected), "");
}

TEST_F(XnatSend, RefusesNamesThatNobodyCouldReadAgain) {
  for (const char* name : {"100%", "a;b", "a\\b", "x_catalog.xml"}) {
    EXPECT_THAT(send_file({{"project", "P"}, {"resource", "R"}, {"file", name}}, "x"),
                FailedWith(exit_code::kUnsupported))
        << name;
  }
  expect_nothing_was_changed();
}

TEST_F(XnatSend, TellsThatAUserMayNotWrite) {
  server_.add(kResource);
  server_.add_user("reader", "pw");
  server_.grant("P", "reader", XnatRole::Collaborator);
  const Json where = {{"project", "P"}, {"resource", "R"}, {"file", "f"}};
  write_file(directory_ / "file", "x");
  Outcome outcome = connector_.call("send-file", access_as(server_, "reader", "pw", where),
                                    {directory_ / "file"});
  EXPECT_THAT(outcome, FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(outcome.errors, HasSubstr("reader"));
  fs::create_directory(directory_ / "tree");
  write_file(directory_ / "tree/f", "x");
  outcome = connector_.call(
      "send-dir", access_as(server_, "reader", "pw", {{"project", "P"}, {"resource", "R"}}),
      {directory_ / "tree"});
  EXPECT_THAT(outcome, FailedWith(exit_code::kPermissionDenied));
  EXPECT_THAT(at(kResource), IsEmpty());
}

TEST_F(XnatSend, SendsAgainWhatDidNotArrive) {
  const std::string content = random_bytes(3'000'000);
  int file = 0;
  for (const XnatFault& fault : {XnatFault{.kind = XnatFault::Kind::DropUpload, .bytes = 500'000},
                                 XnatFault{.kind = XnatFault::Kind::ConcurrentModification},
                                 XnatFault{.kind = XnatFault::Kind::LoseAnswer, .status = 502},
                                 XnatFault{.kind = XnatFault::Kind::ExpireSession}}) {
    server_.clear_faults();
    XnatFault once = fault;
    once.method = "PUT";
    once.path = "/files/";
    once.times = 1;
    server_.add_fault(once);
    const std::string name = std::to_string(++file);
    EXPECT_THAT(send_file({{"project", "P"}, {"resource", "R"}, {"file", name}}, content),
                Succeeded());
    EXPECT_EQ(at(kResource)[name], content);
  }
}

// --- send-dir ------------------------------------------------------------------------------------

TEST_F(XnatSend, SendsATreeAndProvesIt) {
  FileTree tree{{"a", "1"},
                {"sub/deep/b c", "2"},
                {"sub/empty", ""},
                {"\xC3\xA9", "3"},
                {"big", random_bytes(2'000'000)}};
  EXPECT_THAT(send_dir({{"project", "P"}, {"session", "E"}}, tree), Succeeded());
  EXPECT_EQ(differences(at(std::string(kSession) + "/resources/OTHER"), tree), "");
  const XnatCounters counters = server_.counters();
  EXPECT_EQ(counters.logins, 1);
  EXPECT_EQ(counters.logouts, 1);
  EXPECT_EQ(requests("DELETE"), 0);
}

TEST_F(XnatSend, SendsATreeOfManyFiles) {
  FileTree tree;
  for (int i = 0; i < 2000; ++i) {
    tree["d" + std::to_string(i % 7) + "/" + std::to_string(i)] = random_bytes(100, i + 1);
  }
  EXPECT_THAT(send_dir({{"project", "P"}, {"resource", "R"}}, tree), Succeeded());
  EXPECT_EQ(differences(at(kResource), tree), "");
  EXPECT_EQ(server_.counters().requests["upload"], 1);
}

TEST_F(XnatSend, SendsATreeFileByFileWhereArchivesAreRefused) {
  const FileTree tree = {{"a", "1"}, {"sub/b", "22"}};
  for (const int status : {400, 413, 415, 501}) {
    server_.clear_faults();
    server_.add_fault({.kind = XnatFault::Kind::Status, .path = "extract=true", .status = status});
    const std::string label = "R" + std::to_string(status);
    EXPECT_THAT(send_dir({{"project", "P"}, {"resource", label}}, tree), Succeeded());
    EXPECT_EQ(at("projects/P/resources/" + label), tree);
  }
}

TEST_F(XnatSend, ReplacesFilesOfATreeOnlyIfItMay) {
  server_.add_file(kResource, "sub/b", "old");
  server_.add_file(kResource, "other", "stays");
  Json where = {{"project", "P"}, {"resource", "R"}};
  const Outcome outcome = send_dir(where, {{"a", "1"}, {"sub/b", "2"}});
  EXPECT_THAT(outcome, FailedWith(exit_code::kAlreadyExists));
  EXPECT_THAT(outcome.errors, HasSubstr("sub/b"));
  expect_nothing_was_changed();
  where["overwriteExistingFile"] = true;
  EXPECT_THAT(send_dir(where, {{"a", "1"}, {"sub/b", "2"}}), Succeeded());
  EXPECT_EQ(at(kResource), (FileTree{{"a", "1"}, {"sub/b", "2"}, {"other", "stays"}}));
}

TEST_F(XnatSend, SendsExactlyWhatAListingNames) {
  const std::string listing =
      connector_.keep_json(Json::parse(R"([{"class": "File", "basename": "a", "size": 1}])"));
  EXPECT_THAT(send_dir({{"project", "P"}, {"resource", "R"}}, {{"a", "1"}, {"b", "2"}},
                       {"--listing", listing}),
              Succeeded());
  EXPECT_EQ(at(kResource), (FileTree{{"a", "1"}}));
}

TEST_F(XnatSend, SendsATreeAgainThatDidNotArrive) {
  FileTree tree;
  for (int i = 0; i < 50; ++i) tree[std::to_string(i)] = random_bytes(50'000, i + 1);
  for (const auto kind : {XnatFault::Kind::DropUpload, XnatFault::Kind::ConcurrentModification,
                          XnatFault::Kind::LoseAnswer}) {
    server_.clear_faults();
    const std::string label = "R" + std::to_string(static_cast<int>(kind));
    server_.add_fault({.kind = kind,
                       .method = "PUT",
                       .path = "/files/",
                       .times = 1,
                       .bytes = 500'000,
                       .status = 504});
    EXPECT_THAT(send_dir({{"project", "P"}, {"resource", label}}, tree), Succeeded());
    EXPECT_EQ(differences(at("projects/P/resources/" + label), tree), "");
  }
}

TEST_F(XnatSend, ValidatesWithoutChangingAnything) {
  const Json where = {{"project", "P"}, {"session", "E"}, {"resource", "NEW"}};
  Json file = where;
  file["file"] = "f";
  EXPECT_THAT(connector_.call("send-file-validate", access_to(server_, file)), Succeeded());
  EXPECT_THAT(connector_.call("send-dir-validate", access_to(server_, where)), Succeeded());
  expect_nothing_was_changed();
  EXPECT_THAT(server_.children(kSession), Not(Contains(HasSubstr("NEW"))));
  EXPECT_EQ(server_.counters().logouts, 2);
}

}  // namespace
}  // namespace red::testing
