#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "common/remote/examination.h"

namespace red {

/// One row of what `doctor` shows.
struct FindingRow {
  std::string what;  ///< "name resolution"
  Finding finding;
  bool is_about_mounting = false;  ///< of no account where nothing is to be mounted
};

/// How rows are shown.
struct TableLook {
  std::optional<std::size_t> width;  ///< columns, to wrap at; nothing: lines are not wrapped
  bool has_colour = false;
};

/// For the standard output: wrapped and coloured on a terminal, not in a pipe or a file, and not
/// coloured where NO_COLOR is set (no-color.org).
TableLook look_of_stdout();

/// The names of the columns, with a line end.
std::string table_head(const TableLook& look);

/// A row with its line ends: status, what, finding. Further lines of the finding begin in its
/// column. Control characters, which may have come from a server, become '?'.
std::string table_row(const FindingRow& row, const TableLook& look);

}  // namespace red
