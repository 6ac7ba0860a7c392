// red-connector-http-json: valid JSON in, valid JSON out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class HttpJson : public ::testing::Test {
 protected:
  Connector connector_{"red-connector-http-json"};
  TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "file";
};

TEST_F(HttpJson, KeepsValidJsonByteForByte) {
  const NginxServer server;
  const std::string json = " {\"b\" :1e999,\r\n\t\"a\":\"\\u00e9\xc3\xa9\", \"b\":[]}\n\n";
  write_file(server.root() / "x.json", json);
  const Outcome outcome =
      connector_.call("receive-file", {{"url", server.url("/x.json")}}, {file_});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.errors, "");
  EXPECT_EQ(read_file(file_), json);
}

TEST_F(HttpJson, KeepsNothingElse) {
  HostileServer server;
  write_file(file_, "old");
  for (const char* body : {"", "<html>Secret</html>", "{\"Secret\": 1", "[1] Secret"}) {
    server.on("/x", file({.body = body, .content_type = "application/json"}));
    const Outcome outcome = connector_.call("receive-file", {{"url", server.url("/x")}}, {file_});
    EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity)) << body;
    EXPECT_THAT(outcome.errors, HasSubstr("it is not valid JSON: line 1, column"));
    EXPECT_THAT(outcome.errors, Not(HasSubstr("Secret")));
    EXPECT_EQ(lines_in(outcome.errors), 1u);
    EXPECT_EQ(read_file(file_), "old");
    EXPECT_EQ(names_in(directory_.path()).size(), 1u);
  }
}

TEST_F(HttpJson, WritesIntoAPipeOnlyWhatIsValid) {
  HostileServer server;
  server.on("/good", file({.body = "[1, 2]"}));
  server.on("/bad", file({.body = "[1, 2"}));
  const Outcome good =
      connector_.call("receive-file", {{"url", server.url("/good")}}, {"/dev/stdout"});
  EXPECT_THAT(good, Succeeded());
  EXPECT_EQ(good.output, "[1, 2]");
  EXPECT_THAT(connector_.call("receive-file", {{"url", server.url("/bad")}}, {"/dev/stdout"}),
              FailedWith(exit_code::kIntegrity));
}

TEST_F(HttpJson, NeedsNoMemoryInProportion) {
  const NginxServer server({.dav = true});
  // One string, which a parser would keep. Not in the memory of the test, whose child inherits it.
  write_file(server.root() / "large", "[\"" + std::string(200 << 20, 'x') + "\"]");
  const Outcome received =
      connector_.call("receive-file", {{"url", server.url("/large")}}, {file_});
  EXPECT_THAT(received, Succeeded());
  EXPECT_LT(received.max_resident_kib, 100'000);
  const Outcome sent =
      connector_.call("send-file", {{"url", server.url("/sent")}, {"method", "PUT"}}, {file_});
  EXPECT_THAT(sent, Succeeded());
  EXPECT_LT(sent.max_resident_kib, 100'000);
  EXPECT_EQ(std::filesystem::file_size(server.root() / "sent"), (200 << 20) + 4);
}

TEST_F(HttpJson, SendsWithTheTypeOfJson) {
  HostileServer server;
  server.otherwise(status(200));
  write_file(file_, "{\"a\": 1}\n");
  for (const Json& headers :
       {Json::object(), Json{{"content-type", "application/json; charset=utf-8"}}}) {
    server.forget_requests();
    EXPECT_THAT(
        connector_.call("send-file", {{"url", server.url("/x")}, {"headers", headers}}, {file_}),
        Succeeded());
    const auto posted = server.requests_for("/x", "POST");
    ASSERT_EQ(posted.size(), 1u);
    EXPECT_EQ(posted[0].body, "{\"a\": 1}\n");
    EXPECT_EQ(posted[0].find("Content-Type"),
              headers.empty() ? "application/json" : "application/json; charset=utf-8");
    int types = 0;
    for (const auto& [name, value] : posted[0].fields) {
      types += name == "Content-Type" || name == "content-type" ? 1 : 0;
    }
    EXPECT_EQ(types, 1);
  }
}

TEST_F(HttpJson, TakesNoOtherContentType) {
  HostileServer server;
  write_file(file_, "[]");
  const Outcome outcome = connector_.call(
      "send-file", {{"url", server.url("/x")}, {"headers", {{"Content-Type", "text/plain"}}}},
      {file_});
  EXPECT_THAT(outcome, FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(outcome.errors, HasSubstr("/headers/Content-Type: "));
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(HttpJson, SendsNothingElse) {
  HostileServer server;
  server.otherwise(status(200));
  for (const char* text : {"", "{\"Secret\": }", "[1]]", "\"\xff\""}) {
    write_file(file_, text);
    const Outcome outcome = connector_.call("send-file", {{"url", server.url("/x")}}, {file_});
    EXPECT_THAT(outcome, FailedWith(exit_code::kIntegrity)) << text;
    EXPECT_THAT(outcome.errors, HasSubstr("it is not valid JSON: line 1, column"));
    EXPECT_THAT(outcome.errors, Not(HasSubstr("Secret")));
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(HttpJson, ValidatesAsHttp) {
  const NginxServer server;
  write_file(server.root() / "x", "no JSON");
  EXPECT_THAT(connector_.call("receive-file-validate", {{"url", server.url("/x")}}), Succeeded());
  EXPECT_THAT(connector_.call("receive-file-validate", {{"url", server.url("/missing")}}),
              FailedWith(exit_code::kNotFound));
  EXPECT_THAT(connector_.call("send-file-validate", {{"url", server.url("/x")}}), Succeeded());
}

TEST(Family, RefusesFunctionsThatAConnectorDoesNotHave) {
  const Connector json("red-connector-http-json");
  const Connector archive("red-connector-http-archive");
  const std::string access = json.keep_json({{"url", "http://127.0.0.1:1/"}});
  const TemporaryDirectory directory;
  const auto expect_refused = [&](const Connector& connector, const std::string& function,
                                  bool takes_path) {
    std::vector<std::string> arguments{function, access};
    if (takes_path) arguments.push_back(directory / "path");
    const Outcome outcome = connector.run(arguments);
    EXPECT_THAT(outcome, FailedWith(exit_code::kUnsupported)) << function;
    EXPECT_THAT(outcome.errors, HasSubstr(" has only "));
    EXPECT_THAT(outcome.errors, HasSubstr("; red-connector-http has "));
    EXPECT_EQ(lines_in(outcome.errors), 1u);
  };
  for (const char* function : {"receive-dir", "mount-dir", "send-dir"}) {
    expect_refused(json, function, true);
    expect_refused(json, function + std::string("-validate"), false);
  }
  for (const char* function : {"receive-file", "mount-dir", "send-file", "send-dir"}) {
    expect_refused(archive, function, true);
    expect_refused(archive, function + std::string("-validate"), false);
  }
  EXPECT_THAT(names_in(directory.path()), IsEmpty());
  for (const Connector* connector : {&json, &archive}) {
    EXPECT_THAT(connector->run({"mounts"}), Succeeded());
    EXPECT_THAT(connector->run({"umount-dir", directory / "path"}),
                ::testing::Not(FailedWith(exit_code::kUnsupported)));
  }
}

}  // namespace
}  // namespace red::testing
