#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "common/access/shared_fields.h"
#include "common/error.h"
#include "common/protocols/http/http_access.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/xnat/xnat_access.h"

namespace red {
namespace {

std::vector<std::string> lines_of_man_page() {
  std::ifstream file(RED_TEST_DATA "/../../cli/red-connector.1");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string text_of_man_page() {
  std::string text;
  for (const std::string& line : lines_of_man_page()) text += line + "\n";
  return text;
}

/// The words of a heading line such as `.BR dir " (path), " size " (bytes)"`, without its font and
/// punctuation.
std::vector<std::string> words_of(std::string line) {
  for (char& c : line) {
    if (std::string_view("\",()\\").find(c) != std::string_view::npos) c = ' ';
  }
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// Everything that a section explains in an entry of its own.
std::set<std::string> entries_of_section(const std::string& name) {
  std::set<std::string> entries;
  bool in_section = false;
  bool after_tag = false;
  for (const std::string& line : lines_of_man_page()) {
    if (line.starts_with(".SH")) in_section = line == ".SH " + name;
    if (in_section && after_tag) {
      for (const std::string& word : words_of(line)) entries.insert(word);
    }
    after_tag = line == ".TP";
  }
  return entries;
}

void expect_entries(const FormDescription& form, const std::set<std::string>& entries) {
  for (const FieldDescription& field : form.fields) {
    EXPECT_TRUE(entries.contains(std::string(field.key))) << field.key;
    EXPECT_FALSE(field.meaning.empty()) << field.key;
    for (const ValueShape& shape : field.shapes) {
      if (shape.form) expect_entries(*shape.form, entries);
    }
  }
}

TEST(ManPage, ExplainsEveryKeyOfTheAccessData) {
  const std::set<std::string> entries = entries_of_section("ACCESS DATA");
  for (const Subcommand& row : subcommands()) {
    expect_entries(http_form(row.purpose), entries);
    expect_entries(sftp_form(row.purpose), entries);
    expect_entries(xnat_form(row.purpose), entries);
  }
}

TEST(ManPage, NamesEveryKeyOfTheSiteFile) {
  const std::string text = text_of_man_page();
  const std::string files = text.substr(text.find("\n.SH FILES"));
  ASSERT_FALSE(site_form().fields.empty());
  for (const FieldDescription& field : site_form().fields) {
    EXPECT_NE(files.substr(0, files.find(".SH EXAMPLES")).find(field.key), std::string::npos)
        << field.key;
  }
}

TEST(ManPage, ListsTheExitCodesAsTheyAre) {
  const std::string text = text_of_man_page();
  for (int i = 0; i <= static_cast<int>(ErrorKind::Internal); ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    const std::string row =
        "\n" + std::to_string(exit_code_of(kind)) + "\t" + std::string(name_of(kind)) + "\t";
    EXPECT_NE(text.find(row), std::string::npos) << name_of(kind);
  }
}

TEST(ManPage, ShowsEverySubcommand) {
  const std::string text = text_of_man_page();
  for (const Subcommand& row : subcommands()) {
    EXPECT_NE(text.find("\\fBred-connector " + std::string(row.name) + "\\fR"), std::string::npos)
        << row.name;
  }
}

}  // namespace
}  // namespace red
