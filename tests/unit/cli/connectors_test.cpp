#include "cli/connectors.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/text_source.h"

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

TEST(Connectors, HaveTheFunctionsOfTheirKind) {
  constexpr std::array kAll{Purpose::ReceiveFile, Purpose::ReceiveDir, Purpose::MountDir,
                            Purpose::SendFile, Purpose::SendDir};
  const std::map<std::string_view, std::set<Purpose>> some{
      {"red-connector-http-json", {Purpose::ReceiveFile, Purpose::SendFile}},
      {"red-connector-http-archive", {Purpose::ReceiveDir}}};
  for (const auto& [name, functions] : some) {
    for (const Purpose purpose : kAll) {
      EXPECT_EQ(has_function(name, purpose), functions.contains(purpose)) << name;
    }
  }
  for (const std::string_view name :
       {"red-connector", "red-connector-http", "red-connector-http-mock-send", "red-connector-ssh",
        "red-connector-xnat-http", "my-connector"}) {
    for (const Purpose purpose : kAll) {
      EXPECT_TRUE(has_function(name, purpose)) << name;
      EXPECT_NO_THROW(check_has_function(name, purpose));
    }
  }
}

TEST(Connectors, SayWhatTheyHaveAndWhoHasTheRest) {
  const Error json =
      error_of([] { check_has_function("red-connector-http-json", Purpose::ReceiveDir); });
  EXPECT_EQ(json.kind(), ErrorKind::Unsupported);
  EXPECT_EQ(json.message(),
            "red-connector-http-json has only receive-file and send-file; red-connector-http has "
            "receive-dir");
  const Error archive =
      error_of([] { check_has_function("red-connector-http-archive", Purpose::SendFile); });
  EXPECT_EQ(archive.message(),
            "red-connector-http-archive has only receive-dir; red-connector-http has send-file");
}

