#include "common/protocols/sftp/sftp_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "common/error.h"
#include "tests/support/file_tree.h"

namespace red {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Json = nlohmann::json;
using std::chrono::milliseconds;

constexpr Purpose kPurposes[] = {Purpose::ReceiveFile, Purpose::ReceiveDir, Purpose::MountDir,
                                 Purpose::SendFile, Purpose::SendDir};

std::string key_file(const std::string& name) {
  return testing::read_file(RED_TEST_DATA "/common/protocols/sftp/keys/" + name);
}

/// Access data that is complete but for what names the file.
Json server() {
  return {{"host", "example.com"}, {"auth", {{"username", "me"}, {"password", "secret"}}}};
}
Json file_access() {
  Json json = server();
  json["filePath"] = "data/file";
  return json;
}
Json dir_access() {
  Json json = server();
  json["dirPath"] = "data";
  return json;
}

SftpAccess read(const Json& json, Purpose purpose = Purpose::ReceiveFile,
                const SiteOptions& site = {}) {
  return read_sftp_access(parse_json(json.dump(), "access data a.json"), purpose, site);
}

std::string message_for(const Json& json, Purpose purpose = Purpose::ReceiveFile) {
  try {
    read(json, purpose);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error.message();
  }
  return "no error";
}

/// The one problem of the access data.
std::string problem_of(const Json& json, Purpose purpose = Purpose::ReceiveFile) {
  const std::string first = "access data a.json is invalid: 1 problem\n";
  const std::string message = message_for(json, purpose);
  return message.starts_with(first) ? message.substr(first.size()) : message;
}

Json with(Json json, const char* key, const Json& value) {
  json[key] = value;
  return json;
}
/// The one problem that the key causes.
std::string problem_with(const char* key, const Json& value) {
  return problem_of(with(file_access(), key, value));
}
std::string problem_with_auth(const Json& auth) { return problem_with("auth", auth); }

TEST(SftpAccess, NeedsAHostCredentialsAndAPath) {
  const SftpAccess access = read(file_access());
  EXPECT_EQ(access.host, "example.com");
  EXPECT_EQ(access.port, 22);
  EXPECT_EQ(access.username, "me");
  EXPECT_EQ(access.password, "secret");
  EXPECT_FALSE(access.private_key);
  EXPECT_EQ(access.passphrase, "");
  EXPECT_EQ(access.path, "data/file");
  EXPECT_FALSE(access.writable);
  EXPECT_THAT(access.ciphers, IsEmpty());
  EXPECT_EQ(access.connect_timeout, milliseconds(120'000));
  EXPECT_EQ(access.auth_timeout, milliseconds(60'000));
  EXPECT_EQ(access.banner_timeout, milliseconds(60'000));
  EXPECT_EQ(access.host_key, "");
  EXPECT_EQ(access.options.connections, 4);
}

TEST(SftpAccess, ReportsAllProblemsAtOnce) {
  EXPECT_EQ(message_for({{"hots", "h"},
                         {"port", 0},
                         {"auth", {{"usrname", "u"}}},
                         {"timeout", "soon"},
                         {"ciphers", 1},
                         {"hostKey", "x"},
                         {"dirPath", ""}}),
            "access data a.json is invalid: 11 problems\n"
            "/auth/usrname: unknown key; did you mean \"username\"?\n"
            "/auth/username: missing\n"
            "/auth: needs password or privateKey\n"
            "/ciphers: must be a string that is not empty or an array, not an integer\n"
            "/dirPath: is for directories; a file has a filePath\n"
            "/hostKey: must be a fingerprint that starts with SHA256:, or a line of known_hosts\n"
            "/hots: unknown key; did you mean \"host\"?\n"
            "/port: must be an integer of at least 1 and at most 65535\n"
            "/timeout: must be a number above 0 and at most 86400, not a string\n"
            "/host: missing\n"
            "/filePath: missing");
}

// --- Server
// ---------------------------------------------------------------------------------------

TEST(SftpAccess, HostIsANameOrAnAddress) {
  for (const char* host : {"example.com", "127.0.0.1", "::1", "fe80::1%eth0", "localhost"}) {
    EXPECT_EQ(read(with(file_access(), "host", host)).host, host);
  }
  EXPECT_EQ(read(with(file_access(), "host", "[2001:db8::1]")).host, "2001:db8::1");
  for (const char* host : {"sftp://h", "me@h", "h h", " ", "[]", "[::1", "h\n", "h/path"}) {
    EXPECT_EQ(problem_with("host", host), "/host: must be a name or an address and nothing else");
  }
  EXPECT_EQ(problem_with("host", "h:22"), "/host: must not hold a port; port is a key");
  EXPECT_EQ(problem_with("host", ""), "/host: must be a string that is not empty");
}

TEST(SftpAccess, PortHasItsRange) {
  EXPECT_EQ(read(with(file_access(), "port", 1)).port, 1);
  EXPECT_EQ(read(with(file_access(), "port", 65535)).port, 65535);
  for (const Json& port : {Json(0), Json(-1), Json(65536), Json(1e300)}) {
    EXPECT_EQ(problem_with("port", port),
              "/port: must be an integer of at least 1 and at most 65535");
  }
  EXPECT_EQ(problem_with("port", "22"),
            "/port: must be an integer of at least 1 and at most 65535, not a string");
}

TEST(SftpAccess, CiphersAreAListInEitherForm) {
  const auto ciphers = [](const Json& value) {
    return read(with(file_access(), "ciphers", value)).ciphers;
  };
  EXPECT_THAT(ciphers("aes256-ctr"), ElementsAre("aes256-ctr"));
  EXPECT_THAT(ciphers("aes256-ctr, aes128-ctr,aes128-cbc"),
              ElementsAre("aes256-ctr", "aes128-ctr", "aes128-cbc"));
  EXPECT_THAT(ciphers({"aes256-ctr", "aes128-ctr"}), ElementsAre("aes256-ctr", "aes128-ctr"));
  for (const char* wrong : {",", "a,,b", "a,", " ", "a b", "a\n"}) {
    EXPECT_EQ(problem_with("ciphers", wrong), "/ciphers: must hold names of ciphers") << wrong;
  }
  EXPECT_EQ(problem_with("ciphers", Json::array()), "/ciphers: must hold names of ciphers");
  EXPECT_EQ(problem_with("ciphers", {"a", 1}), "/ciphers/1: must be the name of a cipher");
  EXPECT_EQ(problem_with("ciphers", {""}), "/ciphers/0: must be the name of a cipher");
}

TEST(SftpAccess, TimeLimitsAreSeconds) {
  Json json = file_access();
  json["timeout"] = 1.5;
  json["authTimeout"] = 2;
  json["bannerTimeout"] = 0.0001;
  const SftpAccess access = read(json);
  EXPECT_EQ(access.connect_timeout, milliseconds(1500));
  EXPECT_EQ(access.options.connect_timeout, milliseconds(1500));
  EXPECT_EQ(access.auth_timeout, milliseconds(2000));
  EXPECT_EQ(access.banner_timeout, milliseconds(1));
  for (const char* key : {"timeout", "authTimeout", "bannerTimeout"}) {
    EXPECT_EQ(problem_with(key, 0),
              "/" + std::string(key) + ": must be a number above 0 and at most 86400");
  }
}

// --- The server's key
// -----------------------------------------------------------------------------

constexpr const char* kFingerprint = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";

TEST(SftpAccess, HostKeyIsAFingerprint) {
  EXPECT_EQ(read(with(file_access(), "hostKey", kFingerprint)).host_key, kFingerprint);
  EXPECT_EQ(read(with(file_access(), "hostKey", kFingerprint + std::string("="))).host_key,
            kFingerprint);
  const std::string text = kFingerprint;
  for (const std::string& wrong : {text.substr(0, 49), text + "A", std::string("SHA256:"),
                                   text.substr(0, 20) + "*" + text.substr(21)}) {
    EXPECT_EQ(problem_with("hostKey", wrong),
              "/hostKey: must be SHA256: and 43 characters of base64")
        << wrong;
  }
}

TEST(SftpAccess, HostKeyIsALineOfKnownHosts) {
  const std::string line = key_file("ed25519.pub");
  const std::string type_and_key = line.substr(0, line.find(' ', line.find(' ') + 1));
  for (const std::string& text :
       {type_and_key, line, "example.com " + type_and_key, "[h]:2222,10.0.0.1 " + line,
        "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=\t" + type_and_key + "\r\n"}) {
    EXPECT_EQ(read(with(file_access(), "hostKey", text)).host_key, type_and_key) << text;
  }
  const std::string reason =
      "/hostKey: must be a fingerprint that starts with SHA256:, or a line of known_hosts";
  for (const std::string& wrong :
       {std::string("ssh-ed25519"), "ssh-rsa " + type_and_key.substr(12), type_and_key.substr(12),
        type_and_key.substr(0, 40), std::string("h ssh-ed25519 AAAA"), std::string(" "),
        std::string("MD5:00:11")}) {
    EXPECT_EQ(problem_with("hostKey", wrong), reason) << wrong;
  }
  EXPECT_EQ(problem_with("hostKey", "@cert-authority *.example.com " + type_and_key),
            "/hostKey: must name one key; markers such as @cert-authority are not supported");
}

// --- Credentials
// ----------------------------------------------------------------------------------

TEST(SftpAccess, TakesAPrivateKeyInsteadOfAPassword) {
  const std::string key = key_file("ed25519.openssh");
  const SftpAccess access =
      read(with(file_access(), "auth", {{"username", "me"}, {"privateKey", key}}));
  EXPECT_EQ(access.private_key, key);
  EXPECT_FALSE(access.password);
  EXPECT_EQ(access.passphrase, "");

  const Json encrypted = {{"username", "me"},
                          {"privateKey", key_file("rsa-2048.pem-encrypted")},
                          {"passphrase", "correct horse"}};
  EXPECT_EQ(read(with(file_access(), "auth", encrypted)).passphrase, "correct horse");
}

TEST(SftpAccess, FindsAKeyThatCannotBeUsedBeforeAnythingHappens) {
  const std::string encrypted = key_file("ed25519.openssh-encrypted");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"privateKey", encrypted}}),
            "/auth/passphrase: missing: the private key is encrypted");
  EXPECT_EQ(
      problem_with_auth({{"username", "me"}, {"privateKey", encrypted}, {"passphrase", "wrong"}}),
      "/auth/passphrase: does not open the private key");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"privateKey", "hunter2"}}),
            "/auth/privateKey: is no private key: -----BEGIN ... PRIVATE KEY----- is missing");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"privateKey", key_file("ed25519.pub")}}),
            "/auth/privateKey: is a public key; the private one is wanted");
}

