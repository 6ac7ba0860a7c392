// send-dir: whole trees by MKCOL and PUT.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/connector.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/lighttpd_server.h"
#include "tests/servers/nginx_server.h"
#include "tests/servers/python_server.h"
#include "tests/servers/scripts.h"
#include "tests/servers/server_kinds.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SendDir : public ::testing::Test {
 protected:
  Outcome send(const std::string& url) {
    return connector_.call("send-dir", {{"url", url}}, {source_});
  }
  Outcome send(const std::string& url, const std::string& listing) {
    const std::string file = connector_.keep_json(Json::parse(listing));
    return connector_.call("send-dir", {{"url", url}}, {source_, "--listing", file});
  }

  Connector connector_;
  TemporaryDirectory directory_;
  std::filesystem::path source_ = directory_ / "source";
};

std::vector<ServerKind> writable_servers() {
  return {
      {"Nginx", [] { return std::make_unique<NginxServer>(NginxOptions{.dav = true}); }},
      {"Apache", [] { return std::make_unique<ApacheServer>(ApacheOptions{.dav = true}); }},
      {"Lighttpd",
       [] { return std::make_unique<LighttpdServer>(LighttpdOptions{.webdav = true}); }},
  };
}

class SendDirTo : public SendDir, public ::testing::WithParamInterface<ServerKind> {
 protected:
  std::unique_ptr<ServerProcess> server_ = GetParam().make();
};

TEST_P(SendDirTo, KeepsEveryNameAndByte) {
  FileTree tree = nasty_tree(nasty_names());
  tree.merge(nasty_tree(dot_names()));
  if (GetParam().name == "Lighttpd") {
    // It adds to the name while the file arrives, and then has none of 255 bytes.
    std::erase_if(tree, [](const auto& file) { return file.first.size() == 255; });
  }
  tree["empty/"] = "";
  tree["big"] = random_bytes(3'000'000);
  write_tree(source_, tree);
  EXPECT_THAT(send(server_->url("/new/")), Succeeded()) << server_->log();
  EXPECT_EQ(differences(read_tree(server_->root() / "new"), tree), "");
}

TEST_P(SendDirTo, ReplacesFilesOfTheSameNameAndLeavesOthers) {
  write_tree(source_, {{"same", "new"}, {"sub/same", "new"}});
  write_tree(server_->root(), {{"same", "old and longer"}, {"other", "x"}, {"sub/same", "old"}});
  server_->open_root();
  for (int times = 0; times < 2; ++times) {
    EXPECT_THAT(send(server_->url()), Succeeded()) << server_->log();
    EXPECT_EQ(differences(read_tree(server_->root()),
                          {{"same", "new"}, {"sub/same", "new"}, {"other", "x"}}),
              "");
  }
}

INSTANTIATE_TEST_SUITE_P(Every, SendDirTo, ::testing::ValuesIn(writable_servers()),
                         kNameOfServerKind);

TEST_F(SendDir, MakesCollectionsWhateverOptionsSays) {
  HostileServer server;
  server.otherwise([](const Request& request, Reply& reply) {
    const bool collection = request.target.ends_with('/');
    if (request.method == "OPTIONS") return reply.answer(200, "", {{"Allow", "GET, HEAD"}});
    if (request.method == "MKCOL") return reply.answer(collection ? 201 : 409, "");
    if (request.method == "PUT") return reply.answer(collection ? 409 : 201, "");
    reply.answer(405, "");
  });
  write_tree(source_, {{"a b/c#d/file", "content"}});
  EXPECT_THAT(send(server.url("/target")), Succeeded());
  EXPECT_FALSE(server.requests_for("/target/a%20b/", "MKCOL").empty());
  EXPECT_FALSE(server.requests_for("/target/a%20b/c%23d/", "MKCOL").empty());
  EXPECT_EQ(server.requests_for("/target/a%20b/c%23d/file", "PUT").size(), 1u);
}

TEST_F(SendDir, TakesAnExistingCollectionForSuccess) {
  HostileServer server;
  server.otherwise([](const Request& request, Reply& reply) {
    reply.answer(request.method == "PUT" ? 204 : 405, "");
  });
  write_tree(source_, {{"sub/file", "content"}});
  EXPECT_THAT(send(server.url("/target/")), Succeeded());
  EXPECT_EQ(server.requests_for("/target/sub/file", "PUT").size(), 1u);
}