TEST(Connectors, CheckContentOnlyWhereItMustBeJson) {
  EXPECT_FALSE(prepare("red-connector-http", R"({"url": "http://h/x"})").check_content);
  const Remote json = prepare("red-connector-http-json", R"({"url": "http://h/x"})");
  testing::TextSource good("[1]");
  EXPECT_NO_THROW(json.check_content(good));
  testing::TextSource bad("[1");
  EXPECT_THROW(json.check_content(bad), Error);
}

TEST(Connectors, UnpackOnlyWhereAnArchiveIsNamed) {
  EXPECT_FALSE(prepare("red-connector-http", R"({"url": "http://h/x", "archiveFormat": "tar"})")
                   .archive.has_value());
  const std::map<std::string, ArchiveFormat> formats{{"zip", ArchiveFormat::Zip},
                                                     {"tar", ArchiveFormat::Tar},
                                                     {"gztar", ArchiveFormat::Gztar},
                                                     {"bztar", ArchiveFormat::Bztar},
                                                     {"xztar", ArchiveFormat::Xztar}};
  for (const auto& [name, format] : formats) {
    const Remote remote = prepare("red-connector-http-archive",
                                  R"({"url": "http://h/x", "archiveFormat": ")" + name + "\"}");
    EXPECT_EQ(remote.archive, format) << name;
  }
}

TEST(Connectors, SendNowhereWhereSendingIsMocked) {
  for (const Purpose purpose : {Purpose::SendFile, Purpose::SendDir}) {
    const auto store =
        prepare_remote("red-connector-http-mock-send",
                       parse_json(R"({"url": "http://127.0.0.1:1/x"})", "a.json"), purpose, {})
            .open();
    EXPECT_NO_THROW(store->check(purpose, RequestContext::within(std::chrono::seconds(5))));
    testing::TextSource source("content");
    EXPECT_NO_THROW(store->uploader()->upload({}, source, {}, {}));
  }
  const auto store =
      prepare("red-connector-http-mock-send", R"({"url": "http://127.0.0.1:1/x"})").open();
  EXPECT_THROW(store->check(Purpose::ReceiveFile, RequestContext::within(std::chrono::seconds(5))),
               Error);
}

struct EarlierForm {
  std::string_view connector;
  std::vector<Purpose> purposes;
  std::string_view access;
};

/// The examples of the documents of earlier connectors, and what their tables allow beyond them.
const std::vector<EarlierForm>& earlier_forms() {
  constexpr std::string_view kHttpGet = R"({"url": "http://example.com/files/data.csv",
      "method": "GET", "auth": {"username": "username", "password": "password", "method": "BASIC"},
      "disableSSLVerification": false})";
  constexpr std::string_view kHttpPut = R"({"url": "https://example.com/files/data.csv",
      "method": "PUT", "auth": {"username": "username", "password": "password", "method": "DIGEST"},
      "disableSSLVerification": true})";
  constexpr std::string_view kHttpPost =
      R"({"url": "http://example.com/files/data.csv", "method": "POST"})";
  static const std::vector<EarlierForm> forms{
      {"red-connector-http", {Purpose::ReceiveFile, Purpose::ReceiveDir}, kHttpGet},
      {"red-connector-http", {Purpose::SendFile, Purpose::SendDir}, kHttpPut},
      {"red-connector-http", {Purpose::ReceiveFile, Purpose::SendFile}, kHttpPost},
      {"red-connector-http-json", {Purpose::ReceiveFile}, kHttpGet},
      {"red-connector-http-json", {Purpose::SendFile}, kHttpPut},
      {"red-connector-http-json", {Purpose::ReceiveFile, Purpose::SendFile}, kHttpPost},
      {"red-connector-http-mock-send", {Purpose::ReceiveFile, Purpose::MountDir}, kHttpGet},
      {"red-connector-http-mock-send", {Purpose::SendFile, Purpose::SendDir}, kHttpPut},
      {"red-connector-http-mock-send", {Purpose::ReceiveFile, Purpose::SendFile}, kHttpPost},
      {"red-connector-http-archive",
       {Purpose::ReceiveDir},
       R"({"url": "http://example.com/files.zip", "method": "GET", "archiveFormat": "zip"})"},
      {"red-connector-ssh", {Purpose::ReceiveFile, Purpose::SendFile}, R"({"host": "example.com",
          "port": 22, "username": "username", "password": "password",
          "fileDir": "/home/username/files", "fileName": "data.csv"})"},
      {"red-connector-ssh",
       {Purpose::ReceiveDir, Purpose::MountDir, Purpose::SendDir},
       R"({"host": "example.com", "username": "username", "password": "password",
          "fileDir": "/home/username/files"})"},
      {"red-connector-xnat-http", {Purpose::ReceiveFile}, R"({"baseUrl": "https://example.com/xnat",
          "project": "project", "subject": "subject", "session": "session",
          "containerType": "scans", "container": "container", "resource": "resource",
          "file": "scan.dat", "auth": {"username": "username", "password": "password"},
          "disableSSLVerification": false})"},
      {"red-connector-xnat-http", {Purpose::ReceiveFile}, R"({"baseUrl": "https://example.com/xnat",
          "project": "project", "subject": "subject", "session": "session",
          "resource": "resource", "file": "scan.dat",
          "auth": {"username": "username", "password": "password"}})"},
      {"red-connector-xnat-http", {Purpose::SendFile}, R"({"baseUrl": "https://example.com/xnat",
          "project": "project", "subject": "subject", "session": "session",
          "containerType": "assessors", "container": "container", "xsiType": "xnat:imageAssessorData",
          "resource": "resource", "file": "data.csv", "overwriteExistingFile": false,
          "auth": {"username": "username", "password": "password"},
          "disableSSLVerification": false})"}};
  return forms;
}

TEST(Connectors, TakeTheAccessDataOfEarlierConnectorsUnderEitherName) {
  for (const EarlierForm& form : earlier_forms()) {
    for (const Purpose purpose : form.purposes) {
      EXPECT_TRUE(has_function(form.connector, purpose)) << form.connector;
      for (const std::string_view name : {form.connector, std::string_view("red-connector")}) {
        const Error error = error_of(
            [&] { prepare_remote(name, parse_json(form.access, "access data"), purpose, {}); });
        EXPECT_EQ(error.message(), "no error") << name << form.access;
      }
    }
  }
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
