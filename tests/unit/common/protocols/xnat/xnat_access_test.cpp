#include "common/protocols/xnat/xnat_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace red {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json access_with(const Json& more) {
  Json json = {{"baseUrl", "https://example.com/xnat/"},
               {"project", "P"},
               {"auth", {{"username", "me"}, {"password", "secret"}}}};
  json.update(more);
  return json;
}

XnatAccess read(const Json& json, Purpose purpose = Purpose::MountDir,
                const SiteOptions& site = {}) {
  return read_xnat_access(parse_json(json.dump(), "access data a.json"), purpose, site);
}

std::string message_for(const Json& json, Purpose purpose = Purpose::MountDir) {
  try {
    read(json, purpose);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error.message();
  }
  return "no error";
}

/// As the first and second generation of connectors take it.
const Json kFile = {{"subject", "S"},   {"session", "E"},  {"containerType", "scans"},
                    {"container", "1"}, {"resource", "R"}, {"file", "a/b.dcm"}};

TEST(XnatAccess, ReadsEveryLevel) {
  const XnatAccess access = read(access_with(kFile), Purpose::ReceiveFile);
  EXPECT_EQ(access.base.to_string(), "https://example.com/xnat");
  EXPECT_EQ(access.username, "me");
  EXPECT_EQ(access.password, "secret");
  EXPECT_EQ(access.project, "P");
  EXPECT_EQ(access.subject, "S");
  EXPECT_EQ(access.session, "E");
  EXPECT_EQ(access.container_type, XnatContainerType::Scans);
  EXPECT_EQ(access.container, "1");
  EXPECT_EQ(access.resource, "R");
  EXPECT_EQ(access.file->text(), "a/b.dcm");
}

TEST(XnatAccess, HasTheDefaultsOfTheProtocol) {
  const XnatAccess access = read(access_with({{"file", "f"}}), Purpose::SendFile);
  EXPECT_EQ(access.resource, "OTHER");
  EXPECT_EQ(access.xsi_type, "");
  EXPECT_FALSE(access.overwrites);
  EXPECT_EQ(access.options.connections, 8);
  EXPECT_EQ(access.client.max_connections, 8);
  EXPECT_EQ(access.client.connect_timeout, std::chrono::seconds(10));
  EXPECT_TRUE(access.client.verify_tls);
  EXPECT_TRUE(access.client.uses_tls);
  EXPECT_EQ(access.client.credentials.scheme, HttpCredentials::Scheme::None);
  EXPECT_EQ(read(access_with(Json::object())).resource, std::nullopt);
}

TEST(XnatAccess, ReadsWhatIsForSending) {
  const XnatAccess access = read(access_with({{"file", "f"},
                                              {"xsiType", "xnat:mrScanData"},
                                              {"overwriteExistingFile", true},
                                              {"disableSSLVerification", true},
                                              {"timeout", 3},
                                              {"connections", 2}}),
                                 Purpose::SendFile);
  EXPECT_EQ(access.xsi_type, "xnat:mrScanData");
  EXPECT_TRUE(access.overwrites);
  EXPECT_FALSE(access.client.verify_tls);
  EXPECT_EQ(access.client.connect_timeout, std::chrono::seconds(3));
  EXPECT_EQ(access.client.max_connections, 2);
}

TEST(XnatAccess, TakesASessionWithoutItsSubject) {
  EXPECT_EQ(read(access_with({{"session", "E"}})).session, "E");
}

TEST(XnatAccess, NamesEverythingThatIsMissing) {
  EXPECT_EQ(message_for(Json::object(), Purpose::ReceiveFile),
            "access data a.json is invalid: 5 problems\n"
            "/baseUrl: missing\n"
            "/auth: missing\n"
            "/project: missing\n"
            "/resource: missing\n"
            "/file: missing");
  EXPECT_THAT(message_for(access_with({{"auth", {{"username", "me"}}}})),
              HasSubstr("/auth/password: missing"));
}

TEST(XnatAccess, NamesLevelsThatAreMissingInBetween) {
  EXPECT_THAT(message_for(access_with({{"containerType", "scans"}})),
              HasSubstr("/session: missing"));
  EXPECT_THAT(message_for(access_with({{"session", "E"}, {"container", "1"}})),
              HasSubstr("/containerType: missing"));
  const Json type = {{"session", "E"}, {"containerType", "scans"}};
  EXPECT_EQ(message_for(access_with(type)), "no error");
  EXPECT_THAT(message_for(access_with(type), Purpose::SendDir), HasSubstr("/container: missing"));
  Json resource = type;
  resource["resource"] = "R";
  EXPECT_THAT(message_for(access_with(resource)), HasSubstr("/container: missing"));
}

TEST(XnatAccess, DoesNotTakeAFileForADirectory) {
  for (const auto purpose : {Purpose::ReceiveDir, Purpose::MountDir, Purpose::SendDir}) {
    EXPECT_THAT(message_for(access_with(kFile), purpose), HasSubstr("/file: is for files"));
  }
}

TEST(XnatAccess, RefusesFilesThatArePathsToElsewhere) {
  for (const char* file : {"/a", "a/", "../a", "a/./b", "a//b", ".."}) {
    EXPECT_THAT(message_for(access_with({{"resource", "R"}, {"file", file}}), Purpose::ReceiveFile),
                HasSubstr("/file: must be"))
        << file;
  }
}

TEST(XnatAccess, RefusesValuesThatCannotBeMeant) {
  EXPECT_THAT(message_for(access_with({{"baseUrl", "ftp://h"}})), HasSubstr("/baseUrl"));
  EXPECT_THAT(message_for(access_with({{"baseUrl", "http://h/?a=b"}})), HasSubstr("/baseUrl"));
  EXPECT_THAT(message_for(access_with({{"baseUrl", "http://me:pw@h/"}})), HasSubstr("/baseUrl"));
  EXPECT_THAT(message_for(access_with({{"project", ".."}})), HasSubstr("/project"));
  EXPECT_THAT(message_for(access_with({{"subject", "a\nb"}})), HasSubstr("/subject"));
  EXPECT_THAT(message_for(access_with({{"containerType", "scan"}, {"session", "E"}})),
              HasSubstr("/containerType"));
  EXPECT_THAT(message_for(access_with({{"auth", {{"username", "a:b"}, {"password", ""}}}})),
              HasSubstr("/auth/username"));
  EXPECT_THAT(message_for(access_with({{"overwrite", true}})), HasSubstr("unknown key"));
}

TEST(XnatAccess, NeverShowsValues) {
  EXPECT_THAT(message_for(access_with({{"auth", {{"username", "me"}, {"password", 7351}}}})),
              ::testing::Not(HasSubstr("7351")));
}

}  // namespace
}  // namespace red
