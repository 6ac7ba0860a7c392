#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/error.h"

namespace red {
namespace {

using Arguments = std::vector<std::string>;

Invocation parse(const Arguments& arguments) {
  const auto result = parse_command_line("red-connector-http", arguments);
  if (!std::holds_alternative<Invocation>(result)) throw std::logic_error("text, no invocation");
  return std::get<Invocation>(result);
}

std::string answer(const Arguments& arguments) {
  const auto result = parse_command_line("red-connector-http", arguments);
  return std::holds_alternative<AnswerText>(result) ? std::get<AnswerText>(result) : "no text";
}

std::string help_of(std::string_view program) {
  return std::get<AnswerText>(parse_command_line(program, {"--help"}));
}

std::string usage_error(const Arguments& arguments) {
  try {
    parse_command_line("red-connector-http", arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
    return error.message();
  }
  return "no error";
}

TEST(CommandLine, TakesEverySubcommandOfTheSpecification) {
  EXPECT_EQ(parse({"cli-version"}).subcommand->action, Action::PrintCliVersion);
  for (const std::string name :
       {"receive-file", "receive-dir", "mount-dir", "send-file", "send-dir"}) {
    const Invocation invocation = parse({name, "/a/access.json", "/a/path"});
    EXPECT_EQ(invocation.subcommand->name, name);
    EXPECT_EQ(invocation.access_file, "/a/access.json");
    EXPECT_EQ(invocation.local_path, "/a/path");
    const Invocation validation = parse({name + "-validate", "/a/access.json"});
    EXPECT_EQ(validation.subcommand->name, name + "-validate");
    EXPECT_EQ(validation.subcommand->action, Action::Validate);
    EXPECT_EQ(validation.subcommand->purpose, invocation.subcommand->purpose);
    EXPECT_EQ(validation.access_file, "/a/access.json");
  }
  EXPECT_EQ(parse({"umount-dir", "/a/path"}).local_path, "/a/path");
  EXPECT_EQ(parse({"mounts"}).subcommand->action, Action::PrintMounts);
}

TEST(CommandLine, TellsStatisticsForPeopleOrAsJson) {
  const Invocation plain = parse({"stats", "/a/path"});
  EXPECT_EQ(plain.subcommand->action, Action::PrintStats);
  EXPECT_EQ(plain.local_path, "/a/path");
  EXPECT_FALSE(plain.json);
  EXPECT_TRUE(parse({"stats", "--json", "/a/path"}).json);
  EXPECT_TRUE(parse({"stats", "/a/path", "--json"}).json);
  EXPECT_THROW(parse({"mounts", "--json"}), Error);
  EXPECT_THROW(parse({"stats"}), Error);
}

TEST(CommandLine, TakesADoctorWithAndWithoutAccessData) {
  EXPECT_EQ(parse({"doctor"}).subcommand->action, Action::Examine);
  EXPECT_TRUE(parse({"doctor"}).access_file.empty());
  EXPECT_EQ(parse({"doctor", "a.json"}).access_file, "a.json");
  EXPECT_THAT(usage_error({"doctor", "a.json", "b"}), ::testing::HasSubstr("\"b\""));
  EXPECT_THAT(answer({"doctor", "--help"}), ::testing::HasSubstr("doctor [ACCESS]"));
}

TEST(CommandLine, TakesTheListingInEveryPlace) {
  for (const std::string name : {"receive-dir", "send-dir"}) {
    for (const Arguments& arguments :
         {Arguments{name, "a", "p", "--listing", "l"}, Arguments{name, "--listing", "l", "a", "p"},
          Arguments{"--listing", "l", name, "a", "p"}, Arguments{name, "a", "--listing", "l", "p"},
          Arguments{name, "a", "p", "--listing=l"}, Arguments{"--listing=l", name, "a", "p"},
          Arguments{name, "--listing=l", "a", "p"}}) {
      const Invocation invocation = parse(arguments);
      EXPECT_EQ(invocation.listing_file, "l") << ::testing::PrintToString(arguments);
      EXPECT_EQ(invocation.access_file, "a") << ::testing::PrintToString(arguments);
      EXPECT_EQ(invocation.local_path, "p") << ::testing::PrintToString(arguments);
    }
    const std::string validate = name + "-validate";
    for (const Arguments& arguments :
         {Arguments{validate, "a", "--listing", "l"}, Arguments{validate, "--listing", "l", "a"},
          Arguments{"--listing", "l", validate, "a"}, Arguments{validate, "a", "--listing=l"}}) {
      EXPECT_EQ(parse(arguments).listing_file, "l") << ::testing::PrintToString(arguments);
      EXPECT_EQ(parse(arguments).access_file, "a") << ::testing::PrintToString(arguments);
    }
  }
}

TEST(CommandLine, RefusesAListingWhereThereIsNone) {
  for (const std::string name :
       {"receive-file-validate", "send-file-validate", "mount-dir-validate"}) {
    EXPECT_THAT(usage_error({name, "a", "--listing", "l"}), ::testing::HasSubstr("--listing"));
  }
  EXPECT_THAT(usage_error({"mount-dir", "a", "p", "--listing", "l"}),
              ::testing::StartsWith("mount-dir: takes no --listing; "));
}

TEST(CommandLine, TakesOptionsBeforeAndAfterTheSubcommand) {
  EXPECT_TRUE(parse({"-v", "receive-file", "a", "p"}).verbose);
  EXPECT_TRUE(parse({"receive-file", "a", "p", "--verbose"}).verbose);
  EXPECT_TRUE(parse({"receive-file", "-q", "a", "p"}).quiet);
  EXPECT_EQ(parse({"--log-file", "/l", "receive-file", "a", "p"}).log_file, "/l");
  EXPECT_TRUE(parse({"mount-dir", "--foreground", "a", "p", "--debug"}).foreground);
  EXPECT_TRUE(parse({"--debug", "mount-dir", "a", "p"}).debug);
}

TEST(CommandLine, MakesTheLogFileAbsoluteBecauseADaemonLeavesTheDirectory) {
  EXPECT_EQ(parse({"--log-file", "l", "mounts"}).log_file, std::filesystem::current_path() / "l");
}

TEST(CommandLine, TakesPathsWithADashAfterTwoDashes) {
  const Invocation invocation = parse({"receive-file", "--", "-a", "--listing"});
  EXPECT_EQ(invocation.access_file, "-a");
  EXPECT_EQ(invocation.local_path, "--listing");
  EXPECT_EQ(parse({"receive-file", "a", "--", "-p"}).local_path, "-p");
  EXPECT_EQ(parse({"umount-dir", "--", "-p"}).local_path, "-p");
}

TEST(CommandLine, TakesPathsThatLookLikeSomethingElse) {
  for (const std::string path : {"mounts", "send-file", "receive-file", "[a,b]", "{}", "%%", "a=b",
                                 "a b", "ä", "@x", "-", "/", "''", "\"q\"", "#"}) {
    const Invocation invocation = parse({"receive-file", path, path});
    EXPECT_EQ(invocation.access_file, path);
    EXPECT_EQ(invocation.local_path, path);
    EXPECT_EQ(parse({"send-dir", "a", "p", "--listing", path}).listing_file, path);
  }
}

TEST(CommandLine, TakesTwoPlusSignsForAPath) {
  EXPECT_EQ(parse({"receive-file", "++", "p"}).access_file, "./++");
}

TEST(CommandLine, UsageErrorsSayWhatIsWrongInOneLineAndPointToTheHelp) {
  EXPECT_EQ(usage_error({}), "no subcommand; try: red-connector-http --help");
  EXPECT_EQ(usage_error({"recieve-file", "a", "p"}),
            "unknown subcommand \"recieve-file\"; did you mean receive-file?; "
            "try: red-connector-http --help");
  EXPECT_EQ(usage_error({"receive-file", "a"}),
            "receive-file: PATH is missing; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"receive-file"}),
            "receive-file: ACCESS is missing; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"receive-file", "", "p"}),
            "receive-file: ACCESS is missing; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"receive-file", "a", "p", "x"}),
            "receive-file: unexpected argument \"x\"; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"receive-file", "a", "p", "--lising", "x"}),
            "receive-file: unknown option --lising; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"--frobnicate"}),
            "unknown option --frobnicate; try: red-connector-http --help");
  EXPECT_EQ(usage_error({"cli-version", "x"}),
            "cli-version: unexpected argument \"x\"; try: red-connector-http cli-version --help");
  EXPECT_EQ(usage_error({"receive-file", "a", "p", "--foreground"}),
            "receive-file: takes no --foreground; try: red-connector-http receive-file --help");
  EXPECT_EQ(usage_error({"receive-file", "a", "p", "-v", "-q"}),
            "receive-file: --verbose and --quiet contradict each other; "
            "try: red-connector-http receive-file --help");
}

TEST(CommandLine, SchemaTakesTheNameOfASubcommand) {
  for (const std::string name : {"receive-file", "mount-dir", "send-dir-validate"}) {
    const Invocation invocation = parse({"schema", name});
    EXPECT_EQ(invocation.subcommand->name, "schema");
    ASSERT_TRUE(invocation.described) << name;
    EXPECT_EQ(invocation.described->name, name);
  }
  EXPECT_EQ(parse({"schema", "site"}).described, nullptr);
}

TEST(CommandLine, SchemaRefusesWhatHasNoAccessData) {
  const std::string help = "; try: red-connector-http schema --help";
  EXPECT_EQ(usage_error({"schema"}), "schema: SUBCOMMAND is missing" + help);
  EXPECT_EQ(usage_error({"schema", "mount-dri"}),
            "schema: unknown subcommand \"mount-dri\"; did you mean mount-dir?" + help);
  EXPECT_EQ(usage_error({"schema", "frobnicate"}),
            "schema: unknown subcommand \"frobnicate\"" + help);
  for (const std::string name : {"umount-dir", "cli-version", "mounts", "schema"}) {
    EXPECT_EQ(usage_error({"schema", name}), "schema: " + name + " takes no access data" + help);
  }
}

TEST(CommandLine, RefusesOptionsWithoutOrWithTwoValues) {
  for (const Arguments& arguments :
       {Arguments{"receive-dir", "a", "p", "--listing"},
        Arguments{"receive-dir", "a", "p", "--listing="},
        Arguments{"receive-dir", "a", "p", "--listing", "x", "--listing", "y"},
        Arguments{"receive-dir", "a", "p", "--verbose=maybe"}}) {
    const std::string message = usage_error(arguments);
    EXPECT_TRUE(message.starts_with("receive-dir: ")) << message;
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
  }
}

TEST(CommandLine, AnswersVersionAndHelpBeforeAnythingElse) {
  EXPECT_THAT(answer({"--version"}), ::testing::MatchesRegex("red-connector [0-9.]+\n"));
  EXPECT_THAT(answer({"--help"}), ::testing::HasSubstr("mount-dir access.json /mnt/study"));
  EXPECT_THAT(answer({"-h"}), ::testing::HasSubstr("Usage: red-connector-http SUBCOMMAND"));
}

TEST(CommandLine, HelpOfEverySubcommandTeachesItsUse) {
  for (const Subcommand& row : subcommands()) {
    for (const Arguments& arguments :
         {Arguments{std::string(row.name), "--help"}, Arguments{"--help", std::string(row.name)}}) {
      const std::string text = answer(arguments);
      EXPECT_TRUE(text.starts_with("Usage: red-connector-http " + std::string(row.name))) << text;
      EXPECT_EQ(text.find("--listing") != std::string::npos, row.takes_listing) << text;
      EXPECT_EQ(text.find("ACCESS") != std::string::npos, row.takes_access) << text;
      EXPECT_EQ(text.find("Example") != std::string::npos,
                row.takes_access || row.takes_path || row.action == Action::PrintSchema);
    }
    EXPECT_THAT(answer({"--help"}), ::testing::HasSubstr(std::string(row.summary)));
  }
}

TEST(CommandLine, HelpShowsTheFunctionsThatTheConnectorHas) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> connectors{
      {"red-connector-http-json",
       {"cli-version", "receive-file", "receive-file-validate", "umount-dir", "send-file",
        "send-file-validate", "mounts", "stats", "doctor", "schema"}},
      {"red-connector-http-archive",
       {"cli-version", "receive-dir", "receive-dir-validate", "umount-dir", "mounts", "stats",
        "doctor", "schema"}}};
  for (const auto& [program, functions] : connectors) {
    const std::string text = help_of(program);
    for (const Subcommand& row : subcommands()) {
      const bool is_shown = text.find("  " + std::string(row.name) + " ") != std::string::npos;
      const bool is_there =
          std::find(functions.begin(), functions.end(), row.name) != functions.end();
      EXPECT_EQ(is_shown, is_there) << program << " " << row.name;
    }
    EXPECT_EQ(text.find("mount-dir access.json"), std::string::npos) << text;
  }
  EXPECT_THAT(help_of("red-connector-http-archive"), ::testing::HasSubstr("\"archiveFormat\""));
  EXPECT_THROW(parse_command_line("red-connector-http-json", {"receive-dir", "--help"}), Error);
  EXPECT_THAT(help_of("red-connector-http-json"),
              ::testing::HasSubstr("red-connector-http-json send-file access.json result.json"));
}

TEST(CommandLine, HelpFitsIntoEightyColumns) {
  std::vector<std::string> texts{answer({"--help"}), help_of("red-connector-http-json"),
                                 help_of("red-connector-http-archive")};
  for (const Subcommand& row : subcommands())
    texts.push_back(answer({std::string(row.name), "-h"}));
  for (const std::string& text : texts) {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      EXPECT_LE(end - begin, 80u) << text.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace red
