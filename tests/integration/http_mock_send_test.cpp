// red-connector-http-mock-send: receives as HTTP, and sends nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/scripts.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;

class HttpMockSend : public ::testing::Test {
 protected:
  void expect_sent_nowhere(const std::string& subcommand,
                           const std::vector<std::string>& more = {}) {
    for (const std::string& url : {server_.url("/x"), std::string("http://no-such-host.invalid/x"),
                                   std::string("https://no-such-host.invalid/x")}) {
      const Outcome outcome = connector_.call(
          subcommand, {{"url", url}, {"auth", {{"username", "u"}, {"password", "p"}}}}, more);
      EXPECT_THAT(outcome, Succeeded()) << subcommand << " " << url;
      EXPECT_EQ(outcome.errors, "");
      EXPECT_LT(outcome.duration.count(), 5'000);
    }
    EXPECT_EQ(server_.connections(), 0) << subcommand;
  }
  Outcome send(const std::string& subcommand, const std::vector<std::string>& more) {
    Outcome outcome = connector_.call(subcommand, {{"url", server_.url("/x")}}, more);
    EXPECT_EQ(server_.connections(), 0) << subcommand;
    return outcome;
  }

  HostileServer server_;
  Connector connector_{"red-connector-http-mock-send"};
  TemporaryDirectory directory_;
  std::filesystem::path source_ = directory_ / "source";
};

TEST_F(HttpMockSend, SendsNowhere) {
  write_tree(source_, {{"a", random_bytes(3'000'000)}, {"sub/b", "b"}, {"empty/", ""}});
  const std::string listing =
      connector_.keep_json(Json::parse(R"([{"class": "File", "basename": "a", "size": 3000000}])"));
  expect_sent_nowhere("send-file", {source_ / "a"});
  expect_sent_nowhere("send-file-validate");
  expect_sent_nowhere("send-dir", {source_});
  expect_sent_nowhere("send-dir", {source_, "--listing", listing});
  expect_sent_nowhere("send-dir-validate");
  expect_sent_nowhere("send-dir-validate", {"--listing", listing});
}

TEST_F(HttpMockSend, ChecksTheLocalFiles) {
  EXPECT_THAT(send("send-file", {source_}), FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(send("send-dir", {source_}), FailedWith(exit_code::kLocalIo));
  write_tree(source_, {{"a", "a"}});
  EXPECT_THAT(send("send-file", {source_}), FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(send("send-dir", {source_ / "a"}), FailedWith(exit_code::kLocalIo));
  ASSERT_EQ(::mkfifo((source_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(send("send-file", {source_ / "pipe"}), FailedWith(exit_code::kLocalIo));
  EXPECT_THAT(send("send-dir", {source_}), FailedWith(exit_code::kLocalIo));
}

TEST_F(HttpMockSend, ChecksTheListing) {
  write_tree(source_, {{"a", "a"}});
  const auto with_listing = [&](const std::string& text) {
    const std::string listing = connector_.keep_json(Json::parse(text));
    return send("send-dir", {source_, "--listing", listing});
  };
  const Outcome size = with_listing(R"([{"class": "File", "basename": "a", "size": 2}])");
  EXPECT_THAT(size, FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(size.errors, HasSubstr("a: its size is 1 bytes, expected are 2"));
  EXPECT_THAT(with_listing(R"([{"class": "File", "basename": "a", "checksum":
                  "sha1$0000000000000000000000000000000000000000"}])"),
              FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(with_listing(R"([{"class": "File", "basename": "b"}])"),
              FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(with_listing(R"([{"class": "File"}])"), FailedWith(exit_code::kInvalidAccess));
  const std::string wrong = connector_.keep_json(Json::parse(R"([{"class": "Fiel"}])"));
  EXPECT_THAT(send("send-dir-validate", {"--listing", wrong}),
              FailedWith(exit_code::kInvalidAccess));
  EXPECT_THAT(send("send-dir-validate", {"--listing", "/no/such/listing"}), Failed());
}

TEST_F(HttpMockSend, ChecksTheAccessData) {
  write_tree(source_, {{"a", "a"}});
  for (const Json& access : {Json{{"ulr", "http://h/"}}, Json{{"url", "ftp://h/"}},
                             Json{{"url", "http://h/"}, {"method", "DELETE"}},
                             Json{{"url", "http://h/"}, {"auth", {{"username", "u"}}}}}) {
    EXPECT_THAT(connector_.call("send-file", access, {source_ / "a"}),
                FailedWith(exit_code::kInvalidAccess))
        << access;
    EXPECT_THAT(connector_.call("send-file-validate", access),
                FailedWith(exit_code::kInvalidAccess));
  }
  EXPECT_THAT(connector_.call("send-dir", {{"url", "http://h/"}, {"method", "POST"}}, {source_}),
              FailedWith(exit_code::kInvalidAccess));
}

TEST_F(HttpMockSend, ReceivesAsHttp) {
  const NginxServer server;
  const FileTree tree{{"a", "content"}, {"sub/b", "more"}};
  write_tree(server.root(), tree);
  EXPECT_THAT(connector_.call("receive-dir", {{"url", server.url()}}, {directory_ / "tree"}),
              Succeeded());
  EXPECT_EQ(differences(read_tree(directory_ / "tree"), tree), "");
  EXPECT_THAT(connector_.call("receive-file", {{"url", server.url("/a")}}, {directory_ / "a"}),
              Succeeded());
  EXPECT_EQ(read_file(directory_ / "a"), "content");
  EXPECT_THAT(connector_.call("receive-file-validate", {{"url", server.url("/missing")}}),
              FailedWith(exit_code::kNotFound));
}

}  // namespace
}  // namespace red::testing
