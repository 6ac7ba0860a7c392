#include <gtest/gtest.h>

#include <string>

#include "cli/command_line.h"
#include "tests/support/file_tree.h"

namespace red {
namespace {

TEST(Completion, OffersEverySubcommandAndThoseThatHaveASchema) {
  std::string script = testing::read_file(RED_TEST_DATA "/../../cli/completion/red-connector");
  for (char& c : script) {
    if (c == '\n' || c == '"') c = ' ';
  }
  const std::size_t schema = script.find("compgen", script.find("== schema ]]"));
  ASSERT_NE(schema, std::string::npos);
  for (const Subcommand& row : subcommands()) {
    const std::string word = " " + std::string(row.name) + " ";
    EXPECT_LT(script.find(word), schema) << row.name;
    const bool is_offered = script.find(word, schema) != std::string::npos;
    EXPECT_EQ(is_offered, row.takes_access && row.action != Action::Examine) << row.name;
  }
  EXPECT_NE(script.find(" site ", schema), std::string::npos);
}

}  // namespace
}  // namespace red
