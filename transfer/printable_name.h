#pragma once

#include <string>
#include <string_view>

namespace red {

/// A file name that a stranger chose, made fit for one line of a message: what is no printable
/// character in UTF-8 is shown as \xNN, and of a long name the beginning.
std::string printable_name(std::string_view name);

}  // namespace red
