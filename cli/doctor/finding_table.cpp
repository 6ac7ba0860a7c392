#include "cli/doctor/finding_table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace red {
namespace {

constexpr std::size_t kStatusWidth = 9;
constexpr std::size_t kWhatWidth = 18;
constexpr std::size_t kIndent = kStatusWidth + kWhatWidth;
/// On a narrower terminal lines are left to it.
constexpr std::size_t kLeastForFinding = 20;

struct StatusLook {
  std::string_view word;
  std::string_view colour;
};

StatusLook look_of(FindingStatus status) {
  switch (status) {
    case FindingStatus::Ok:
      return {"ok", "\x1b[32m"};
    case FindingStatus::Note:
      return {"note", "\x1b[33m"};
    case FindingStatus::Missing:
      return {"MISSING", "\x1b[1;31m"};
    case FindingStatus::Failed:
      return {"FAILED", "\x1b[1;31m"};
    case FindingStatus::Skipped:
      return {"skipped", "\x1b[2m"};
  }
  return {};
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Columns of a text in UTF-8, as far as each character takes one.
std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string padded(std::string_view text, std::size_t width) {
  std::string result(text);
  const std::size_t columns = columns_of(text);
  // At least one blank stands between columns.
  result.append(columns < width ? width - columns : 1, ' ');
  return result;
}

std::string fit_for_terminal(std::string_view text) {
  std::string safe(text);
  for (char& c : safe) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) c = '?';
  }
  return safe;
}

/// How many bytes of the text the next line takes: up to the last blank that fits, or all that
/// fits.
std::size_t bytes_that_fit(std::string_view text, std::size_t columns) {
  std::size_t bytes = 0;
  for (std::size_t taken = 0; bytes < text.size(); ++bytes) {
    if (is_continuation(text[bytes])) continue;
    if (taken++ == columns) break;
  }
  if (bytes == text.size()) return bytes;
  const auto blank = text.rfind(' ', bytes);
  return blank == std::string_view::npos || blank == 0 ? bytes : blank;
}

std::vector<std::string> lines_of(std::string_view text, std::optional<std::size_t> columns) {
  std::vector<std::string> lines;
  while (true) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    do {
      const std::size_t size = columns ? bytes_that_fit(line, *columns) : line.size();
      lines.emplace_back(line.substr(0, size));
      line.remove_prefix(size);
      if (line.starts_with(' ')) line.remove_prefix(1);
    } while (!line.empty());
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

TableLook look_of_stdout() {
  if (::isatty(STDOUT_FILENO) != 1) return {};
  TableLook look;
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= kIndent + kLeastForFinding) {
    look.width = size.ws_col;
  }
  const char* terminal = std::getenv("TERM");
  const char* no_colour = std::getenv("NO_COLOR");
  look.has_colour = terminal != nullptr && *terminal != '\0' &&
                    std::string_view(terminal) != "dumb" &&
                    (no_colour == nullptr || *no_colour == '\0');
  return look;
}

std::string table_head(const TableLook& look) {
  const std::string line = padded("STATUS", kStatusWidth) + padded("WHAT", kWhatWidth) + "FINDING";
  return look.has_colour ? "\x1b[1m" + line + "\x1b[0m\n" : line + "\n";
}

std::string table_row(const FindingRow& row, const TableLook& look) {
  const StatusLook status = look_of(row.finding.status);
  std::string text = padded(status.word, kStatusWidth);
  if (look.has_colour) text = std::string(status.colour) + text + "\x1b[0m";
  text += padded(fit_for_terminal(row.what), kWhatWidth);
  const auto columns =
      look.width ? std::optional(*look.width - kIndent) : std::optional<std::size_t>();
  bool is_first = true;
  for (const std::string& line : lines_of(fit_for_terminal(row.finding.text), columns)) {
    if (!is_first) text += std::string(kIndent, ' ');
    text += line;
    text.resize(text.find_last_not_of(' ') + 1);
    text += "\n";
    is_first = false;
  }
  return text;
}

}  // namespace red
