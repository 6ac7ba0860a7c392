#pragma once

#include <string_view>

#include "cli/command_line.h"

namespace red {

/// Runs one subcommand for the connector that the program is called as. Throws Error.
void run_command(const Invocation& invocation, std::string_view connector);

}  // namespace red