TEST(SftpAccess, AuthIsCompleteAndWithoutContradiction) {
  const std::string key = key_file("ed25519.openssh");
  EXPECT_EQ(problem_with_auth({{"username", "me"}}), "/auth: needs password or privateKey");
  EXPECT_EQ(problem_with_auth({{"password", "p"}}), "/auth/username: missing");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"password", "p"}, {"privateKey", key}}),
            "/auth: password or privateKey, not both");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"password", "p"}, {"passphrase", "x"}}),
            "/auth/passphrase: goes with a privateKey only");
  EXPECT_EQ(problem_with_auth({{"username", ""}, {"password", "p"}}),
            "/auth/username: must be a string that is not empty");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"privateKey", ""}}),
            "/auth/privateKey: must be a string that is not empty");
  EXPECT_EQ(problem_with_auth("me"), "/auth: must be an object, not a string");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"password", ""}}), "no error");
  EXPECT_EQ(problem_with_auth({{"username", "me"}, {"password", std::string("a\0b", 3)}}),
            "/auth/password: must not hold NUL");
  EXPECT_EQ(problem_with_auth({{"username", std::string("a\0b", 3)}, {"password", "p"}}),
            "/auth/username: must not hold NUL");
}

TEST(SftpAccess, TakesTheFirstGenerationsForm) {
  const Json json = {{"host", "h"},        {"port", 2222},       {"username", "me"},
                     {"password", "pass"}, {"fileDir", "/data"}, {"fileName", "a.csv"}};
  const SftpAccess access = read(json);
  EXPECT_EQ(access.port, 2222);
  EXPECT_EQ(access.username, "me");
  EXPECT_EQ(access.password, "pass");
  EXPECT_EQ(access.path, "/data/a.csv");
  EXPECT_EQ(read(with(json, "fileDir", "/data/")).path, "/data/a.csv");
  EXPECT_EQ(read(with(json, "fileDir", "/")).path, "/a.csv");
  EXPECT_EQ(read(with(json, "fileDir", "~")).path, "~/a.csv");
}

