// `schema` through the real executable, and its answers against the metaschema of draft-07.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/connector.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kSubcommands = {
    "receive-file", "receive-file-validate", "receive-dir", "receive-dir-validate",
    "mount-dir",    "mount-dir-validate",    "send-file",   "send-file-validate",
    "send-dir",     "send-dir-validate",     "site"};

TEST(Schema, IsThatOfTheConnectorThatIsCalled) {
  const Outcome ssh = Connector("red-connector-ssh").run({"schema", "mount-dir"});
  EXPECT_THAT(ssh, Succeeded());
  const Json schema = Json::parse(ssh.output);
  EXPECT_EQ(schema["title"], "Access data of red-connector-ssh mount-dir");
  EXPECT_TRUE(schema["properties"].contains("dirPath"));
  EXPECT_FALSE(schema["properties"].contains("url"));
  const Outcome any = Connector("red-connector").run({"schema", "mount-dir"});
  EXPECT_GE(Json::parse(any.output)["oneOf"].size(), 3u);
}

TEST(Schema, RefusesWhatHasNone) {
  const Connector connector("red-connector");
  EXPECT_THAT(connector.run({"schema"}), FailedWith(exit_code::kUsage));
  EXPECT_THAT(connector.run({"schema", "umount-dir"}), FailedWith(exit_code::kUsage));
  const Outcome misspelt = connector.run({"schema", "recieve-file"});
  EXPECT_THAT(misspelt, FailedWith(exit_code::kUsage));
  EXPECT_THAT(misspelt.errors, HasSubstr("did you mean receive-file?"));
  const Outcome foreign = Connector("red-connector-http-json").run({"schema", "mount-dir"});
  EXPECT_THAT(foreign, FailedWith(exit_code::kUnsupported));
  EXPECT_THAT(foreign.errors, HasSubstr("red-connector-http has mount-dir"));
}

TEST(Schema, IsAValidSchemaOfDraft7) {
  const TemporaryDirectory directory;
  std::vector<std::string> check{
      "/usr/bin/python3", "-c",
      "import json, sys, jsonschema\n"
      "for name in sys.argv[1:]:\n"
      "    jsonschema.Draft7Validator.check_schema(json.load(open(name)))\n"
      "print(len(sys.argv) - 1)\n"};
  for (const char* name :
       {"red-connector", "red-connector-http", "red-connector-http-json",
        "red-connector-http-archive", "red-connector-ssh", "red-connector-xnat-http"}) {
    for (const std::string& subcommand : kSubcommands) {
      const Outcome outcome = Connector(name).run({"schema", subcommand});
      if (outcome.exit_code == exit_code::kUnsupported) continue;
      ASSERT_THAT(outcome, Succeeded());
      check.push_back(directory / (std::string(name) + "-" + subcommand));
      write_file(check.back(), outcome.output);
    }
  }
  const Outcome outcome = run({.arguments = check});
  EXPECT_THAT(outcome, Succeeded());
  EXPECT_EQ(outcome.output, std::to_string(check.size() - 3) + "\n");
}

}  // namespace
}  // namespace red::testing
