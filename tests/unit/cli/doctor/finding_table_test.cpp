#include "cli/doctor/finding_table.h"

#include <gtest/gtest.h>

namespace red {
namespace {

FindingRow row(FindingStatus status, const std::string& text) { return {"clock", {status, text}}; }

TEST(FindingTable, AlignsStatusWhatAndFinding) {
  EXPECT_EQ(table_head({}), "STATUS   WHAT              FINDING\n");
  EXPECT_EQ(table_row(row(FindingStatus::Ok, "fine"), {}), "ok       clock             fine\n");
  EXPECT_EQ(table_row(row(FindingStatus::Missing, "a\nb"), {}),
            "MISSING  clock             a\n"
            "                           b\n");
  EXPECT_EQ(table_row(row(FindingStatus::Skipped, ""), {}), "skipped  clock\n");
}

TEST(FindingTable, LeavesALineWholeThatNoTerminalShows) {
  const std::string words(500, 'x');
  EXPECT_EQ(table_row(row(FindingStatus::Note, words), {}),
            "note     clock             " + words + "\n");
}

TEST(FindingTable, WrapsBetweenWordsWhereTheFindingStillFits) {
  EXPECT_EQ(table_row(row(FindingStatus::Failed, "one two three four five six"), {.width = 40}),
            "FAILED   clock             one two three\n"
            "                           four five six\n");
}

TEST(FindingTable, BreaksAWordThatIsLongerThanALine) {
  EXPECT_EQ(table_row(row(FindingStatus::Ok, std::string(30, 'x')), {.width = 47}),
            "ok       clock             xxxxxxxxxxxxxxxxxxxx\n"
            "                           xxxxxxxxxx\n");
}

TEST(FindingTable, CountsCharactersNotBytes) {
  std::string umlauts;
  for (int i = 0; i < 20; ++i) umlauts += "\xC3\xA4";
  EXPECT_EQ(table_row(row(FindingStatus::Ok, umlauts), {.width = 47}),
            "ok       clock             " + umlauts + "\n");
}

TEST(FindingTable, ShowsNoControlCharactersOfAServer) {
  const std::string text = table_row(row(FindingStatus::Ok, "a\x1b[2Jb\tc\x7f"), {});
  EXPECT_EQ(text, "ok       clock             a?[2Jb?c?\n");
}

TEST(FindingTable, ColoursTheStatusOnlyIfAsked) {
  EXPECT_EQ(table_row(row(FindingStatus::Ok, "x"), {.width = {}, .has_colour = true}),
            "\x1b[32mok       \x1b[0mclock             x\n");
}

}  // namespace
}  // namespace red