TEST(SftpAccess, TheFirstGenerationsCredentialsAreComplete) {
  Json json = {{"host", "h"}, {"filePath", "f"}};
  EXPECT_EQ(problem_of(json), "/auth: missing");
  EXPECT_EQ(problem_of(with(json, "username", "me")), "/password: missing");
  EXPECT_EQ(problem_of(with(json, "password", "p")), "/username: missing");
  EXPECT_EQ(problem_with("username", "me"), "/username: contradicts auth");
  EXPECT_EQ(problem_with("password", "p"), "/password: contradicts auth");
}

// --- Paths
// ----------------------------------------------------------------------------------------

TEST(SftpAccess, FilesHaveAFilePath) {
  for (const Purpose purpose : {Purpose::ReceiveFile, Purpose::SendFile}) {
    for (const char* path : {"/a/b", "~/x", "x", "../x", "a/../b"}) {
      EXPECT_EQ(read(with(server(), "filePath", path), purpose).path, path);
    }
    EXPECT_EQ(problem_of(server(), purpose), "/filePath: missing");
    EXPECT_EQ(problem_of(with(server(), "fileDir", "d"), purpose), "/fileName: missing");
    EXPECT_EQ(problem_of(with(server(), "fileName", "f"), purpose), "/fileDir: missing");
    EXPECT_EQ(problem_of(with(file_access(), "dirPath", "d"), purpose),
              "/dirPath: is for directories; a file has a filePath");
    EXPECT_EQ(problem_of(with(file_access(), "fileDir", "d"), purpose),
              "/fileDir: contradicts filePath");
    EXPECT_EQ(problem_of(with(file_access(), "fileName", "f"), purpose),
              "/fileName: contradicts filePath");
  }
  EXPECT_EQ(problem_of(with(server(), "filePath", std::string("a\0b", 3))),
            "/filePath: must not hold NUL");
}