TEST_F(SendDir, SaysClearlyWhenTheServerCannotTakeADirectory) {
  const NginxServer nginx;
  const PythonServer python;
  write_tree(source_, {{"sub/file", "content"}});
  for (const ServerProcess* server :
       {static_cast<const ServerProcess*>(&nginx), static_cast<const ServerProcess*>(&python)}) {
    const Outcome outcome = send(server->url("/"));
    EXPECT_THAT(outcome, Failed());
    EXPECT_THAT(outcome.errors, ContainsRegex("HTTP (405|501)"));
    EXPECT_EQ(lines_in(outcome.errors), 1u);
    EXPECT_THAT(names_in(server->root()), IsEmpty());
  }
}

TEST_F(SendDir, FollowsLocalSymbolicLinks) {
  const NginxServer server({.dav = true});
  write_tree(directory_.path(), {{"elsewhere/inner", "inner"}, {"single", "single"}});
  std::filesystem::create_directory(source_);
  std::filesystem::create_symlink("../elsewhere", source_ / "directory");
  std::filesystem::create_symlink("../single", source_ / "file");
  EXPECT_THAT(send(server.url()), Succeeded());
  EXPECT_EQ(differences(read_tree(server.root()),
                        FileTree{{"directory/inner", "inner"}, {"file", "single"}}),
            "");
}

TEST_F(SendDir, EndsOnALoopOfSymbolicLinks) {
  const NginxServer server({.dav = true});
  std::filesystem::create_directory(source_);
  std::filesystem::create_symlink(".", source_ / "loop");
  const Outcome outcome = send(server.url());
  EXPECT_THAT(outcome, Failed());
  EXPECT_LT(outcome.duration.count(), 10'000);
}

TEST_F(SendDir, TransfersExactlyWhatTheListingNames) {
  const NginxServer server({.dav = true});
  write_tree(source_, {{"a", "content"}, {"sub/b", "b"}, {"sub/c", "c"}, {"more", "x"}});
  EXPECT_THAT(send(server.url(), R"([{"class": "File", "basename": "a", "size": 7,
                 "checksum": "sha1$040f06fd774092478d450774f5ba30c5da78acc8"},
                {"class": "Directory", "basename": "sub",
                 "listing": [{"class": "File", "basename": "b"}]}])"),
              Succeeded());
  EXPECT_EQ(differences(read_tree(server.root()), {{"a", "content"}, {"sub/b", "b"}}), "");
}

TEST_F(SendDir, ChecksTheListingAgainstTheLocalFiles) {
  HostileServer server;
  write_tree(source_, {{"a", "content"}});
  server.otherwise(status(201));
  EXPECT_THAT(send(server.url(), R"([{"class": "File", "basename": "a", "size": 8}])"),
              FailedWith(exit_code::kIntegrity));
  EXPECT_THAT(send(server.url(), R"([{"class": "File", "basename": "a",
                 "checksum": "sha1$0000000000000000000000000000000000000000"}])"),
              FailedWith(exit_code::kIntegrity));
  const Outcome missing = send(server.url(), R"([{"class": "File", "basename": "missing"}])");
  EXPECT_THAT(missing, Failed());
  EXPECT_THAT(missing.errors, HasSubstr("missing"));
  EXPECT_THAT(server.requests_for("/a", "PUT"), IsEmpty());
}

TEST_F(SendDir, NeedsALocalDirectory) {
  HostileServer server;
  EXPECT_THAT(send(server.url()), FailedWith(exit_code::kLocalIo));
  write_file(source_, "a file");
  EXPECT_THAT(send(server.url()), FailedWith(exit_code::kLocalIo));
}

TEST_F(SendDir, SendsAnEmptyDirectory) {
  const ApacheServer server({.dav = true});
  std::filesystem::create_directory(source_);
  EXPECT_THAT(send(server.url("/new")), Succeeded()) << server.log();
  EXPECT_TRUE(std::filesystem::is_directory(server.root() / "new"));
}

}  // namespace
}  // namespace red::testing
