#include "cli/connectors.h"

#include <gtest/gtest.h>

#include <functional>

namespace red {
namespace {

Remote prepare(std::string_view connector, std::string_view access) {
  return prepare_remote(connector, parse_json(access, "access data a.json"), Purpose::ReceiveFile,
                        {});
}

Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::Internal, "no error");
}

TEST(Connectors, ServeHttpUnderItsNameAndByItsKey) {
  for (const std::string_view name : {"red-connector-http", "red-connector", "my-connector"}) {
    EXPECT_EQ(prepare(name, R"({"url": "http://u:p@h/x?token=t"})").location, "http://h/x");
  }
}

TEST(Connectors, OpenTheStoreWithoutReachingOut) {
  const Remote remote = prepare("red-connector-http", R"({"url": "http://127.0.0.1:1/x"})");
  EXPECT_EQ(remote.open()->location(RemotePath()), "http://127.0.0.1:1/x");
}

TEST(Connectors, SayWhatThisVersionDoesNotServeYet) {
  for (const std::string_view name :
       {"red-connector-http-json", "red-connector-http-archive", "red-connector-http-mock-send"}) {
    const Error error = error_of([&] { prepare(name, R"({"url": "http://h/"})"); });
    EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << name;
    EXPECT_EQ(error.message(), "this version does not serve this connector yet");
  }
  EXPECT_NO_THROW(check_is_served("red-connector-http"));
  EXPECT_NO_THROW(check_is_served("red-connector"));
}

TEST(Connectors, TellTheProtocolByTheAccessData) {
  const Error ssh = error_of([] { prepare("red-connector", R"({"host": "h"})"); });
  EXPECT_EQ(ssh.kind(), ErrorKind::InvalidAccess);
  EXPECT_NE(ssh.message().find("/auth"), std::string::npos) << ssh.message();
  const Error xnat = error_of([] { prepare("red-connector", R"({"baseUrl": "http://h"})"); });
  EXPECT_EQ(xnat.kind(), ErrorKind::InvalidAccess);
  EXPECT_NE(xnat.message().find("/project"), std::string::npos) << xnat.message();
  EXPECT_EQ(error_of([] { prepare("red-connector", R"({"ulr": "http://h/"})"); }).message(),
            "access data a.json is invalid: 2 problems\n"
            "/ulr: unknown key; did you mean \"url\"?\n"
            "/url: missing");
  EXPECT_EQ(error_of([] { prepare("red-connector-http", R"({"host": "h"})"); }).kind(),
            ErrorKind::InvalidAccess);
}

}  // namespace
}  // namespace red