TEST(SftpAccess, DirectoriesHaveADirPathOrAFileDir) {
  for (const Purpose purpose : {Purpose::ReceiveDir, Purpose::SendDir, Purpose::MountDir}) {
    EXPECT_EQ(read(with(server(), "dirPath", "~/data"), purpose).path, "~/data");
    EXPECT_EQ(read(with(server(), "fileDir", "/data"), purpose).path, "/data");
    EXPECT_EQ(problem_of(server(), purpose), "/dirPath: missing");
    EXPECT_EQ(problem_of(with(dir_access(), "fileDir", "d"), purpose),
              "/fileDir: contradicts dirPath");
    EXPECT_EQ(problem_of(with(dir_access(), "filePath", "f"), purpose),
              "/filePath: is for files; a directory has a dirPath");
    EXPECT_EQ(problem_of(with(dir_access(), "fileName", "f"), purpose),
              "/fileName: is for files; a directory has a dirPath");
  }
}

TEST(SftpAccess, OnlyMountsAreWritable) {
  EXPECT_TRUE(read(with(dir_access(), "writable", true), Purpose::MountDir).writable);
  EXPECT_FALSE(read(with(dir_access(), "writable", false), Purpose::MountDir).writable);
  EXPECT_FALSE(read(with(dir_access(), "writable", true), Purpose::ReceiveDir).writable);
  EXPECT_EQ(problem_of(with(dir_access(), "writable", "yes"), Purpose::MountDir),
            "/writable: must be a boolean, not a string");
}

// --- Shared keys
// ----------------------------------------------------------------------------------

TEST(SftpAccess, TakesTheKeysOfAllProtocolsForEveryPurpose) {
  for (const Purpose purpose : kPurposes) {
    Json json = purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile ? file_access()
                                                                                : dir_access();
    json.update(Json::parse(R"({"connections": 3, "cache": false, "listing": [],
                                "allowOther": true, "report": "/r"})"));
    const SftpAccess access = read(json, purpose);
    EXPECT_EQ(access.options.connections, 3);
    EXPECT_TRUE(access.options.allow_other);
    EXPECT_FALSE(access.options.cache.enabled);
  }
}

TEST(SftpAccess, KeepsToTheBoundsOfTheSite) {
  SiteOptions site;
  site.bounded.connections = 2;
  EXPECT_EQ(read(file_access(), Purpose::ReceiveFile, site).options.connections, 2);
}

TEST(SftpAccess, DescribesEveryKeyOnce) {
  for (const Purpose purpose : kPurposes) {
    std::set<std::string_view> keys;
    for (const FieldDescription& field : sftp_form(purpose).fields) {
      EXPECT_TRUE(keys.insert(field.key).second) << field.key;
      EXPECT_FALSE(field.meaning.empty()) << field.key;
    }
  }
}

// Whatever is wrong, and wherever: a value never shows up in a message.
RC_GTEST_PROP(SftpAccess, NeverShowsAValue, ()) {
  const auto key = *rc::gen::elementOf(std::vector<std::string>{
      "host", "port", "auth", "username", "password", "filePath", "fileDir", "fileName", "dirPath",
      "writable", "ciphers", "timeout", "hostKey", "connections", "cache", "unknown"});
  const auto value = *rc::gen::elementOf(std::vector<std::string>{
      R"("hunter2secret")", R"("hunter2secret\n@/:")", R"(["hunter2secret"])",
      R"({"password": "hunter2secret"})", R"({"username": "hunter2secret", "privateKey": 1})",
      R"({"username": "hunter2secret", "privateKey": "hunter2secret"})",
      R"({"username": 1, "privateKey": "-----BEGIN PRIVATE KEY-----hunter2secret"})",
      R"({"passphrase": "hunter2secret"})"});
  Json json = file_access();
  json[key] = Json::parse(value);
  const auto purpose = *rc::gen::elementOf(std::vector<Purpose>(kPurposes, kPurposes + 5));
  RC_ASSERT(message_for(json, purpose).find("hunter2secret") == std::string::npos);
}

}  // namespace
}  // namespace red
